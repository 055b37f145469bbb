"""A stage for contracts alone: compiled classes in the embedded chain's execution layer, with its limits, and a clock
that tests set. Transactions, blocks, fees and nonces are the chain's own and tested there."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from medsync_chain.classes import ContractClass, SierraClass
from medsync_chain.execution import CONSTRUCTOR, BlockInfo, Call, Context, Event, TxInfo
from medsync_chain.keccak import selector
from medsync_chain.state import State
from medsync_chain.vm.casm import EntryPointType
from medsync_chain.vm.errors import VmError
from medsync_protocol.errors import Malformed
from medsync_protocol.poseidon import short_string, short_text

COMPILED = Path(__file__).parents[2] / "contracts" / "compiled"
CHAIN_ID = short_string("MEDSYNC_TEST")
CALLER = 0xCA11E4
TX_HASH = 0x7A  # what an account must have signed
GAS = 1_200_000_000  # Starknet's bound on the L2 gas of one transaction's execution

__all__ = ["CHAIN_ID", "Answer", "Event", "Reverted", "Stage", "compiled"]


@cache
def compiled(name: str, folder: Path = COMPILED) -> ContractClass:
    """A class from its artefacts."""
    sierra = SierraClass.parse(json.loads((folder / f"{name}.sierra.json").read_bytes()))
    return ContractClass.of(sierra, json.loads((folder / f"{name}.casm.json").read_bytes()))


class Reverted(Exception):
    """`reason` is the first short string of the panic; a VmError's text when the machine could not go on."""

    def __init__(self, data: Sequence[int], text: str = "") -> None:
        self.data = list(data)
        self.text = text
        super().__init__(self.reason)

    @property
    def reason(self) -> str:
        try:
            return short_text(self.data[0]) if self.data else self.text
        except Malformed:
            return hex(self.data[0])


@dataclass(frozen=True, slots=True)
class Answer:
    """`counts`: builtins used. `gas`: L2 gas, inner calls included. `calls`: how many contracts it called itself."""

    data: list[int]
    events: list[Event]
    steps: int
    gas: int
    calls: int
    counts: Mapping[str, int]


class Stage:
    """Contracts by address, their cells, the time."""

    def __init__(self, *, chain_id: int = CHAIN_ID, time: int = 1_800_000_000) -> None:
        self.chain_id = chain_id
        self.time = time
        self.classes: dict[int, ContractClass] = {}
        self.state = State(_Nothing())
        self.calldata: list[int] = []  # everything that was ever sent, reverted or not
        self.events: list[Event] = []
        self.signature: tuple[int, ...] = ()  # of the transaction that calls
        self.version = 3

    @property
    def storage(self) -> dict[tuple[int, int], int]:
        """All cells that are not 0, by contract and key."""
        cells = self.state.diff().storage
        return {(address, key): value for address, held in cells.items() for key, value in held.items()}

    def deploy(
        self, name: str, address: int, calldata: Sequence[int] = (), folder: Path = COMPILED, deployer: int = 0
    ) -> int:
        """Puts a compiled contract at an address and runs its constructor."""
        known = compiled(name, folder)
        self.classes[known.class_hash] = known
        self.state.declare(known.class_hash, known.compiled_class_hash)
        self.state.set_class(address, known.class_hash)
        if known.casm.entry_points[EntryPointType.CONSTRUCTOR]:
            self._run(address, CONSTRUCTOR, calldata, EntryPointType.CONSTRUCTOR, deployer)
        return address

    def call(
        self, address: int, function: str, calldata: Sequence[int] = (), *, caller: int = CALLER
    ) -> Answer:
        """Raises Reverted, then nothing has changed."""
        return self._run(address, selector(function), calldata, EntryPointType.EXTERNAL, caller)

    def _run(
        self, address: int, name: int, calldata: Sequence[int], kind: EntryPointType, caller: int
    ) -> Answer:
        assert len(calldata) <= 5_000, "calldata beyond Starknet's limit"
        self.calldata += calldata
        context = _Counting(
            state=self.state,
            class_of=self.classes.__getitem__,
            block=BlockInfo(number=1, timestamp=self.time, sequencer=0),
            tx=TxInfo(
                version=self.version,
                sender=CALLER,
                hash=TX_HASH,
                chain_id=self.chain_id,
                signature=self.signature,
            ),
        )
        mark = self.state.mark()
        try:
            info = context.run(
                Call(address=address, selector=name, calldata=calldata, caller=caller, kind=kind), GAS
            )
        except VmError as error:
            self.state.undo(mark)
            raise Reverted([], str(error)) from error
        if info.failed:
            raise Reverted(info.result)
        events = sorted(info.events(), key=lambda event: event.order)
        self.events += events
        return Answer(info.result, events, context.steps, info.gas, len(info.calls), context.counts)


@dataclass(slots=True, kw_only=True)
class _Counting(Context):
    """Adds up the builtins of all runs."""

    counts: Counter[str] = field(default_factory=Counter)

    def _machine(self, info: Any, casm: Any) -> Any:
        machine = Context._machine(self, info, casm)
        run = machine.run

        def counted(*arguments: Any) -> Any:
            outcome = run(*arguments)
            self.counts.update(outcome.builtins)
            return outcome

        machine.run = counted  # type: ignore[method-assign, assignment]
        return machine


class _Nothing:
    """The state before everything."""

    def storage(self, address: int, key: int) -> int:
        return 0

    def class_at(self, address: int) -> int:
        return 0

    def nonce(self, address: int) -> int:
        return 0

    def compiled_class_hash(self, class_hash: int) -> int:
        return 0
