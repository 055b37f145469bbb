"""One node: its engine on its journal and transport, and the calls that need more than one of them.

Opening it is opening.py's, the API over it `api/`'s.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import trio

from medsync_node.driver import Driver
from medsync_node.finality import Finality
from medsync_node.store import Store
from medsync_node.store_reader import NEWEST, AccessRow
from medsync_protocol.access import Request
from medsync_protocol.application import OpenedEntry
from medsync_protocol.effects import Effect, Notify
from medsync_protocol.engine import Engine
from medsync_protocol.errors import Refused
from medsync_protocol.identity import Identity
from medsync_protocol.ids import ContextId, MemberId, NetworkId, SubjectRef
from medsync_protocol.kinds import Verdict
from medsync_protocol.ports import Transport, Unreachable
from medsync_protocol.receipt import ReceiptEntry

if TYPE_CHECKING:
    from medsync_node.home import Home

T = TypeVar("T")

MAX_NOTICES: Final = 1_000  # waiting for one listener; a slower one misses some, and hears how it stands by `status`
ANSWER_SECONDS: Final = 45.0  # longer than the engine waits for a custodian


class Node:
    """A running node. `home` is None for one that lives in a test's memory and temporary files."""

    def __init__(
        self, engine: Engine, store: Store, transport: Transport, driver: Driver, home: Home | None
    ) -> None:
        self.engine, self.store, self.transport, self.home = engine, store, transport, home
        self.driver = driver
        self.finality: Finality | None = None
        self._listeners: set[trio.MemorySendChannel[Notify]] = set()
        self._changed = trio.Event()
        self.grown = trio.Event()
        """Set once more is committed than when it was taken; then there is a new one."""
        driver.heard, driver.grew = self._heard, self._grew

    @property
    def identity(self) -> Identity:
        """Whose node this is."""
        return self.engine.identity

    def now(self) -> int:
        """Milliseconds since 1970 UTC, by this machine's clock."""
        return self.driver.now()

    # -- doing and waiting ------------------------------------------------------------------------------------

    async def perform(self, command: Callable[[int], tuple[T, list[Effect]]]) -> T:
        """Run an engine's command; return once what it wrote is committed. Raises what it raises, and DiskFull."""
        return await self.driver.perform(command)

    def _heard(self, notify: Notify) -> None:
        changed, self._changed = self._changed, trio.Event()
        changed.set()
        for listener in list(self._listeners):
            try:
                listener.send_nowait(notify)
            except trio.WouldBlock:
                continue
            except trio.BrokenResourceError:
                self._listeners.discard(listener)

    def _grew(self) -> None:
        grown, self.grown = self.grown, trio.Event()
        grown.set()

    @asynccontextmanager
    async def notifications(self) -> AsyncIterator[trio.MemoryReceiveChannel[Notify]]:
        """What happens from now on. A listener that falls MAX_NOTICES behind misses some."""
        send, receive = trio.open_memory_channel[Notify](MAX_NOTICES)
        self._listeners.add(send)
        try:
            async with receive:
                yield receive
        finally:
            self._listeners.discard(send)

    async def wait_for(self, fact: Callable[[], bool], seconds: float) -> bool:
        """Whether the fact came to hold within `seconds`; looked at whenever something happened."""
        with trio.move_on_after(seconds):
            while not fact():
                await self._changed.wait()
            return True
        return fact()

    # -- calls over several parts -----------------------------------------------------------------------------

    async def join(self, token: str) -> NetworkId:
        """Join by invitation. Raises Refused with the inviting node's words, or when it can't be reached."""
        request = self.engine.join_request(self.now(), token)
        expected, reasons = request.invitation.network, []
        for address in request.addresses:
            try:
                reply = await self.transport.ask(address, request.protocol, request.frame)
            except Unreachable as error:
                reasons.append(str(error))
                continue
            return await self.perform(partial(self.engine.joined, reply=reply, expected=expected))
        raise Refused(
            f"the inviting node can't be reached: {'; '.join(reasons) or 'it named no address'}",
            code="admitter_unreachable",
            advice="check that it runs and that its addresses can be reached from here, then join again",
        )

    async def ask(self, context: ContextId, custodian: MemberId, request: Request) -> ReceiptEntry:
        """Ask a custodian for a decision; its answer stands in the log when this returns. Raises Refused."""
        name = await self.perform(lambda now: self.engine.ask(now, context, custodian, request))
        await self.wait_for(lambda: name in self.engine.asking.answers, ANSWER_SECONDS)
        answer = self.engine.asking.take_answer(name)
        if answer is None:
            raise Refused("the custodian did not answer in time", code="custodian_timeout", advice="try again")
        await self.driver.committed()  # other news may have woken us before our half's commit
        if isinstance(answer, Refused):
            raise answer
        return answer

    async def log(
        self, context: ContextId, kinds: Sequence[int], subject: SubjectRef | None, before: int | None, limit: int
    ) -> list[tuple[int, OpenedEntry, Verdict]]:
        """Indexed entries of these kinds, newest first: (cursor for older ones, entry, verdict). Raises Refused."""
        tag = self._tag(context, subject)
        start = NEWEST if before is None else before
        rows = await trio.to_thread.run_sync(
            lambda: self.store.reader.access_rows(context, kinds, tag, before=start, limit=limit)
        )
        return self._opened(context, subject, rows)

    async def log_after(
        self, context: ContextId, kinds: Sequence[int], subject: SubjectRef | None, after: int, limit: int
    ) -> tuple[list[tuple[int, OpenedEntry, Verdict]], int | None]:
        """The same, oldest first, and the last cursor looked at, readable or not; None: there is nothing after `after`."""
        tag = self._tag(context, subject)
        rows = await trio.to_thread.run_sync(
            lambda: self.store.reader.access_rows_after(context, kinds, tag, after=after, limit=limit)
        )
        return self._opened(context, subject, rows), rows[-1].id if rows else None

    def _tag(self, context: ContextId, subject: SubjectRef | None) -> int | None:
        return None if subject is None else self.engine.replica(context).subject_tag(subject)

    def _opened(
        self, context: ContextId, subject: SubjectRef | None, rows: Sequence[AccessRow]
    ) -> list[tuple[int, OpenedEntry, Verdict]]:
        replica = self.engine.replica(context)
        opened = {wire: replica.open(wire) for wire in {row.wire for row in rows}}
        found = []
        for row in rows:
            entry = opened[row.wire][row.index]
            if entry is not None and (subject is None or entry.subject == subject):
                found.append((row.id, entry, replica.verdict(entry.chain, entry.seq)))
        return found
