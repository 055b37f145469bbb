"""Decodes one CASM instruction word. Running it is `blocks.py`'s and `machine.py`'s.

Layout: Cairo's whitepaper (eprint 2021/1063), §4.4: three biased 16-bit offsets, then 15 flags.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from medsync_chain.vm.errors import InvalidClass

__all__ = ["ApUpdate", "Instruction", "Opcode", "Operand1", "PcUpdate", "Result", "decode"]


class Operand1(IntEnum):
    """Where the second operand comes from."""

    DEREF = 0
    IMMEDIATE = 1
    FP = 2
    AP = 4


class Result(IntEnum):
    """How the operands make the result."""

    OP1 = 0
    ADD = 1
    MUL = 2


class PcUpdate(IntEnum):
    """Where to go on."""

    NEXT = 0
    ABSOLUTE = 1
    RELATIVE = 2
    CONDITIONAL = 4


class ApUpdate(IntEnum):
    """What becomes of the allocation pointer."""

    SAME = 0
    ADD_RESULT = 1
    ADD_ONE = 2


class Opcode(IntEnum):
    """The kind of instruction."""

    NOP = 0
    CALL = 1
    RET = 2
    ASSERT_EQ = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One decoded word; offsets are signed."""

    dst_offset: int
    op0_offset: int
    op1_offset: int
    dst_is_fp: bool
    op0_is_fp: bool
    op1: Operand1
    result: Result
    pc_update: PcUpdate
    ap_update: ApUpdate
    opcode: Opcode

    @property
    def size(self) -> int:
        """In words: 2 with an immediate."""
        return 2 if self.op1 is Operand1.IMMEDIATE else 1


_BIAS = 1 << 15
_EXTENSIONS = {1: "Blake2s", 2: "Blake2s, last block", 3: "QM31"}  # of the newest Cairo machine
_MAX_EXTENSION = 15  # beyond, the word is data


def decode(word: int) -> Instruction:
    """Raises InvalidClass for an encoding Cairo does not define, or one Sierra never compiles to."""
    flags = word >> 48
    if flags >> 15:
        extension = flags >> 15
        if extension > _MAX_EXTENSION:
            raise InvalidClass(f"not an instruction: {word:#x}")
        raise InvalidClass(f"unsupported opcode extension {_EXTENSIONS.get(extension, f'number {extension}')}")
    try:
        return Instruction(
            dst_offset=(word & 0xFFFF) - _BIAS,
            op0_offset=(word >> 16 & 0xFFFF) - _BIAS,
            op1_offset=(word >> 32 & 0xFFFF) - _BIAS,
            dst_is_fp=bool(flags & 1),
            op0_is_fp=bool(flags >> 1 & 1),
            op1=Operand1(flags >> 2 & 7),
            result=Result(flags >> 5 & 3),
            pc_update=PcUpdate(flags >> 7 & 7),
            ap_update=ApUpdate(flags >> 10 & 3),
            opcode=Opcode(flags >> 12 & 7),
        )
    except ValueError as error:
        raise InvalidClass(f"not an instruction: {word:#x}") from error
