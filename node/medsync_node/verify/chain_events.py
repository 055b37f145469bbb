"""The anchor's events and the calldata of its transactions, read back into what they say. Believes none of it.

The contract emits, for one accepted statement, CheckpointPosted (or RecoveryProposed), then Votes, then
MembersChanged when the list changes: they are put together again here by their order (contracts/src/anchor.cairo).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from medsync_node.verify.rpc import RawEvent
from medsync_protocol.anchor_abi import EVENTS
from medsync_protocol.errors import Malformed
from medsync_protocol.statement import FIELD_NAMES, Statement, Vote, listed_hash
from medsync_protocol.transition import AppendProof

STATEMENT_FELTS = len(FIELD_NAMES)
_NAMES = {selector: name for name, selector in EVENTS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """How the context was opened. `genesis`: 32 bytes; `members`: the first list, empty when none was told."""

    transaction: int
    block: int
    founder: int
    genesis: bytes
    verifier: int
    recovery_delay: int
    members: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """A checkpoint, or with `ready_at` (seconds) a proposed recovery. `next_members`: empty when it doesn't change."""

    transaction: int
    block: int
    k: int
    digest: int
    statement: Statement
    votes: tuple[Vote, ...] = ()
    next_members: tuple[int, ...] = ()
    ready_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """A recovery that took force."""

    transaction: int
    block: int
    k: int
    digest: int
    statement: Statement


Told = Opened | Posted | Executed


def read_events(events: Iterable[RawEvent]) -> list[Told]:
    """What happened to one context, in order. Raises Malformed for events that the contract can't have emitted."""
    told: list[Told] = []
    for event in events:
        name = _NAMES.get(event.keys[0]) if event.keys else None
        match name:
            case "ContextOpened":
                told.append(_opened(event))
            case "CheckpointPosted" | "RecoveryProposed":
                told.append(_posted(event, recovery=name == "RecoveryProposed"))
            case "RecoveryExecuted":
                told.append(_executed(event))
            case "Votes" | "MembersChanged":
                if not told:
                    raise Malformed(f"an event {name} that follows nothing")
                told[-1] = _with_more(told[-1], event, name)
            case _:
                raise Malformed("an event of no known name")
    return told


def _with_more(last: Told, event: RawEvent, name: str) -> Told:
    if isinstance(last, Executed) or event.transaction != last.transaction:
        raise Malformed(f"an event {name} that does not belong to the one before it")
    k, felts = _key(event, 2), _Felts(event.data)
    if name == "Votes" and isinstance(last, Posted) and k == last.k:
        votes = [Vote.from_felts(felts.take(3)) for _ in range(felts.one())]
        felts.end()
        return replace(last, votes=(*last.votes, *votes))
    if name == "MembersChanged" and k == (last.k if isinstance(last, Posted) else 0) + 1:
        named, members = felts.one(), tuple(felts.take(felts.one()))
        felts.end()
        if listed_hash(members) != named:
            raise Malformed("a member list that does not have its hash")
        return (
            replace(last, next_members=members)
            if isinstance(last, Posted)
            else replace(last, members=members)
        )
    raise Malformed(f"an event {name} for another checkpoint than the one before it")


def _opened(event: RawEvent) -> Opened:
    felts = _Felts(event.data)
    founder, low, high, verifier, delay = felts.take(5)
    felts.end()
    if max(low, high) >= 1 << 128:
        raise Malformed("a genesis digest beyond 256 bits")
    return Opened(
        transaction=event.transaction, block=event.block, founder=founder,
        genesis=(high << 128 | low).to_bytes(32, "big"), verifier=verifier, recovery_delay=delay,
    )  # fmt: skip


def _posted(event: RawEvent, *, recovery: bool) -> Posted:
    felts = _Felts(event.data)
    digest, statement = felts.one(), Statement.from_felts(felts.take(STATEMENT_FELTS))
    ready_at = felts.one() if recovery else None
    felts.end()
    return Posted(
        transaction=event.transaction, block=event.block, k=_key(event, 2), digest=digest, statement=statement,
        ready_at=ready_at,
    )  # fmt: skip


def _executed(event: RawEvent) -> Executed:
    felts = _Felts(event.data)
    digest, statement = felts.one(), Statement.from_felts(felts.take(STATEMENT_FELTS))
    felts.end()
    return Executed(
        transaction=event.transaction, block=event.block, k=_key(event, 2), digest=digest, statement=statement
    )


def _key(event: RawEvent, index: int) -> int:
    if len(event.keys) != index + 1:
        raise Malformed("an event with another number of keys than the contract emits")
    return event.keys[index]


def find_append_proof(calldata: Sequence[int], head: Statement, following: Statement) -> AppendProof | None:
    """The append proof that `post_checkpoint` was called with for this step, wherever in a multicall it stands."""
    for felts in _after(calldata, [*head.to_felts(), *following.to_felts()]):
        try:
            felts.take(felts.one())  # members
            felts.take(3 * felts.one())  # votes
            return AppendProof(old_peaks=tuple(felts.take(felts.one())), nodes=tuple(felts.take(felts.one())))
        except Malformed:
            continue
    return None


def find_opening_signature(calldata: Sequence[int], opened: Opened) -> tuple[int, int] | None:
    """The founder's (r, s) that `open_context` was called with, wherever in a multicall it stands."""
    genesis = int.from_bytes(opened.genesis, "big")
    given = [
        opened.founder, genesis & (1 << 128) - 1, genesis >> 128, len(opened.members), *opened.members,
        opened.verifier, opened.recovery_delay,
    ]  # fmt: skip
    for felts in _after(calldata, given):
        try:
            return felts.one(), felts.one()
        except Malformed:
            continue
    return None


def _after(calldata: Sequence[int], pattern: Sequence[int]) -> Iterator[_Felts]:
    """What follows each place where the pattern stands."""
    for at in range(len(calldata) - len(pattern) + 1):
        if calldata[at] == pattern[0] and list(calldata[at : at + len(pattern)]) == pattern:
            yield _Felts(calldata[at + len(pattern) :])


class _Felts:
    """Felts taken from the front. Raises Malformed when there are not enough, or some are left at the end."""

    def __init__(self, felts: Sequence[int]) -> None:
        self._felts = felts
        self._at = 0

    def take(self, count: int) -> Sequence[int]:
        """The next `count`."""
        if count > len(self._felts) - self._at:
            raise Malformed("fewer felts than the contract's layout has")
        self._at += count
        return self._felts[self._at - count : self._at]

    def one(self) -> int:
        """The next one."""
        return self.take(1)[0]

    def end(self) -> None:
        """Nothing may be left."""
        if self._at != len(self._felts):
            raise Malformed("more felts than the contract's layout has")
