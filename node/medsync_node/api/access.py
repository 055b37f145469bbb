"""Access: requests to custodians, halves that took place outside in bulk, and the log of who asked for what."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter
from pydantic import Field

from medsync_client.accesses import (
    MAX_PAGE,
    AccessAnswer,
    AccessBatch,
    AccessPage,
    AccessRequest,
    AnswerName,
    Appended,
    HalfName,
    LoggedAccess,
    RefusedEntry,
)
from medsync_client.wire import Level, Problem
from medsync_node.api.access_log import (
    ANSWERS,
    HALVES,
    Wanted,
    access_of,
    cursor_of,
    log_page,
    log_read,
    row_of,
)
from medsync_node.api.deciding import ask
from medsync_node.api.finding import find_anyone, find_member, find_replica, find_subject, member_names
from medsync_node.api.levels import reached, write
from medsync_node.api.problems import Failure, problem_of, status_of
from medsync_protocol.access import NO_RECEIPT, AccessEntry
from medsync_protocol.application import Draft, OpenedEntry
from medsync_protocol.errors import Refused
from medsync_protocol.ids import Instant, MemberId, SubjectRef
from medsync_protocol.rule import Actor, member_actor

if TYPE_CHECKING:
    from medsync_node.node import Node
    from medsync_protocol.desk import Desk
    from medsync_protocol.replica import Replica


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


def _drafts(
    desk: Desk, reader: _Reader, entries: tuple[LoggedAccess, ...], *, partial: bool
) -> tuple[list[RefusedEntry], list[Draft]]:
    """Drafts of a batch, and which entries may not stand. Raises Failure, naming the first, unless `partial`."""
    refused: list[RefusedEntry] = []
    drafts: list[Draft] = []
    for index, one in enumerate(entries):
        try:
            drafts.append(desk.logged_one(reader.read(one)))
            continue
        except Failure as error:
            status, problem = error.status, error.problem
        except Refused as error:
            status, problem = status_of(error), problem_of(error)
        if not partial:
            raise Failure(
                status, Problem(code=problem.code, message=f"entry {index}: {problem.message}; none is stored", advice=problem.advice)
            )
        refused.append(RefusedEntry(index=index, problem=problem))
    if not drafts:
        worst = refused[0].problem
        raise Failure(422, Problem(code=worst.code, message=f"no entry of the batch may stand; entry 0: {worst.message}", advice=worst.advice))
    return refused, drafts


def routes(node: Node) -> APIRouter:
    """Routes over this node."""
    router = APIRouter(tags=["access"])
    engine = node.engine

    @router.post("/contexts/{context}/access")
    async def request_access(context: str, body: AccessRequest) -> AccessAnswer:
        """Ask a custodian. The answer may be DENY: that is no error of the call. Only PERMIT releases."""
        return (await ask(node, context, body))[0]

    @router.post("/contexts/{context}/access:batch")
    async def append_accesses(
        context: str, body: AccessBatch, level: Level = "local", partial: bool = False
    ) -> Appended:
        """Append halves of accesses that took place outside as one operation: all or none; `partial`: those that may stand.

        Up to 4,096, and 256 KiB once encoded: about 700 with receipts.
        """
        replica = find_replica(node, context)
        desk = engine.desk(replica.context)
        reader = _Reader(replica, node.now())
        refused, done = await write(
            node, replica, lambda now: _drafts(desk, reader, body.entries, partial=partial)
        )
        assert done is not None, "a batch has an entry at least"
        await reached(node, replica, done, level)
        out = {one.index for one in refused}
        return Appended(
            op=done.op_id.hex(), chain=done.chain.hex(), seq=done.seq, count=done.count, level=level,
            stored=tuple(i for i in range(len(body.entries)) if i not in out) if partial else None, refused=tuple(refused),
        )  # fmt: skip

    @router.get("/contexts/{context}/access")
    async def list_accesses(
        context: str, subject: str | None = None, member: str | None = None, half: HalfName | None = None,
        outcome: AnswerName | None = None, purpose: str | None = None, since: int | None = None, until: int | None = None,
        cursor: str | None = None, limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 100,
    ) -> AccessPage:  # fmt: skip
        """Who asked for, released or was refused data, of one subject or of all, newest first by when it was written down.

        So it is whenever it arrived here; a batch of older accesses stands where it was appended. Reading is logged too.
        """
        replica = find_replica(node, context)
        ref = None if subject is None else find_subject(replica, subject)
        if ref is not None:
            engine.desk(replica.context).application.subject(ref)
        before = cursor_of(cursor)
        if before is None and ref is not None:
            await log_read(node, replica, (ref,))
        wanted = Wanted(
            member=None if member is None else find_anyone(replica, member), half=None if half is None else HALVES[half],
            outcomes=None if outcome is None else frozenset({ANSWERS[outcome]}), purpose=purpose, since=since, until=until,
        )  # fmt: skip

        def read(opened: OpenedEntry) -> AccessEntry | None:
            entry = access_of(opened)
            return entry if entry is not None and wanted(entry) else None

        rows, following = await log_page(node, replica, ref, before, limit, read)
        if ref is None:
            await log_read(node, replica, {entry.subject for _, entry, _ in rows})
        names = member_names(replica)
        return AccessPage(
            entries=tuple(row_of(opened, entry, verdict, names) for opened, entry, verdict in rows),
            next=None if following is None else str(following),
        )

    return router
