"""What contracts may ask of the chain while they run. Curves are `secp.py`'s, running other contracts `execution.py`'s.

A request lies in memory as [name, gas, arguments…]; the answer is written behind it as [gas, 0, values…], or
[gas, 1, start, end] with the panic's felts (Starknet's documentation, "System calls").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medsync_chain import costs
from medsync_chain.execution import (
    ENTRYPOINT_FAILED,
    OUT_OF_GAS,
    Call,
    CallInfo,
    CallType,
    Event,
    Message,
)
from medsync_chain.felts import short, short_text
from medsync_chain.keccak import RATE_WORDS, absorb, selector
from medsync_chain.secp import CURVES, SecpArithmetic
from medsync_chain.sha256 import compress
from medsync_chain.vm.errors import VmError
from medsync_chain.vm.machine import Machine

if TYPE_CHECKING:
    from medsync_chain.execution import Context

__all__ = ["SyscallPanic", "Syscalls"]

BLOCK_HASHES = 1  # the system contract whose cells hold block hashes by number
INVALID_ARGUMENT = short("Invalid argument")
INVALID_LENGTH = short("Invalid input length")
OUT_OF_RANGE = short("Block number out of range")
_EXECUTE = selector("__execute__")


class SyscallPanic(Exception):
    """A syscall fails with this panic, which the contract may catch."""

    def __init__(self, data: Sequence[int]) -> None:
        self.data = list(data)
        super().__init__()


@dataclass(slots=True)
class Request:
    """One request under way: its arguments, and the gas that is left, which handlers of calls lower further."""

    machine: Machine
    arguments: Sequence[int]
    gas: int

    def span(self, at: int) -> list[int]:
        """The array that two of the arguments point to."""
        return self.machine.memory.span(self.arguments[at], self.arguments[at + 1])

    def array(self, values: Sequence[int]) -> list[int]:
        """Start and end of a new array."""
        start = self.machine.new_segment(values)
        return [start, start + len(values)]


class Syscalls:
    """The syscalls of one call."""

    def __init__(self, context: Context, info: CallInfo) -> None:
        self.context = context
        self.info = info
        self._secp: dict[str, SecpArithmetic] = {}

    def handle(self, machine: Machine, pointer: int) -> None:
        """Answers the request at `pointer`. Raises VmError for what ends the transaction."""
        read = machine.memory.read
        name = short_text(read(pointer)) or ""
        shape = _SHAPES.get(name)
        if shape is None:
            raise VmError(f"the system call {name!r} is not supported")
        end = pointer + 2 + shape.arguments
        request = Request(machine, [read(at) for at in range(pointer + 2, end)], read(pointer + 1))
        try:
            self._charge(name, request, shape)
            answer = [0, *shape.handler(self, request)]
        except SyscallPanic as panic:
            answer = [1, *request.array(panic.data)]
        for offset, value in enumerate([request.gas, *answer]):
            machine.memory.write(end + offset, value)

    def _charge(self, name: str, request: Request, shape: _Shape) -> None:
        elements = shape.elements(request) if shape.elements is not None else 0
        cost = costs.SYSCALLS[name].beyond_base(elements)
        if request.gas < cost:
            raise SyscallPanic([OUT_OF_GAS])
        request.gas -= cost

    def _storage_read(self, request: Request) -> list[int]:
        domain, key = request.arguments
        _require_domain(domain)
        return [self.context.state.storage(self.info.call.address, key)]

    def _storage_write(self, request: Request) -> list[int]:
        domain, key, value = request.arguments
        _require_domain(domain)
        self.context.state.set_storage(self.info.call.address, key, value)
        return []

    def _emit_event(self, request: Request) -> list[int]:
        keys, data = tuple(request.span(0)), tuple(request.span(2))
        context = self.context
        for name, count, limit in (
            ("keys", len(keys), costs.MAX_EVENT_KEYS),
            ("data felts", len(data), costs.MAX_EVENT_DATA),
            ("events", context.events + 1, costs.MAX_EVENTS),
        ):
            if count > limit:
                raise VmError(f"an event beyond the limits: {count} {name}, at most {limit}")
        self.info.own_events.append(
            Event(address=self.info.call.address, keys=keys, data=data, order=context.events)
        )
        context.events += 1
        return []

    def _send_message(self, request: Request) -> list[int]:
        message = Message(
            sender=self.info.call.address,
            recipient=request.arguments[0],
            payload=tuple(request.span(1)),
            order=self.context.messages,
        )
        self.info.own_messages.append(message)
        self.context.messages += 1
        return []

    def _call_contract(self, request: Request) -> list[int]:
        address, function = request.arguments[:2]
        own = self.info.call
        if function == _EXECUTE:
            raise SyscallPanic([INVALID_ARGUMENT])
        if self.context.validate and address != own.address:
            raise VmError("a validation may not call other contracts")
        call = Call(address=address, selector=function, calldata=request.span(2), caller=own.address)
        return self._inner(request, lambda: self.context.run(call, request.gas))

    def _library_call(self, request: Request) -> list[int]:
        class_hash, function = request.arguments[:2]
        own = self.info.call
        call = Call(
            address=own.address,
            selector=function,
            calldata=request.span(2),
            caller=own.caller,
            class_hash=class_hash,
            type=CallType.LIBRARY_CALL,
        )
        return self._inner(request, lambda: self.context.run(call, request.gas))

    def _deploy(self, request: Request) -> list[int]:
        if self.context.validate:
            raise VmError("a validation may not deploy contracts")
        class_hash, salt, _, _, from_zero = request.arguments
        if from_zero > 1:
            raise SyscallPanic([INVALID_ARGUMENT])
        calldata = request.span(2)
        deployer = 0 if from_zero else self.info.call.address
        result = self._inner(
            request,
            lambda: self.context.deploy(
                class_hash=class_hash, salt=salt, calldata=calldata, deployer=deployer, gas=request.gas
            ),
        )
        return [self.info.calls[-1].call.address, *result]

    def _inner(self, request: Request, run: Callable[[], CallInfo]) -> list[int]:
        inner = run()
        self.info.calls.append(inner)
        request.gas = max(request.gas - inner.gas, 0)
        if inner.failed:
            raise SyscallPanic([*inner.result, ENTRYPOINT_FAILED])
        return request.array(inner.result)

    def _execution_info(self, request: Request) -> list[int]:
        tx, call, array = self.context.tx, self.info.call, request.array
        segment = request.machine.new_segment
        bounds = [felt for row in tx.bounds for felt in row]
        # fmt: off
        transaction = segment([
            tx.version, tx.sender, 0, *array(tx.signature), tx.hash, tx.chain_id, tx.nonce, *array(bounds), tx.tip,
            *array(tx.paymaster_data), tx.nonce_da_mode, tx.fee_da_mode, *array(tx.account_deployment_data),
            *array(tx.proof_facts),
        ])
        # fmt: on
        return [segment([segment(self._block_info()), transaction, call.caller, call.address, call.selector])]

    def _block_info(self) -> list[int]:
        block = self.context.block
        if not self.context.validate:
            return [block.number, block.timestamp, block.sequencer]
        number = block.number - block.number % costs.VALIDATE_BLOCK_ROUNDING
        return [number, block.timestamp - block.timestamp % costs.VALIDATE_TIME_ROUNDING, 0]

    def _block_hash(self, request: Request) -> list[int]:
        (number,) = request.arguments
        if self.context.validate:
            raise VmError("a validation may not read block hashes")
        if number > self.context.block.number - costs.BLOCK_HASH_DELAY:
            raise SyscallPanic([OUT_OF_RANGE])
        return [self.context.state.storage(BLOCK_HASHES, number)]

    def _class_hash_at(self, request: Request) -> list[int]:
        return [self.context.state.class_at(request.arguments[0])]

    def _replace_class(self, request: Request) -> list[int]:
        (class_hash,) = request.arguments
        if self.context.state.compiled_class_hash(class_hash) == 0:
            raise VmError(f"Class with hash {class_hash:#066x} is not declared.")
        self.context.state.set_class(self.info.call.address, class_hash)
        return []

    def _keccak(self, request: Request) -> list[int]:
        words = request.span(0)
        if len(words) % RATE_WORDS:
            raise SyscallPanic([INVALID_LENGTH])
        if any(word >> 64 for word in words):
            raise VmError("keccak takes words of 64 bits")
        digest = absorb(words)
        return [digest & ((1 << 128) - 1), digest >> 128]

    def _sha256(self, request: Request) -> list[int]:
        state, block = (
            request.machine.memory.span(start, start + count)
            for start, count in zip(request.arguments, (8, 16), strict=True)
        )
        if any(word >> 32 for word in (*state, *block)):
            raise VmError("sha256 takes words of 32 bits")
        return [request.machine.new_segment(compress(state, block))]

    def _curve(self, name: str, operation: str, request: Request) -> list[int]:
        arithmetic = self._secp.setdefault(name, SecpArithmetic(CURVES[name]))
        answer = arithmetic.perform(operation, request.arguments, request.machine.new_segment)
        if answer is None:
            raise SyscallPanic([INVALID_ARGUMENT])
        return answer


@dataclass(frozen=True, slots=True)
class _Shape:
    """How many arguments a syscall takes, who answers it, and what it is charged for element by element."""

    arguments: int
    handler: Callable[[Syscalls, Request], list[int]]
    elements: Callable[[Request], int] | None = None


def _require_domain(domain: int) -> None:
    if domain != 0:
        raise VmError("only storage domain 0 exists")


def _length(at: int, divisor: int = 1) -> Callable[[Request], int]:
    return lambda request: (request.arguments[at + 1] - request.arguments[at]) // divisor


def _secp_shape(name: str, operation: str, arguments: int) -> _Shape:
    return _Shape(arguments, lambda syscalls, request: syscalls._curve(name, operation, request))


_SECP_OPERATIONS = {"New": 4, "GetPointFromX": 3, "Add": 2, "Mul": 3, "GetXy": 1}

_SHAPES: Mapping[str, _Shape] = {
    "StorageRead": _Shape(2, Syscalls._storage_read),
    "StorageWrite": _Shape(3, Syscalls._storage_write),
    "EmitEvent": _Shape(4, Syscalls._emit_event),
    "SendMessageToL1": _Shape(3, Syscalls._send_message, _length(1)),
    "CallContract": _Shape(4, Syscalls._call_contract),
    "LibraryCall": _Shape(4, Syscalls._library_call),
    "Deploy": _Shape(5, Syscalls._deploy, _length(2)),
    "GetExecutionInfo": _Shape(0, Syscalls._execution_info),
    "GetBlockHash": _Shape(1, Syscalls._block_hash),
    "GetClassHashAt": _Shape(1, Syscalls._class_hash_at),
    "ReplaceClass": _Shape(1, Syscalls._replace_class),
    "Keccak": _Shape(2, Syscalls._keccak, _length(0, RATE_WORDS)),
    "Sha256ProcessBlock": _Shape(2, Syscalls._sha256),
    **{
        curve + operation: _secp_shape(curve, operation, arguments)
        for curve in CURVES
        for operation, arguments in _SECP_OPERATIONS.items()
    },
}
