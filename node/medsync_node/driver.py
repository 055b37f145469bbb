"""Performs an engine's effects on real things: commits first, then sends; group commit while the disk is busy (DESIGN §3).

Events come from the transport, commands from whoever calls `perform`. What a frame or a command means is the
engine's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import structlog
import trio

from medsync_node.serving import Server
from medsync_node.store import Store
from medsync_protocol import effects as fx
from medsync_protocol.effects import Effect, Outbox
from medsync_protocol.engine import Engine
from medsync_protocol.errors import DiskFull, Invalid
from medsync_protocol.ids import DeviceId
from medsync_protocol.journal import Record
from medsync_protocol.ports import (
    Connected, Disconnected, FrameReceived, GossipReceived, Standing, Transport, TransportEvent, Unreachable,
)  # fmt: skip

T = TypeVar("T")
log = structlog.get_logger()

MAX_BRANCH_BYTES: Final = 1 << 30  # of one forked chain above finality; beyond it the branch is not switched
TICK_SECONDS: Final = 0.2  # what is due waits at most this long
MAX_FAULTS: Final = 20  # invalid things from one device before its link is closed
BAN_SECONDS: Final = 60.0  # and it is kept out this long
FULL_RETRY_SECONDS: Final = 1.0  # between attempts while the disk is full

Clock = Callable[[], int]
"""Milliseconds since 1970 UTC."""


@dataclass(slots=True)
class _Ticket:
    """Somebody waits for a commit. `error`: why it did not come yet."""

    done: trio.Event = field(default_factory=trio.Event)
    error: DiskFull | None = None


class Driver:
    """One engine on one store and transport. `run` returns when cancelled; everything it started ends with it."""

    def __init__(self, engine: Engine, store: Store, transport: Transport, clock: Clock) -> None:
        self.engine, self.store, self.transport, self.now = engine, store, transport, clock
        self.heard: Callable[[fx.Notify], None] = lambda notify: None
        self.grew: Callable[[], None] = lambda: None
        """Who is told of every Notify, once what it is about is committed."""
        self._outbox = Outbox()
        self._waiting: list[_Ticket] = []
        self._work = trio.Event()
        self._faults: dict[DeviceId, int] = {}
        self._banned: dict[DeviceId, float] = {}
        self._server = Server(engine, store, transport)
        transport.set_standing(self._standing)
        transport.set_guest_handler(self._guest)

    async def run(self, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        """Drive until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._server.nursery = nursery
            nursery.start_soon(self._commit_loop)
            self._push(self.engine.restored(self.now()))
            nursery.start_soon(self._event_loop)
            nursery.start_soon(self._tick_loop)
            task_status.started()

    # -- commands ---------------------------------------------------------------------------------------------

    async def perform(self, command: Callable[[int], tuple[T, list[Effect]]]) -> T:
        """Run a command now; return once what it wrote is committed. Raises what it raises, and DiskFull.

        After DiskFull nobody was told of what was written, and it is recorded once there is space.
        """
        self._refuse_when_full()
        result, effects = command(self.now())
        if not effects:
            return result
        self._push(effects)
        await self.committed()
        return result

    async def committed(self) -> None:
        """Return once everything that happened up to now is committed. Raises DiskFull."""
        ticket = _Ticket()
        self._waiting.append(ticket)
        self._work.set()
        await ticket.done.wait()
        if ticket.error is not None:
            raise ticket.error

    def _refuse_when_full(self) -> None:
        if self.store.trouble is not None:
            raise self.store.trouble.with_traceback(None)

    def _push(self, effects: list[Effect]) -> None:
        if effects:
            self._outbox.push(effects)
        self._work.set()

    # -- loops ------------------------------------------------------------------------------------------------

    async def _event_loop(self) -> None:
        events = self.transport.events()
        while True:
            for event in await events.receive_batch():
                self._push(self._on(event))
            while self.store.full:  # taking nothing closes the peers' windows; nothing is lost
                await trio.sleep(FULL_RETRY_SECONDS)

    def _on(self, event: TransportEvent) -> list[Effect]:
        now = self.now()
        match event:
            case FrameReceived(peer, frame):
                return self.engine.frame_received(now, peer, frame)
            case Connected(peer):
                return self.engine.connected(now, peer)
            case Disconnected(peer):
                return self.engine.disconnected(now, peer)
            case GossipReceived(topic, frame, sender):
                return self.engine.gossip_received(now, topic, frame, sender)

    async def _tick_loop(self) -> None:
        while True:
            await trio.sleep(TICK_SECONDS)
            if not self.store.full:
                self._push(self.engine.tick(self.now()))

    async def _commit_loop(self) -> None:
        """One commit at a time; what comes meanwhile goes into the next. Effects leave after their commit."""
        while True:
            await self._work.wait()
            self._work = trio.Event()
            while self._outbox or self._waiting:
                records, durable, release = self._outbox.take()
                waiting, self._waiting = self._waiting, []
                if records:
                    await self._commit(records, durable, waiting)
                    self.grew()
                for effect in release:
                    self._release(effect)
                for ticket in waiting:
                    ticket.done.set()
                await trio.lowlevel.checkpoint()
            if self.store.upkeep_due:
                await trio.to_thread.run_sync(self.store.maintain)

    async def _commit(self, records: list[Record], durable: bool, waiting: list[_Ticket]) -> None:
        """Commit for good: while the disk takes nothing nobody is told that anything was recorded."""
        told = ""
        while True:
            try:
                if not self.store.try_commit_now(records, durable=durable):
                    await trio.to_thread.run_sync(lambda: self.store.commit(records, durable=durable))
                return
            except DiskFull as error:
                if str(error) != told:
                    log.error(str(error), advice=error.advice)
                told = str(error)
                for ticket in waiting:
                    ticket.error = error
                    ticket.done.set()
            await trio.sleep(FULL_RETRY_SECONDS)

    # -- effects ----------------------------------------------------------------------------------------------

    def _release(self, effect: Effect) -> None:
        match effect:
            case fx.Send(peer, frame):
                self.transport.send(peer, frame)
            case fx.Serve():
                self._server.serve(effect)
            case fx.Reread(context, chain, seq, offered):
                wire = self.store.reader.read_op(context, chain, seq)
                if wire is not None:
                    self._push(self.engine.reread(self.now(), context, wire, offered))
            case fx.RereadAbout(context, subject_tag):
                for wire in self.store.reader.wires_about(context, subject_tag):
                    self._push(self.engine.reread(self.now(), context, wire))
            case fx.ReadBranch(context, chain, first, end):
                wires = self.store.reader.read_ops(context, chain, first, end, MAX_BRANCH_BYTES)
                self._push(self.engine.branch_read(self.now(), context, chain, wires))
            case fx.Evaluate():
                self._nursery.start_soon(self._evaluate, effect)
            case fx.Knock():
                self._nursery.start_soon(self._knock, effect)
            case fx.Publish(topic, frame):
                self.transport.publish(topic, frame)
            case fx.Topics(topics):
                self.transport.set_topics(topics)
            case fx.Expel(peer):
                self._nursery.start_soon(self.transport.expel, peer)
            case fx.Misbehaved(peer, reason):
                self._count_fault(peer, reason)
            case fx.Dial(peers):
                self.transport.set_peers(dict(peers))
            case fx.Notify():
                self.heard(effect)
            case fx.Persist() | fx.Acknowledge():
                raise AssertionError("the outbox gives records and frames, not these")

    async def _evaluate(self, effect: fx.Evaluate) -> None:
        built = await trio.to_thread.run_sync(effect.plan.build)
        self._push(self.engine.evaluated(self.now(), effect.context, effect.plan, built))

    async def _knock(self, effect: fx.Knock) -> None:
        for address in effect.addresses:
            try:
                reply = await self.transport.ask(address, effect.protocol, effect.frame)
            except (Unreachable, Invalid):
                continue
            self._push(self.engine.answered(self.now(), effect.protocol, reply))
            return

    # -- peers ------------------------------------------------------------------------------------------------

    def _standing(self, device: DeviceId) -> Standing:
        banned = self._banned.get(device)
        if banned is not None:
            if trio.current_time() < banned:
                return Standing.REFUSED
            del self._banned[device]
        return self.engine.standing(device)

    def _count_fault(self, peer: DeviceId, reason: str) -> None:
        faults = self._faults.get(peer, 0) + 1
        log.warning("a peer sent something invalid", peer=peer.hex()[:16], reason=reason, faults=faults)
        self._faults[peer] = faults
        if faults >= MAX_FAULTS:
            self._faults[peer] = 0
            self._banned[peer] = trio.current_time() + BAN_SECONDS
            self._nursery.start_soon(self.transport.expel, peer)

    async def _guest(self, peer: DeviceId, protocol: str, frame: bytes) -> bytes:
        """A guest's question: the answer leaves after what it caused is committed."""

        def question(now: int) -> tuple[bytes, list[Effect]]:
            return self.engine.guest(now, peer, protocol, frame)

        return await self.perform(question)
