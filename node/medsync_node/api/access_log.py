"""Reading the access log for a caller: pages of what this member may open, newest first, and the entry that it looked."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from medsync_client.accesses import AccessRow, HalfName
from medsync_node.api.deciding import ANSWER_NAMES, custodian_of
from medsync_node.api.levels import write
from medsync_node.api.problems import unprocessable
from medsync_protocol.access import AccessEntry, Answer, Half, decode_access
from medsync_protocol.application import OpenedEntry
from medsync_protocol.errors import Malformed
from medsync_protocol.ids import Instant, MemberId, SubjectRef
from medsync_protocol.kinds import EntryKind, Role, Verdict
from medsync_protocol.rule import member_actor

if TYPE_CHECKING:
    from medsync_node.node import Node
    from medsync_protocol.replica import Replica

HALVES: Final[dict[HalfName, Half]] = {
    "requested": Half.REQUESTED, "disclosed": Half.DISCLOSED, "refused": Half.REFUSED,
    "break-glass": Half.BREAK_GLASS, "log-read": Half.LOG_READ,
}  # fmt: skip
HALF_NAMES: Final = {half: name for name, half in HALVES.items()}
ANSWERS: Final = {name: answer for answer, name in ANSWER_NAMES.items()}
MAX_SCANNED: Final = 20_000  # entries looked at for one page of a filtered list; the cursor goes on from there
MAX_CURSOR: Final = 38  # digits of a position in the log
READ_PURPOSE: Final = "HOPERAT"  # reading who looked is running the institution
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a reader asks for; None: any. Times in ms UTC, `until` exclusive; `purpose` is one that an entry names."""

    member: MemberId | None = None
    half: Half | None = None
    outcomes: frozenset[Answer] | None = None
    purpose: str | None = None
    since: int | None = None
    until: int | None = None

    def __call__(self, entry: AccessEntry) -> bool:
        """Whether an entry is wanted."""
        return (
            (self.member is None or self.member in (entry.requester, entry.custodian))
            and (self.half is None or entry.half is self.half)
            and (self.outcomes is None or entry.outcome in self.outcomes)
            and (self.purpose is None or self.purpose in entry.purposes)
            and (self.since is None or entry.time >= self.since)
            and (self.until is None or entry.time < self.until)
        )


def access_of(opened: OpenedEntry) -> AccessEntry | None:
    """The access that an entry tells of; None for anything else."""
    if opened.kind != EntryKind.ACCESS:
        return None
    try:
        return decode_access(opened.payload)
    except Malformed:
        return None


def row_of(opened: OpenedEntry, entry: AccessEntry, verdict: Verdict, names: dict[MemberId, str]) -> AccessRow:
    """An entry as a caller reads it."""
    _, unit, user = (*entry.actors[0].path, b"", b"")[:3]
    return AccessRow(
        op=opened.op_id.hex(), index=opened.index, half=HALF_NAMES[entry.half], subject=entry.subject.hex(),
        requester=entry.requester.hex(), requester_name=names.get(entry.requester, ""),
        unit=unit.decode(errors="replace") or None, user=user.decode(errors="replace") or None,
        custodian=entry.custodian.hex(), custodian_name=names.get(entry.custodian, ""),
        purposes=entry.purposes, action=entry.action, types=entry.types, outcome=ANSWER_NAMES[entry.outcome],
        receipt=entry.receipt.hex() or None, match=entry.match.hex(), time=entry.time,
        effective=verdict.effective,
    )  # fmt: skip


def cursor_of(text: str | None) -> int | None:
    """Where a page begins. Raises Failure."""
    if text is None:
        return None
    if not text.isdecimal() or len(text) > MAX_CURSOR:
        raise unprocessable(
            "cursor", "this is no cursor of ours", "give `next` of the page before, unchanged"
        )
    return int(text)


def is_shown(node: Node, replica: Replica, subject: SubjectRef | None) -> bool:
    """Whether the whole log shows a row about this subject: an erased one's are as if they had never been, unless the
    context keeps rows of the log by months, beyond their subject (PROTOCOL §8)."""
    if subject is None or replica.retention is not None:
        return True
    return not node.engine.desk(replica.context).application.hidden(subject)


async def log_page(
    node: Node, replica: Replica, subject: SubjectRef | None, before: int | None, limit: int,
    read: Callable[[OpenedEntry], T | None], kinds: Sequence[int] = (EntryKind.ACCESS,),
) -> tuple[list[tuple[OpenedEntry, T, Verdict]], int | None]:  # fmt: skip
    """Entries of one page, newest first, and the cursor of the next; None when this one ends the log.

    `read` says what an entry is to the caller, None for one that isn't wanted; `subject` None: of the whole context.
    """
    found: list[tuple[OpenedEntry, T, Verdict]] = []
    scanned = 0
    while scanned < MAX_SCANNED:
        page = await node.log(replica.context, kinds, subject, before, limit)
        for cursor, opened, verdict in page:
            before = cursor
            entry = read(opened)
            if entry is not None and (subject is not None or is_shown(node, replica, opened.subject)):
                found.append((opened, entry, verdict))
            if len(found) == limit:
                return found, before
        if not page:
            return found, None
        scanned += len(page)
    return found, before


async def log_read(node: Node, replica: Replica, subjects: Iterable[SubjectRef]) -> None:
    """The entries that say this member looked. One that may not write looks without: it holds no more for it.

    Of those in a list, subjects that were erased, or whose record is not held, are passed over: nothing can be written
    about them.
    """
    if replica.role is None or replica.role < Role.MEMBER:
        return
    application = node.engine.desk(replica.context).application
    known = [one for one in sorted(subjects) if not application.hidden(one) and application.standing(one) is not None]
    if known:
        desk = node.engine.desk(replica.context)
        await write(node, replica, lambda now: desk.logged(Instant(now), [_look(node, replica, one, now) for one in known]))


def _look(node: Node, replica: Replica, subject: SubjectRef, now: int) -> AccessEntry:
    return AccessEntry(
        half=Half.LOG_READ, subject=subject, requester=replica.member, actors=(member_actor(replica.member),),
        custodian=custodian_of(node, replica, subject, None), purposes=(READ_PURPOSE,), action="access", types=None,
        outcome=Answer.PERMIT, time=Instant(now), match=os.urandom(16),
    )  # fmt: skip
