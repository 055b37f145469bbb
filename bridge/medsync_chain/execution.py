"""Calls into contracts: which class runs, with what gas, what it did, what of it is undone. Syscalls are `syscalls.py`'s.

A panic is a value (`CallInfo.failed`) that the caller may catch; a VmError ends the whole transaction, as on
Starknet: a broken class, a missing contract, a limit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from medsync_chain import costs
from medsync_chain.classes import ContractClass
from medsync_chain.felts import short
from medsync_chain.hashes import contract_address
from medsync_chain.keccak import selector
from medsync_chain.state import State
from medsync_chain.vm.casm import CasmClass, EntryPointType
from medsync_chain.vm.errors import VmError
from medsync_chain.vm.machine import MAX_CELLS, Machine, Outcome

__all__ = ["BlockInfo", "Call", "CallInfo", "CallType", "Context", "Event", "Failure", "Message", "TxInfo"]

CONSTRUCTOR = selector("constructor")
ENTRYPOINT_FAILED = short("ENTRYPOINT_FAILED")
ENTRYPOINT_NOT_FOUND = short("ENTRYPOINT_NOT_FOUND")
OUT_OF_GAS = short("Out of gas")


class CallType(StrEnum):
    """As traces name them."""

    CALL = "CALL"
    LIBRARY_CALL = "LIBRARY_CALL"
    DELEGATE = "DELEGATE"


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockInfo:
    """What contracts may know of the block they run in. `timestamp` in seconds."""

    number: int
    timestamp: int
    sequencer: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TxInfo:
    """What contracts may know of the transaction. `bounds`: (resource name, amount, price) as felts."""

    version: int = 0
    sender: int = 0
    signature: Sequence[int] = ()
    hash: int = 0
    chain_id: int = 0
    nonce: int = 0
    bounds: Sequence[tuple[int, int, int]] = ()
    tip: int = 0
    paymaster_data: Sequence[int] = ()
    nonce_da_mode: int = 0
    fee_da_mode: int = 0
    account_deployment_data: Sequence[int] = ()
    proof_facts: Sequence[int] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call: `code_of` names the class when it is not the contract's own."""

    address: int
    selector: int
    calldata: Sequence[int]
    caller: int = 0
    class_hash: int | None = None
    kind: EntryPointType = EntryPointType.EXTERNAL
    type: CallType = CallType.CALL


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """`order` counts the transaction's events."""

    address: int
    keys: Sequence[int]
    data: Sequence[int]
    order: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """To Ethereum; nobody delivers it here."""

    sender: int
    recipient: int
    payload: Sequence[int]
    order: int


@dataclass(slots=True, kw_only=True)
class CallInfo:
    """What one call did. `result` is the answer, or the panic when `failed`; gas includes inner calls."""

    call: Call
    class_hash: int
    failed: bool = False
    result: list[int] = field(default_factory=list)
    gas: int = 0
    calls: list[CallInfo] = field(default_factory=list)
    own_events: list[Event] = field(default_factory=list)
    own_messages: list[Message] = field(default_factory=list)

    def events(self) -> Iterator[Event]:
        """Of this call and all inside it that did not fail."""
        if not self.failed:
            yield from self.own_events
            for inner in self.calls:
                yield from inner.events()

    def messages(self) -> Iterator[Message]:
        """Of this call and all inside it that did not fail."""
        if not self.failed:
            yield from self.own_messages
            for inner in self.calls:
                yield from inner.messages()


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a transaction or call failed: the frames from the outermost in, then a panic or a text."""

    frames: Sequence[tuple[int, int, int]]  # (contract, class, selector)
    panic: Sequence[int] | None = None
    text: str = ""

    @classmethod
    def of(cls, info: CallInfo) -> Failure:
        """From a failed call: follows the panic down to the call that raised it."""
        frames = []
        while True:
            frames.append((info.call.address, info.class_hash, info.call.selector))
            last = info.calls[-1] if info.calls else None
            if last is None or not last.failed or info.result[: len(last.result)] != last.result:
                return cls(frames=frames, panic=tuple(info.result))
            info = last


@dataclass(slots=True, kw_only=True)
class Context:
    """Everything that the calls of one transaction share. `validate`: in a validation, where less is allowed."""

    state: State
    class_of: Callable[[int], ContractClass]  # of a declared class hash
    block: BlockInfo
    tx: TxInfo
    validate: bool = False
    events: int = 0
    messages: int = 0
    steps: int = 0
    builtins: Counter[str] = field(default_factory=Counter)  # instances used, by name
    work: int = 0  # steps, and in steps: builtins, copied felts
    runs: int = 0
    depth: int = 0
    _machines: list[Machine] = field(default_factory=list)  # of the calls under way
    frames: list[tuple[int, int, int]] = field(default_factory=list)  # of the call under way, or that broke

    @property
    def max_steps(self) -> int:
        """Of the whole transaction."""
        return costs.MAX_VALIDATE_STEPS if self.validate else costs.MAX_EXECUTE_STEPS

    def run(self, call: Call, gas: int) -> CallInfo:
        """Runs a call with this much gas; undoes what it changed when it fails. Raises VmError."""
        class_hash = self._class_hash(call)
        self.frames.append((call.address, class_hash, call.selector))
        if self.depth >= costs.MAX_DEPTH:
            raise VmError(f"calls nest deeper than {costs.MAX_DEPTH}")
        mark = self.state.mark()
        self.depth += 1
        info = self._enter(call, class_hash, gas)
        self.depth -= 1
        self.frames.pop()
        if info.failed:
            self.state.undo(mark)
        return info

    def deploy(
        self, *, class_hash: int, salt: int, calldata: Sequence[int], deployer: int, gas: int
    ) -> CallInfo:
        """Deploys a contract and runs its constructor. Raises VmError."""
        address = contract_address(class_hash=class_hash, salt=salt, calldata=calldata, deployer=deployer)
        if self.state.class_at(address):
            raise VmError(f"a contract is already deployed at {address:#x}")
        contract_class = self._declared(class_hash)
        mark = self.state.mark()
        self.state.set_class(address, class_hash)
        call = Call(
            address=address,
            selector=CONSTRUCTOR,
            calldata=calldata,
            caller=deployer,
            kind=EntryPointType.CONSTRUCTOR,
        )
        if contract_class.casm.entry_point(EntryPointType.CONSTRUCTOR, CONSTRUCTOR) is None:
            if calldata:
                raise VmError("the class has no constructor; its calldata must be empty")
            return CallInfo(call=call, class_hash=class_hash)
        info = self.run(call, gas)
        if info.failed:
            self.state.undo(mark)
        return info

    def _enter(self, call: Call, class_hash: int, gas: int) -> CallInfo:
        contract_class = self._declared(class_hash)
        info = CallInfo(call=call, class_hash=class_hash)
        entry = contract_class.casm.entry_point(call.kind, call.selector)
        if entry is None or gas < costs.ENTRY_POINT_BUDGET:
            info.failed, info.result = True, [ENTRYPOINT_NOT_FOUND if entry is None else OUT_OF_GAS]
            return info
        machine = self._machine(info, contract_class.casm)
        self._machines.append(machine)
        try:
            outcome = machine.run(entry, call.calldata, gas - costs.ENTRY_POINT_BUDGET)
        finally:
            self._machines.pop()
            self.steps += machine.steps
            self.work += machine.spent + len(call.calldata)
        self.builtins.update(outcome.builtins)
        self.work += len(outcome.data)  # what calls hand on must be copied
        info.failed, info.result = outcome.panicked, outcome.data
        if contract_class.sierra.charged_by_gas:
            info.gas = gas - outcome.gas_left
        else:
            info.gas = _step_gas(outcome) + sum(inner.gas for inner in info.calls)
        return info

    def _machine(self, info: CallInfo, casm: CasmClass) -> Machine:
        from medsync_chain.syscalls import Syscalls  # they call back into this module

        self.runs += 1
        entropy = self.tx.hash.to_bytes(32, "big") + self.runs.to_bytes(4, "big")
        held = sum(len(machine.memory.cells) for machine in self._machines)
        return Machine(
            casm,
            system_call=Syscalls(self, info).handle,
            entropy=entropy,
            max_steps=max(self.max_steps - self.work, 0),
            max_cells=MAX_CELLS - held,
        )

    def _class_hash(self, call: Call) -> int:
        if call.class_hash is not None:
            return call.class_hash
        class_hash = self.state.class_at(call.address)
        if class_hash == 0:
            raise VmError(f"Requested contract address {call.address:#066x} is not deployed.")
        return class_hash

    def _declared(self, class_hash: int) -> ContractClass:
        if self.state.compiled_class_hash(class_hash) == 0:
            raise VmError(f"Class with hash {class_hash:#066x} is not declared.")
        return self.class_of(class_hash)


def _step_gas(outcome: Outcome) -> int:
    """What a program that does not count its own gas is charged."""
    return outcome.steps * costs.STEP + sum(
        count * costs.BUILTINS[name] for name, count in outcome.builtins.items()
    )
