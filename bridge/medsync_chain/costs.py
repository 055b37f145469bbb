"""What things cost in L2 gas, and the limits of a transaction.

Figures: Starknet 0.14.4's versioned constants (starkware-libs/sequencer, crates/blockifier/resources). What a
whole transaction costs is `fees.py`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["SYSCALLS", "Resources", "SyscallCost"]

STEP = 100
BUILTINS: Mapping[str, int] = {
    "range_check": 70,
    "range_check96": 56,
    "keccak": 136_189,
    "pedersen": 4_050,
    "bitwise": 583,
    "ec_op": 4_085,
    "poseidon": 491,
    "add_mod": 230,
    "mul_mod": 604,
    "segment_arena": 0,
}
ENTRY_POINT_BUDGET = 100 * STEP  # taken before an entry point runs; its code gives back what it does not need
SYSCALL_BASE = 100 * STEP  # taken by compiled code before a syscall

MAX_EVENT_DATA = 300
MAX_EVENT_KEYS = 50
MAX_EVENTS = 1_000  # of a transaction
MAX_CALLDATA = 5_000
MAX_SIGNATURE = 4_000  # felts; what public gateways accept
MAX_DEPTH = 50  # calls inside calls
MAX_EXECUTE_STEPS = 10_000_000
MAX_VALIDATE_STEPS = 1_000_000
MAX_EXECUTE_GAS = 1_110_000_000
MAX_VALIDATE_GAS = 100_000_000
BLOCK_HASH_DELAY = 10  # blocks until a contract may read a hash
VALIDATE_BLOCK_ROUNDING = 100
VALIDATE_TIME_ROUNDING = 3_600  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Steps and builtin instances that StarkWare's operating system program needs for something."""

    steps: int
    range_check: int = 0
    pedersen: int = 0
    poseidon: int = 0
    bitwise: int = 0
    keccak: int = 0

    @property
    def gas(self) -> int:
        """In L2 gas."""
        counts = {
            "range_check": self.range_check,
            "pedersen": self.pedersen,
            "poseidon": self.poseidon,
            "bitwise": self.bitwise,
            "keccak": self.keccak,
        }
        return self.steps * STEP + sum(count * BUILTINS[name] for name, count in counts.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class SyscallCost:
    """`each` is charged per element: of calldata, payload, or a round."""

    fixed: Resources
    each: Resources | None = None

    def beyond_base(self, elements: int = 0) -> int:
        """What is left to charge when compiled code has already taken the base."""
        linear = 0 if self.each is None else self.each.gas * elements
        return max(self.fixed.gas + linear, SYSCALL_BASE) - SYSCALL_BASE


def _cost(steps: int, range_check: int = 0, *, each: Resources | None = None, **builtins: int) -> SyscallCost:
    return SyscallCost(fixed=Resources(steps=steps, range_check=range_check, **builtins), each=each)


SYSCALLS: Mapping[str, SyscallCost] = {
    "CallContract": _cost(901, 18),
    "Deploy": _cost(1_188, 21, pedersen=7, each=Resources(steps=8, pedersen=1)),
    "EmitEvent": _cost(47, 1),
    "GetBlockHash": _cost(106, 3),
    "GetClassHashAt": _cost(75, 1),
    "GetExecutionInfo": _cost(111, 2),
    "Keccak": _cost(100, each=Resources(steps=223, range_check=45, keccak=1, bitwise=6)),
    "LibraryCall": _cost(874, 18),
    "ReplaceClass": _cost(92, 1),
    "SendMessageToL1": _cost(127, 1, each=Resources(steps=6)),
    "Sha256ProcessBlock": _cost(1_854, 65, bitwise=1_115),
    "StorageRead": _cost(240, 1),
    "StorageWrite": _cost(599, 1),
    "Secp256k1New": _cost(463, 35),
    "Secp256k1Add": _cost(412, 29),
    "Secp256k1Mul": _cost(76_507, 7_045),
    "Secp256k1GetPointFromX": _cost(397, 30),
    "Secp256k1GetXy": _cost(209, 11),
    "Secp256r1New": _cost(582, 49),
    "Secp256r1Add": _cost(595, 57),
    "Secp256r1Mul": _cost(125_346, 13_961),
    "Secp256r1GetPointFromX": _cost(516, 44),
    "Secp256r1GetXy": _cost(211, 11),
}
