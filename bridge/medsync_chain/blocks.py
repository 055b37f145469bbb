"""Blocks and what stands in them. How they come about is `chain.py`'s, their hashes `commitments.py`'s."""

from __future__ import annotations

from dataclasses import dataclass, field

from medsync_chain.execution import Event, Failure, Message
from medsync_chain.felts import describe
from medsync_chain.fees import Consumption, Prices
from medsync_chain.sequencer import Executed
from medsync_chain.state import StateDiff
from medsync_chain.transactions import DeployAccount, Transaction

__all__ = ["Block", "Commitments", "Header", "Included", "Outline", "Receipt"]

STARKNET_VERSION = "0.14.4"  # of the rules; from 0.14.1 on clients hash compiled classes with BLAKE2s
SEQUENCER = int.from_bytes(b"medsync-sequencer", "big")


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a transaction did, as anyone may know it. `fee` in fri; `reverted` is the reason."""

    fee: int
    used: Consumption
    events: tuple[Event, ...]
    messages: tuple[Message, ...]
    reverted: str | None = None
    contract_address: int | None = None  # of a deployed account

    @classmethod
    def of(cls, executed: Executed) -> Receipt:
        """Of a transaction that was just run."""
        transaction = executed.transaction
        return cls(
            fee=executed.fee,
            used=executed.used,
            events=tuple(executed.events),
            messages=tuple(executed.messages),
            reverted=None if executed.failure is None else revert_reason(executed.failure),
            contract_address=transaction.sender if isinstance(transaction, DeployAccount) else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Included:
    """A transaction in a block."""

    transaction: Transaction
    receipt: Receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class Commitments:
    """Roots over a block's parts."""

    transactions: int
    receipts: int
    events: int
    state_diff: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A block without its content. `timestamp` in seconds; `root` of the state after it."""

    number: int
    hash: int
    parent_hash: int
    root: int
    timestamp: int
    prices: Prices
    commitments: Commitments
    transaction_count: int
    event_count: int
    state_diff_length: int
    sequencer: int = SEQUENCER
    version: str = STARKNET_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A sealed block."""

    header: Header
    included: tuple[Included, ...]
    diff: StateDiff = field(default_factory=StateDiff)

    @property
    def number(self) -> int:
        """Its height."""
        return self.header.number


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """What is kept in memory of every block: cheaper to read from disk than the whole."""

    header: Header
    diff: StateDiff
    transactions: tuple[int, ...]  # hashes, in order
    emitters: frozenset[int]  # contracts with events in it

    @classmethod
    def of(cls, block: Block) -> Outline:
        """Of a whole block."""
        return cls(
            header=block.header,
            diff=block.diff,
            transactions=tuple(one.transaction.hash for one in block.included),
            emitters=frozenset(event.address for one in block.included for event in one.receipt.events),
        )


def revert_reason(failure: Failure) -> str:
    """A failure as text, the frames from the outermost in, as sequencers write it."""
    lines = [] if failure.frames else [failure.text]
    for depth, (address, class_hash, function) in enumerate(failure.frames):
        lines.append(
            f"{depth}: Error in the called contract (contract address: {address:#066x}, class hash: "
            f"{class_hash:#066x}, selector: {function:#066x}):"
        )
    if failure.frames:
        reason = failure.text if failure.panic is None else describe(failure.panic)
        lines.append(f"Execution failed. Failure reason:\n{reason}.")
    return "\n".join(lines)
