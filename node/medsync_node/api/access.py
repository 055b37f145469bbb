"""Access: requests to custodians, halves that took place outside in bulk, and the log of who asked for what."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter
from pydantic import Field

from medsync_client.accesses import (
    MAX_PAGE,
    AccessAnswer,
    AccessBatch,
    AccessPage,
    AccessRequest,
    AccessRow,
    AnswerName,
    Appended,
    HalfName,
    LoggedAccess,
)
from medsync_client.documents import period_of
from medsync_client.wire import Level
from medsync_node.api.finding import (
    find_anyone,
    find_member,
    find_replica,
    find_subject,
    member_names,
)
from medsync_node.api.levels import reached, require_writer, write
from medsync_node.api.problems import unprocessable
from medsync_protocol.access import (
    NO_RECEIPT,
    AccessEntry,
    Answer,
    Half,
    decode_access,
    make_request,
)
from medsync_protocol.application import OpenedEntry
from medsync_protocol.errors import Malformed, Refused
from medsync_protocol.ids import Instant, MemberId, OpId, SubjectRef
from medsync_protocol.kinds import EntryKind, Role, Verdict
from medsync_protocol.receipt import ReceiptEntry, encode_receipt
from medsync_protocol.rule import Actor, member_actor

if TYPE_CHECKING:
    from medsync_node.node import Node
    from medsync_protocol.replica import Replica

HALVES: Final[dict[HalfName, Half]] = {
    "requested": Half.REQUESTED, "disclosed": Half.DISCLOSED, "refused": Half.REFUSED,
    "break-glass": Half.BREAK_GLASS, "log-read": Half.LOG_READ,
}  # fmt: skip
HALF_NAMES: Final = {half: name for name, half in HALVES.items()}
ANSWER_NAMES: Final[dict[Answer, AnswerName]] = {
    Answer.PERMIT: "PERMIT", Answer.DENY: "DENY", Answer.NO_CONSENT: "NO_CONSENT",
    Answer.INDETERMINATE: "INDETERMINATE", Answer.ERASED: "ERASED",
}  # fmt: skip
ANSWERS: Final = {name: answer for answer, name in ANSWER_NAMES.items()}
MAX_SCANNED: Final = (
    20_000  # entries looked at for one page of a filtered list; the cursor goes on from there
)
NEWEST_HALVES: Final = 16  # among them is the one just written, unless a burst of others came between
READ_PURPOSE: Final = "HOPERAT"  # reading who looked is running the institution


def _custodian(node: Node, replica: Replica, subject: SubjectRef, named: str | None) -> MemberId:
    """Whom to ask: the one named, else this member, else one that is linked now, else any of the record."""
    custodians = node.engine.desk(replica.context).application.subject(subject).custodians
    if named is not None:
        return find_member(replica, named)
    if not custodians:
        raise Refused(
            "the subject's record was changed at two places at once, and no custodian stands in both",
            code="no_custodian", advice="enrol the patient anew, and link the two pseudonyms with `medsync subject link`",
        )  # fmt: skip
    linked = {replica.membership.devices.get(device) for device in node.transport.linked()}

    def preference(member: MemberId) -> tuple[bool, bool, MemberId]:
        return member != replica.member, member not in linked, member

    return min(custodians, key=preference)


def _answer(entry: ReceiptEntry, op: OpId | None) -> AccessAnswer:
    receipt = entry.receipt
    decision = receipt.decision
    return AccessAnswer(
        answer=ANSWER_NAMES[decision.answer], reason=decision.reason.value, obligations=decision.obligations,
        rules=tuple(
            ":".join([named.hex(), *(str(part) for part in places if part is not None)])
            for named, *places in decision.rules
        ),
        custodian=receipt.signer.hex(), receipt_id=receipt.id.hex(), receipt=encode_receipt(entry).hex(),
        op=None if op is None else op.hex(), time=receipt.time,
    )  # fmt: skip


async def _own_half(node: Node, replica: Replica, subject: SubjectRef, receipt: bytes) -> OpId | None:
    """The operation that holds the requester's half of an answer that just came."""
    for _, opened, _ in await node.log(replica.context, (EntryKind.ACCESS,), subject, None, NEWEST_HALVES):
        try:
            entry = decode_access(opened.payload)
        except Malformed:
            continue
        if entry.half is Half.REQUESTED and entry.receipt == receipt:
            return opened.op_id
    return None


class _Reader:
    """Entries of one batch to what the log holds: members by name and actors are looked up once each."""

    def __init__(self, replica: Replica, now: int) -> None:
        self._replica, self._now = replica, now
        self._members: dict[str, MemberId] = {}
        self._actors: dict[tuple[MemberId, str, str], tuple[Actor, ...]] = {}

    def _member(self, named: str) -> MemberId:
        found = self._members.get(named)
        if found is None:
            found = self._members[named] = find_member(self._replica, named)
        return found

    def read(self, one: LoggedAccess) -> AccessEntry:
        """One half. Raises Failure for a member that isn't known."""
        requester = self._member(one.requester)
        key = (requester, one.unit or "", one.user or "")
        actors = self._actors.get(key)
        if actors is None:
            actors = self._actors[key] = (member_actor(requester, key[1].encode(), key[2].encode()),)
        return AccessEntry(
            half=HALVES[one.half], subject=SubjectRef(bytes.fromhex(one.subject)), requester=requester,
            actors=actors, custodian=self._member(one.custodian), purposes=tuple(sorted(set(one.purposes))),
            action=one.action, types=None if one.types is None else tuple(sorted(set(one.types))),
            outcome=ANSWERS[one.outcome],
            receipt=NO_RECEIPT if one.receipt is None else bytes.fromhex(one.receipt),
            time=Instant(self._now if one.time is None else one.time),
            match=os.urandom(16) if one.match is None else bytes.fromhex(one.match),
        )  # fmt: skip


def _row(opened: OpenedEntry, entry: AccessEntry, verdict: Verdict, names: dict[MemberId, str]) -> AccessRow:
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


def _cursor(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdecimal() or len(text) > 19:
        raise unprocessable(
            "cursor", "this is no cursor of ours", "give `next` of the page before, unchanged"
        )
    return int(text)


def routes(node: Node) -> APIRouter:
    """Routes over this node."""
    router = APIRouter(tags=["access"])
    engine = node.engine

    @router.post("/contexts/{context}/access")
    async def request_access(context: str, body: AccessRequest) -> AccessAnswer:
        """Ask a custodian. The answer may be DENY: that is no error of the call. Only PERMIT releases."""
        replica = find_replica(node, context)
        require_writer(replica)
        subject = find_subject(replica, body.subject)
        custodian = _custodian(node, replica, subject, body.custodian)
        request = make_request(
            replica.network, replica.context, subject, replica.member, purposes=body.purposes,
            action=body.action, time=Instant(node.now()), salt=os.urandom(16), unit=(body.unit or "").encode(),
            user=(body.user or "").encode(), types=body.types, labels=body.labels,
            data_period=period_of(body.data_period),
        )  # fmt: skip
        entry = await node.ask(replica.context, custodian, request)
        return _answer(entry, await _own_half(node, replica, subject, entry.receipt.id))

    @router.post("/contexts/{context}/access:batch")
    async def append_accesses(context: str, body: AccessBatch, level: Level = "local") -> Appended:
        """Append halves of accesses that took place outside as one operation: all or none.

        Up to 4,096, and 256 KiB once encoded: about 700 with receipts.
        """
        replica = find_replica(node, context)
        desk = engine.desk(replica.context)
        reader = _Reader(replica, node.now())
        entries = [reader.read(one) for one in body.entries]
        _, done = await write(node, replica, lambda now: desk.logged(Instant(now), entries))
        assert done is not None, "a batch has an entry at least"
        await reached(node, replica, done, level)
        return Appended(
            op=done.op_id.hex(), chain=done.chain.hex(), seq=done.seq, count=done.count, level=level
        )

    @router.get("/contexts/{context}/access")
    async def list_accesses(
        context: str, subject: str, member: str | None = None, half: HalfName | None = None,
        outcome: AnswerName | None = None, since: int | None = None, until: int | None = None,
        cursor: str | None = None, limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 100,
    ) -> AccessPage:  # fmt: skip
        """Who asked for, released or was refused a subject's data, newest first. Reading is logged too."""
        replica = find_replica(node, context)
        ref = find_subject(replica, subject)
        engine.desk(replica.context).application.subject(ref)
        party = None if member is None else find_anyone(replica, member)
        before = _cursor(cursor)
        if before is None:
            await _log_read(node, replica, ref)

        def wanted(entry: AccessEntry) -> bool:
            return (
                (party is None or party in (entry.requester, entry.custodian))
                and (half is None or entry.half is HALVES[half])
                and (outcome is None or entry.outcome is ANSWERS[outcome])
                and (since is None or entry.time >= since)
                and (until is None or entry.time < until)
            )

        rows, following = await _page(node, replica, ref, before, limit, wanted)
        names = member_names(replica)
        return AccessPage(
            entries=tuple(_row(opened, entry, verdict, names) for opened, entry, verdict in rows),
            next=None if following is None else str(following),
        )

    return router


async def _page(
    node: Node, replica: Replica, subject: SubjectRef, before: int | None, limit: int,
    wanted: Callable[[AccessEntry], bool],
) -> tuple[list[tuple[OpenedEntry, AccessEntry, Verdict]], int | None]:  # fmt: skip
    """Entries of one page, newest first, and the cursor of the next; None when this one ends the log."""
    found: list[tuple[OpenedEntry, AccessEntry, Verdict]] = []
    scanned = 0
    while scanned < MAX_SCANNED:
        page = await node.log(replica.context, (EntryKind.ACCESS,), subject, before, limit)
        for cursor, opened, verdict in page:
            before = cursor
            try:
                entry = decode_access(opened.payload)
            except Malformed:
                continue
            if wanted(entry):
                found.append((opened, entry, verdict))
            if len(found) == limit:
                return found, before
        if not page:
            return found, None
        scanned += len(page)
    return found, before


async def _log_read(node: Node, replica: Replica, subject: SubjectRef) -> None:
    """The entry that says this member looked. A member that may not write looks without one: it holds no more for it."""
    me = replica.member
    if replica.role is None or replica.role < Role.MEMBER:
        return
    desk = node.engine.desk(replica.context)
    custodian = _custodian(node, replica, subject, None)
    await write(
        node, replica,
        lambda now: desk.logged(
            Instant(now),
            [
                AccessEntry(
                    half=Half.LOG_READ, subject=subject, requester=me, actors=(member_actor(me),),
                    custodian=custodian,
                    purposes=(READ_PURPOSE,), action="access", types=None, outcome=Answer.PERMIT,
                    time=Instant(now), match=os.urandom(16),
                )
            ],
        ),
    )  # fmt: skip
