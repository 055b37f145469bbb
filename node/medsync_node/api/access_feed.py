"""The access log as it grows, as server-sent events: the same entries to the same callers as the list, in order of arrival.

The log itself is the buffer: a slow caller is told later, and nothing waits for it in memory. An entry whose key came after
it is in the list and not told here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import trio
from fastapi import APIRouter, Header, Request

from medsync_client.accesses import AnswerName, HalfName
from medsync_node.api.access_log import ANSWERS, HALVES, Wanted, access_of, is_shown, log_read, row_of
from medsync_node.api.finding import find_anyone, find_replica, find_subject, member_names
from medsync_node.api.guards import STANDS
from medsync_node.api.problems import Failure, unprocessable
from medsync_node.api.streaming import Stream
from medsync_protocol.errors import MedSyncError
from medsync_protocol.ids import SubjectRef
from medsync_protocol.kinds import EntryKind

if TYPE_CHECKING:
    from medsync_node.node import Node
    from medsync_protocol.replica import Replica

KEEP_ALIVE_SECONDS: Final = 15.0  # a comment line for proxies; also how soon a stream ends after its token did
PAGE: Final = 200  # entries read at once
MAX_LOOKED: Final = 10_000  # subjects of a feed of all whose reading is remembered as logged; then they are logged again


@dataclass(slots=True, kw_only=True)
class _Feed:
    """One caller's. `again` makes the checks of the list once more and raises what it would."""

    node: Node
    again: Callable[[], Replica]
    subject: SubjectRef | None
    wanted: Wanted
    after: int
    stands: Callable[[], bool]

    async def told(self, stopping: trio.Event) -> AsyncIterator[str]:
        """Events from `after` on, until the caller goes, the node stops, or the caller may no longer read this."""
        looked: set[SubjectRef] = set()
        yield ": connected\n\n"
        while not stopping.is_set() and self.stands():
            grown = self.node.grown
            try:
                events, more = await self._next(looked)
            except (Failure, MedSyncError):
                return  # as a list would be refused now: asking again says why
            for event in events:
                yield event
            if more:
                continue
            with trio.move_on_after(KEEP_ALIVE_SECONDS) as silent:
                await _either(grown, stopping)
            if silent.cancelled_caught:
                yield f": still here\nid: {self.after}\n\n"

    async def _next(self, looked: set[SubjectRef]) -> tuple[list[str], bool]:
        """The next events, and whether there may be more already. That it was read is in the log before they are told."""
        replica = self.again()
        rows, last = await self.node.log_after(replica.context, (EntryKind.ACCESS,), self.subject, self.after, PAGE)
        if last is None:
            return [], False
        read = [(cursor, opened, access_of(opened), verdict) for cursor, opened, verdict in rows]
        mine = [
            (c, opened, entry, verdict) for c, opened, entry, verdict in read
            if entry is not None and self.wanted(entry)
            and (self.subject is not None or is_shown(self.node, replica, opened.subject))
        ]  # fmt: skip
        if self.subject is None:
            new = {entry.subject for _, _, entry, _ in mine} - looked
            if len(looked) + len(new) > MAX_LOOKED:
                looked.clear()
            looked |= new
            await log_read(self.node, replica, new)
        names = member_names(replica)
        self.after = last
        return [
            f"id: {cursor}\nevent: access\ndata: {row_of(opened, entry, verdict, names).model_dump_json()}\n\n"
            for cursor, opened, entry, verdict in mine
        ], True


async def _either(one: trio.Event, other: trio.Event) -> None:
    async with trio.open_nursery() as nursery:

        async def end(event: trio.Event) -> None:
            await event.wait()
            nursery.cancel_scope.cancel()

        nursery.start_soon(end, one)
        nursery.start_soon(end, other)


def _position(text: str | None, newest: int) -> int:
    """Where to go on. Raises Failure for what this node never gave."""
    if text is None:
        return newest
    if not text.isdecimal() or len(text) > 19 or int(text) > newest:
        raise unprocessable("last_event_id", "this is no event id of this node", "leave Last-Event-ID out, and read the list for what was before")
    return int(text)


def routes(node: Node, stopping: trio.Event) -> APIRouter:
    """Routes over this node."""
    router = APIRouter(tags=["access"])

    @router.get("/contexts/{context}/access:stream")
    async def follow_accesses(
        request: Request, context: str, subject: str | None = None, member: str | None = None, half: HalfName | None = None,
        outcome: AnswerName | None = None, purpose: str | None = None,
        last_event_id: Annotated[str | None, Header()] = None,
    ) -> Stream:  # fmt: skip
        """Accesses from now on as server-sent events, of one subject or of all; after `Last-Event-ID` where it is given.

        Each event's data is an entry as the list has it, its id where to go on. Reading is logged: at the start for one
        subject, else once for each subject that something is told of.
        """

        def found() -> Replica:
            replica = find_replica(node, context)
            if subject is not None:
                node.engine.desk(replica.context).application.subject(find_subject(replica, subject))
            return replica

        replica = found()
        ref = None if subject is None else find_subject(replica, subject)
        wanted = Wanted(
            member=None if member is None else find_anyone(replica, member), half=None if half is None else HALVES[half],
            outcomes=None if outcome is None else frozenset({ANSWERS[outcome]}), purpose=purpose,
        )  # fmt: skip
        after = _position(last_event_id, await trio.to_thread.run_sync(node.store.reader.last_row))
        if ref is not None:
            await log_read(node, replica, (ref,))
        feed = _Feed(
            node=node, again=found, subject=ref, wanted=wanted, after=after, stands=request.scope.get(STANDS, lambda: True)
        )
        return Stream(feed.told(stopping), media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    return router
