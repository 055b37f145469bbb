"""A stage for one contract at a time: compiled classes on the chain's virtual machine with the system calls that
they make, and nothing of a chain around it. Blocks, fees and nonces are the embedded chain's and tested there."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from medsync_chain.vm.casm import CasmClass, EntryPointType
from medsync_chain.vm.machine import Machine
from medsync_protocol.poseidon import short_string, short_text
from medsync_protocol.errors import Malformed
from starknet_py.hash.selector import get_selector_from_name

COMPILED = Path(__file__).parents[2] / "contracts" / "compiled"
CHAIN_ID = short_string("MEDSYNC_TEST")
CALLER = 0xCA11E4
GAS = 10**12
MAX_STEPS = 10_000_000
_ENTRYPOINT_FAILED = short_string("ENTRYPOINT_FAILED")


@cache
def compiled(name: str) -> CasmClass:
    return CasmClass.parse(json.loads((COMPILED / f"{name}.casm.json").read_bytes()))


class Reverted(Exception):
    """`reason` is the first short string of the panic."""

    def __init__(self, data: Sequence[int]) -> None:
        self.data = list(data)
        super().__init__(self.reason)

    @property
    def reason(self) -> str:
        try:
            return short_text(self.data[0]) if self.data else ""
        except Malformed:
            return hex(self.data[0])


@dataclass(frozen=True, slots=True)
class Event:
    address: int
    keys: tuple[int, ...]
    data: tuple[int, ...]


@dataclass(slots=True)
class Transaction:
    """What one outermost call did so far."""

    time: int
    events: list[Event] = field(default_factory=list)
    steps: int = 0
    counts: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Answer:
    data: list[int]
    events: list[Event]
    steps: int
    counts: Mapping[str, int]  # builtins and system calls


class Stage:
    """Contracts by address, their cells, a clock that tests set."""

    def __init__(self, *, chain_id: int = CHAIN_ID, time: int = 1_800_000_000) -> None:
        self.chain_id = chain_id
        self.time = time
        self.classes: dict[int, CasmClass] = {}
        self.storage: dict[tuple[int, int], int] = {}
        self.calldata: list[int] = []  # everything that was ever sent, reverted or not
        self.events: list[Event] = []

    def deploy(self, name: str, address: int, calldata: Sequence[int] = ()) -> int:
        casm = compiled(name)
        self.classes[address] = casm
        constructor = casm.entry_points[EntryPointType.CONSTRUCTOR]
        if constructor:
            self._outermost(address, EntryPointType.CONSTRUCTOR, constructor[0].selector, calldata)
        return address

    def call(self, address: int, function: str, calldata: Sequence[int] = ()) -> Answer:
        """Raises Reverted, then nothing has changed."""
        return self._outermost(address, EntryPointType.EXTERNAL, get_selector_from_name(function), calldata)

    def _outermost(
        self, address: int, kind: EntryPointType, selector: int, calldata: Sequence[int]
    ) -> Answer:
        self.calldata += calldata
        before, transaction = dict(self.storage), Transaction(self.time)
        try:
            data, _ = self.run(transaction, CALLER, address, kind, selector, calldata, GAS)
        except Reverted:
            self.storage = before
            raise
        self.events += transaction.events
        return Answer(data, transaction.events, transaction.steps, transaction.counts)

    def run(
        self,
        transaction: Transaction,
        caller: int,
        address: int,
        kind: EntryPointType,
        selector: int,
        calldata: Sequence[int],
        gas: int,
    ) -> tuple[list[int], int]:
        casm = self.classes.get(address)
        if casm is None:
            raise Reverted([short_string("CONTRACT_NOT_DEPLOYED")])
        entry = casm.entry_point(kind, selector)
        if entry is None:
            raise Reverted([short_string("ENTRYPOINT_NOT_FOUND")])
        frame = _Frame(self, transaction, caller, address, selector)
        machine = Machine(casm, system_call=frame.system_call, entropy=b"stage", max_steps=MAX_STEPS)
        outcome = machine.run(entry, calldata, gas)
        transaction.steps += outcome.steps
        transaction.counts.update(outcome.builtins)
        if outcome.panicked:
            raise Reverted(outcome.data)
        return outcome.data, outcome.gas_left


@dataclass(frozen=True, slots=True)
class _Frame:
    """One contract's run: answers its system calls."""

    stage: Stage
    transaction: Transaction
    caller: int
    address: int
    selector: int

    def system_call(self, machine: Machine, pointer: int) -> None:
        read = machine.memory.read
        name, gas = short_text(read(pointer)), read(pointer + 1)
        size, answer = _SYSTEM_CALLS[name]
        arguments = [read(pointer + 2 + index) for index in range(size)]
        self.transaction.counts[name] += 1
        try:
            values, gas = answer(self, machine, arguments, gas)
            failed = 0
        except Reverted as error:
            failed = 1
            values = _array(machine, error.data)
        machine.memory.fill(pointer + 2 + size, [gas, failed, *values])

    def _read(self, machine: Machine, arguments: list[int], gas: int) -> tuple[list[int], int]:
        return [self.stage.storage.get((self.address, arguments[1]), 0)], gas

    def _write(self, machine: Machine, arguments: list[int], gas: int) -> tuple[list[int], int]:
        self.stage.storage[self.address, arguments[1]] = arguments[2]
        return [], gas

    def _emit(self, machine: Machine, arguments: list[int], gas: int) -> tuple[list[int], int]:
        keys, data = machine.memory.span(*arguments[:2]), machine.memory.span(*arguments[2:])
        assert len(keys) <= 50 and len(data) <= 300, "an event beyond Starknet's limits"
        self.transaction.events.append(Event(self.address, tuple(keys), tuple(data)))
        return [], gas

    def _call(self, machine: Machine, arguments: list[int], gas: int) -> tuple[list[int], int]:
        to, selector, start, end = arguments
        calldata = machine.memory.span(start, end)
        try:
            data, left = self.stage.run(
                self.transaction, self.address, to, EntryPointType.EXTERNAL, selector, calldata, gas
            )
        except Reverted as error:
            raise Reverted([*error.data, _ENTRYPOINT_FAILED]) from error
        return _array(machine, data), left

    def _info(self, machine: Machine, arguments: list[int], gas: int) -> tuple[list[int], int]:
        block = machine.new_segment([1, self.transaction.time, 0])
        nothing = _array(machine, [])
        version, caller, tx_hash, nonce = 3, CALLER, 0x7A, 0
        transaction = machine.new_segment([
            version, caller, 0, *nothing, tx_hash, self.stage.chain_id, nonce,
            *nothing, 0, *nothing, 0, 0, *nothing,
        ])  # fmt: skip
        return [machine.new_segment([block, transaction, self.caller, self.address, self.selector])], gas


def _array(machine: Machine, values: Sequence[int]) -> list[int]:
    start = machine.new_segment(values)
    return [start, start + len(values)]


_SYSTEM_CALLS = {
    "StorageRead": (2, _Frame._read),
    "StorageWrite": (3, _Frame._write),
    "EmitEvent": (4, _Frame._emit),
    "CallContract": (4, _Frame._call),
    "GetExecutionInfo": (0, _Frame._info),
}
