"""Destroys what an erase order names at one replica: the subject's key, every entry about it, and what comes later (§8).

Whether an order counts is erasure.py's. Reading operations again to prune them is done like every other re-reading, by
the driver; what is pruned is never asked for again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from medsync_protocol.application import OpenedEntry
from medsync_protocol.effects import Effect, Notify, Persist, Reread, RereadAbout
from medsync_protocol.erasure import Attestation, Erases, attestation_draft
from medsync_protocol.errors import Malformed, Refused
from medsync_protocol.ids import ChainId, MemberId, OpId, Place, SubjectRef, short
from medsync_protocol.journal import ValueRecord
from medsync_protocol.kinds import EntryKind, Role
from medsync_protocol.operation import Operation, decode, join, prune, sealing_context
from medsync_protocol.retention import MONTH_ENDED

if TYPE_CHECKING:
    from medsync_protocol.replica import Replica


@dataclass(slots=True)
class Erased:
    """What one replica destroyed. `closed`: subject → its order; `marks`: entries that are to go; `places`: operations
    some of whose entries went."""

    closed: dict[SubjectRef, OpId] = field(default_factory=dict)
    marks: dict[Place, set[int]] = field(default_factory=dict)
    places: set[Place] = field(default_factory=set)


def due(replica: Replica) -> list[Effect]:
    """After more became final: destroy what is ordered."""
    application = replica.application
    if not isinstance(application, Erases):
        return []
    application.erasure.changed = False
    effects: list[Effect] = []
    ended = _ended(replica, application)
    for subject, order in {**_carried_out(replica, application), **application.erasable(), **ended}.items():
        fields = (("order", short(order)),)
        record = ValueRecord("erased", replica.context, subject, order)
        effects += [Persist((record,), True), *_close(replica, application, subject, order)]
        effects.append(Notify("month_ended" if order == MONTH_ENDED else "erased", replica.context, fields))
    return effects


def _ended(replica: Replica, application: Erases) -> dict[SubjectRef, OpId]:
    """Months whose rows have been kept long enough at the newest settled checkpoint, and that nobody holds back."""
    months, cuts = replica.retention, application.cuts
    if months is None or cuts is None:
        return {}
    held = application.erasure
    return {ref: MONTH_ENDED for ref in months.ended(cuts.time) if not held.holding(ref, cuts.newest)}


def _about(replica: Replica, application: Erases, entry: OpenedEntry) -> tuple[SubjectRef, ...]:
    """Whose end an entry ends with: its month's where that keeps it, else its subject's."""
    if entry.kept_by is not None:
        return (entry.kept_by,)
    if entry.kind == EntryKind.MONTH_KEY and replica.retention is not None:
        return replica.retention.about(entry)
    return application.about(entry)


def due_again(replica: Replica) -> list[Effect]:
    """As `due`, where orders, holds or attestations were read since."""
    application = replica.application
    return due(replica) if isinstance(application, Erases) and application.erasure.changed else []


def _carried_out(replica: Replica, application: Erases) -> dict[SubjectRef, OpId]:
    """What this member said that it destroyed, before an old backup came back. And of whom it never had, or lost, the
    record, by which alone orders can be judged: those that most of the others say they destroyed."""
    others = replica.membership.members.keys() - {replica.member}
    found: dict[SubjectRef, OpId] = {}
    for subject, told in application.carried_out().items():
        for order, members in sorted(told.items()):
            unknown = application.standing(subject) is None
            if replica.member in members or (unknown and 2 * len(members & others) > len(others)):
                found[subject] = order
    return found


def _close(replica: Replica, application: Erases, subject: SubjectRef, order: OpId) -> list[Effect]:
    erased = replica.erased
    erased.closed[subject] = order
    places: set[Place] = set()
    months = replica.retention.close(subject) if replica.retention is not None else ()
    for place, index in (*application.close(subject), *months):
        erased.marks.setdefault(place, set()).add(index)
        places.add(place)
    places.update(replica.forget(lambda entry: subject in _about(replica, application, entry)))
    places.update(replica.opener.waiting_for(subject))
    about = RereadAbout(replica.context, replica.subject_tag(subject))
    return [*(Reread(replica.context, chain, seq) for chain, seq in sorted(places)), about]


def without_erased(replica: Replica, operation: Operation) -> tuple[Operation, list[ValueRecord]]:
    """The operation with its entries about closed subjects pruned, and what to record of it."""
    erased, header = replica.erased, operation.header
    place = (header.chain, header.seq)
    if not erased.closed:
        return operation, []
    gone = {i for i in erased.marks.pop(place, ()) if operation.body.entries[i].ciphertext is not None}
    gone |= set(_closed_entries(replica, operation))
    if not gone:
        return operation, []
    erased.places.add(place)
    body = prune(operation.body, frozenset(gone))
    wire = join(operation.header_bytes, operation.signature, body)
    pruned = decode(wire, network=replica.network, context=replica.context)
    key = header.chain + header.seq.to_bytes(8, "big")
    return pruned, [ValueRecord("erased_at", replica.context, key, b"")]


def _closed_entries(replica: Replica, operation: Operation) -> Iterable[int]:
    """By the pseudonym that the epoch key shows, or that the payload names."""
    header, body, closed = operation.header, operation.body, replica.erased.closed
    application = replica.application
    assert isinstance(application, Erases), "who closes subjects can tell whom an entry is about"
    for index, entry in enumerate(body.entries):
        if entry.ciphertext is None:
            continue
        try:
            got = replica.ring.open_entry(
                entry.ciphertext, index, key_id=header.key_id, nonce=body.nonce, place=sealing_context(header)
            )
        except Malformed:
            continue
        if got is not None and got[0] in closed:
            yield index
    for opened in replica.opened(operation):
        if opened is not None and any(subject in closed for subject in _about(replica, application, opened)):
            yield opened.index


def concerns_closed(replica: Replica, entries: Iterable[OpenedEntry | None]) -> bool:
    """Whether somebody carries again what was destroyed: it is pruned too."""
    application, closed = replica.application, replica.erased.closed
    if not closed or not isinstance(application, Erases):
        return False
    return any(e is not None and any(s in closed for s in _about(replica, application, e)) for e in entries)


def attest(replica: Replica, now: int) -> list[Effect]:
    """Say of one subject that it was destroyed here, once that is so and this member hasn't said it."""
    application = replica.application
    if not replica.erased.closed or not isinstance(application, Erases) or replica.erased.marks:
        return []
    if replica.role is None or replica.role < Role.MEMBER:
        return []
    for subject, order in sorted(replica.erased.closed.items()):
        if order != MONTH_ENDED and replica.member not in application.erasure.attested(subject):
            made = Attestation(subject=subject, order=order, entries=len(replica.erased.places))
            try:
                return replica.submit(now, [attestation_draft(made)])[1]
            except Refused:
                return []  # no key to write under: when there is one
    return []


def attestations(replica: Replica, subject: SubjectRef) -> tuple[int, int]:
    """(m, n): how many of the members that write said that they destroyed it."""
    application = replica.application
    writers = {m for m, held in replica.membership.members.items() if held.role >= Role.MEMBER}
    said: set[MemberId] = set()
    if isinstance(application, Erases):
        said = set(application.erasure.attested(subject)) & writers
    return len(said), len(writers)


def told_gone(replica: Replica, member: MemberId, place: Place, *, lacking: bool = False) -> list[Effect]:
    """A member says that it destroyed, or with `lacking` never had, what we lack of an operation.

    One alone may lie, to keep a denial from us: until most of the others destroyed it, or some did and nobody else has it,
    nothing of that chain from there on is readable here. Then it is asked for no more. Where nobody ever ordered anything
    to be destroyed, nothing is gone, whoever says so.
    """
    opener, application = replica.opener, replica.application
    (opener.told_lacking if lacking else opener.told_gone)(place).add(member)  # it is not asked again, at any rate
    if not isinstance(application, Erases) or not application.erasure.subjects():
        return []
    if not _is_gone(replica, place, opener.told_gone(place), opener.told_lacking(place)):
        return []
    opener.give_up(place)
    chain, seq = place
    record = ValueRecord("erased_at", replica.context, chain + seq.to_bytes(8, "big"), b"")
    return [Persist((record,), False), Notify("opened", replica.context)]


def _is_gone(replica: Replica, place: Place, gone: set[MemberId], lacking: set[MemberId]) -> bool:
    others = replica.membership.members.keys() - {replica.member}
    gone, lacking = gone & others, lacking & others
    if place in replica.opener.blank:
        return 2 * len(gone) > len(others) or bool(gone) and gone | lacking >= others
    author = replica.opener.wanted.get(place)
    return author in gone or bool(gone) and author not in others  # an entry for its parties: its author knows best


def replay(replica: Replica, record: ValueRecord) -> list[Effect]:
    """What was destroyed, from the journal: closed before anything is served, and begun again where it was cut short."""
    if record.table == "erased_at":
        place = (ChainId(record.key[:40]), int.from_bytes(record.key[40:], "big"))
        replica.opener.give_up(place)
        return []
    application = replica.application
    if record.value is None or not isinstance(application, Erases):
        return []
    return _close(replica, application, SubjectRef(record.key), OpId(record.value))
