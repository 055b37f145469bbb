"""What of a replica which member may be sent: entries for others pruned, farewells to removed members (PROTOCOL §§2, 3.4).

When something is sent is sync.py's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from medsync_protocol.application import OpenedEntry
from medsync_protocol.chains import Vector
from medsync_protocol.ids import ChainId, KeyId, MemberId, OpId
from medsync_protocol.kinds import Audience, Plane
from medsync_protocol.operation import decode_body, decode_header, join, label_of, prune, split

if TYPE_CHECKING:
    from medsync_protocol.replica import News, Replica


def takes_from(replica: Replica, member: MemberId | None) -> bool:
    """Whether operations handed in by this member are taken: it is in, or was never known to be out."""
    state = replica.membership
    return member is not None and (
        member in state.members or all(r.member != member for r in state.removed)
    )


def is_tentative(replica: Replica, member: MemberId | None) -> bool:
    """Whether the member is out by something that is not final yet, so that what it hands in may change that (§3.4)."""
    return member is not None and any(
        not replica.chains.slot(*place).final for place in _places(replica, _out_by(replica, member))
    )


def _out_by(replica: Replica, member: MemberId) -> list[OpId]:
    """What put the member out: its removals; else its admissions that turned out void, and what made them so."""
    state = replica.membership
    gone = [r for r in state.removed if r.member == member and r.device is None]
    removals = [op_id for r in gone for op_id in (r.op_id, *r.votes)]
    if removals or member in state.members:
        return removals
    void = replica.fold.admitting(member)
    if not void:
        return []
    lost = replica.fold.replaced_by(member)
    first = [op_id for r in state.removed if r.member in lost and r.device is None for op_id in (r.op_id, *r.votes)]
    authors = {replica.fold.author_of(op_id) for op_id in (*void, *replica.fold.votes_for(void))} - {None}
    return [*void, *replica.fold.putting_out(authors), *first]


def _places(replica: Replica, op_ids: Iterable[OpId]) -> Iterator[tuple[ChainId, int]]:
    """Where they stand; the other branch of a fork stands nowhere and travels as its proof."""
    return (replica.places[op_id] for op_id in op_ids if op_id in replica.places)


def farewell(replica: Replica, member: MemberId) -> Vector | None:
    """What a removed member is shown: the causal past of its removal, as a vector; None when it was never in.

    Somebody whose admission turned out void is shown why in the same way. What put devices of the remover out is shown too:
    without it the target may take the removal for void, by something that a stolen device signed beside it.
    """
    removals = _out_by(replica, member)
    if not removals:
        return None
    shown: Vector = {}
    removers = {replica.fold.author_of(op_id) for op_id in removals}
    beside = [r.op_id for r in replica.membership.removed if r.device is not None and r.member in removers]
    for chain, seq in _places(replica, replica.fold.closure([*removals, *beside])):
        shown[chain] = max(shown.get(chain, 0), seq + 1)
    return shown


def put_out_at(replica: Replica, member: MemberId, cuts: Iterable[Vector]) -> int | None:
    """Which of these cuts, counted from 0, is the first that holds all that put the member out; None when none does.

    What lies below it is the proof of a final removal: its target may have judged otherwise until then (§3.4).
    """
    places = list(_places(replica, _out_by(replica, member)))
    for k, cut in enumerate(cuts):
        if places and all(cut.get(chain, 0) > seq for chain, seq in places):
            return k
    return None


def may_have_key(replica: Replica, member: MemberId, key_id: KeyId) -> bool:
    """Whether a member that asks is given a key: not that of its own removal (K1), unless that is void for good.

    Whoever is asked may not have heard yet that the removal was accepted. Who was let in again by somebody that knew of
    the removal has the key, too: an admission brings it in a box, one that was voted on does not (decision 21).
    """
    standing = replica.membership.members.get(member)

    def undone(removal: OpId) -> bool:
        slot = replica.chains.slot(*replica.places[removal])
        void = slot.final and not slot.verdict.effective
        return void or (standing is not None and replica.fold.in_past(removal, [standing.since]))

    return all(undone(removal) for removal in replica.fold.removing_under(key_id, member))


def needed_keys(replica: Replica) -> set[KeyId]:
    """Keys that the membership names, and those of operations that count though what brought their key turned out void."""
    return {*replica.membership.keys} | {
        key_id
        for (chain, seq), key_id in replica.opener.without_epoch.items()
        if replica.chains.slot(chain, seq).verdict.effective
    }


def is_entitled(replica: Replica, member: MemberId, entry: OpenedEntry) -> bool:
    """Whether the member is sent this PARTIES entry's ciphertext."""
    if member == entry.author or member in replica.genesis.auditors:
        return True
    return replica.application is not None and member in replica.application.parties(entry)


def redacted(replica: Replica, member: MemberId, wire: bytes) -> bytes:
    """The operation as that member may have it: entries for others pruned to hash and size (§2).

    Someone who is no member any more gets hashes alone.
    """
    header_bytes, signature, body_bytes = split(wire)
    if decode_header(header_bytes).plane != Plane.DATA:
        return wire
    is_member = member in replica.membership.members
    if is_member and member in replica.genesis.auditors:
        return wire
    body = decode_body(body_bytes)
    if not is_member:
        return join(header_bytes, signature, prune(body, frozenset(range(len(body.entries)))))
    closed = [
        index
        for index, entry in enumerate(body.entries)
        if not entry.pruned and (label := label_of(entry)) is not None and label.audience is Audience.PARTIES
    ]
    if not closed:
        return wire
    opened = replica.open(wire)
    hidden = frozenset(
        i for i in closed if (entry := opened[i]) is None or not is_entitled(replica, member, entry)
    )
    return join(header_bytes, signature, prune(body, hidden)) if hidden else wire


def redacted_news(replica: Replica, member: MemberId, news: News) -> bytes:
    """As `redacted`, for an own operation whose parties are known without opening it."""
    operation = news.operation
    if operation.header.plane != Plane.DATA or member in replica.genesis.auditors:
        return operation.wire
    hidden = frozenset(
        index for index, parties in enumerate(news.parties) if parties is not None and member not in parties
    )
    if not hidden:
        return operation.wire
    return join(operation.header_bytes, operation.signature, prune(operation.body, hidden))
