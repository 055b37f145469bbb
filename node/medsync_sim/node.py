"""A virtual node: one real engine on a virtual disk and network; performs effects in the order that a daemon must.

The counterpart of medsync_node's driver, without its threads: what crashes, comes back, or runs out of space here
does so at a time that the seed decides.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from medsync_protocol import effects as fx
from medsync_protocol import frames, journal
from medsync_protocol.consent import MedSyncApplication
from medsync_protocol.decision import settings_of
from medsync_protocol.effects import Effect, Outbox
from medsync_protocol.engine import Engine
from medsync_protocol.errors import DiskFull
from medsync_protocol.identity import Identity
from medsync_protocol.ids import ChainId, ContextId, DeviceId, MemberId, OpId, device_of
from medsync_protocol.journal import Guard, OpRecord, Record, Restart, Rewind
from medsync_protocol.operation import join
from medsync_protocol.ports import Standing
from medsync_sim.disk import Disk
from medsync_sim.timeline import stream

if TYPE_CHECKING:
    from medsync_sim.world import World

T = TypeVar("T")
TICK_MS: Final = 500  # what is due waits at most this long; a daemon looks more often
GUARD_MS: Final = 1_000  # as `Incarnation.keep`
EVALUATE_MS: Final = (1, 120)  # a plan is hashed beside everything else
MAX_FAULTS: Final = 20  # as the driver's: invalid things from one device before it is kept out
BAN_MS: Final = 60_000
Filter = Callable[[DeviceId, bytes], list[bytes]]
"""(peer, frame) → the frames that are sent in its stead: how a hostile node withholds and lies."""

APPLICATIONS: Final = {"medsync": lambda n, c, g: MedSyncApplication(n, c, settings_of(dict(g.settings)))}


def identity_of(name: str) -> Identity:
    """The same institution has the same keys in every run."""
    seeds = [hashlib.sha256(f"medsync-sim/{part}/{name}".encode()).digest() for part in ("member", "device")]
    return Identity(member_seed=seeds[0], device_seed=seeds[1], name=name)


def _endorse(engine: Engine, now: int, *, context: ContextId, proposal: OpId) -> tuple[OpId, list[Effect]]:
    return engine.endorse(now, context, proposal)


class SimNode:
    """See the module. `honest`: whether the invariants speak of it. `skew` ms its clock is ahead."""

    def __init__(self, world: World, name: str, disk: Disk, incarnation: bytes) -> None:
        self.world, self.name, self.disk = world, name, disk
        self.identity = identity_of(name)
        self.member: MemberId = self.identity.member
        self.device: DeviceId = self.identity.device
        self.address = f"virtual/{name}"
        self.rng = stream(world.seed, "node", name)
        self.incarnation = incarnation
        self.guard: Guard | None = None
        self.honest = True
        self.up = False
        self.skew = 0
        self.starts = 0
        self.notices: list[fx.Notify] = []
        self.faults: dict[DeviceId, int] = {}
        self.banned: dict[DeviceId, int] = {}
        self.topics: frozenset[bytes] = frozenset()
        self.wanted: tuple[DeviceId, ...] = ()
        self.filter: Filter | None = None
        self.bodies: dict[tuple[ContextId, ChainId, int], OpRecord] = {}
        self._stuck: tuple[list[Record], bool, list[Effect]] | None = None
        self._inbound: list[tuple[DeviceId, bytes]] = []
        self._guarded_at = 0

    @property
    def now(self) -> int:
        """Its own clock, ms."""
        return self.world.now + self.skew

    # -- start and stop ---------------------------------------------------------------------------------------

    def start(self) -> None:
        """Recover from the disk; go on with the chain only where the guard allows it."""
        records = self.disk.replay()
        own = sum(isinstance(r, OpRecord) and device_of(r.chain) == self.device for r in records)
        facts = Guard(file_identity=self.disk.identity(), incarnation=self.incarnation, next_seq=own)
        if self.guard is not None and journal.may_continue(self.guard, facts) is Restart.NEW_INCARNATION:
            self.incarnation = self.rng.randbytes(8)
        self.starts += 1
        self.engine = self._engine()
        self.outbox = Outbox()
        self.bodies.clear()
        self._stuck, self._inbound = None, []
        for record in records:
            if isinstance(record, OpRecord):
                self.bodies[record.context, record.chain, record.seq] = record
            self.engine.replay(record)
        self._write_guard(own)
        self.up = True
        self.perform(self.engine.restored(self.now))
        self._tick_later(self.starts, self.rng.randint(1, TICK_MS))

    def _engine(self) -> Engine:
        engine = Engine(
            self.identity, incarnation=self.incarnation, entropy=lambda label, n: self.rng.randbytes(n),
            applications=APPLICATIONS, policies=self.world.policies,
        )  # fmt: skip
        engine.addresses = (self.address,)
        return engine

    def crash(self) -> None:
        """The process ends; what was committed is what there is."""
        if self.up:
            self.up = False
            self.world.network.drop_all(self.device)
            self.world.saw_crash(self)

    def _write_guard(self, own: int) -> None:
        self.guard = Guard(
            file_identity=self.disk.identity(), incarnation=self.incarnation,
            next_seq=max(own, self.guard.next_seq if self.guard is not None else 0),
        )  # fmt: skip
        self._guarded_at = self.world.now

    def _tick_later(self, start: int, delay: int) -> None:
        def tick() -> None:
            if self.up and self.starts == start:
                self.tick()
                self._tick_later(start, TICK_MS)

        self.world.timeline.after(delay, tick)

    def tick(self) -> None:
        """What a daemon does several times a second."""
        self._retry_commit()
        if self._stuck is None:
            self.world.redial(self)
            self.perform(self.engine.tick(self.now))
            if self.world.people_vote:
                self._agree()
        if self.world.now - self._guarded_at >= GUARD_MS:
            own = sum(
                count for replica in self.engine.replicas.values() for chain, count in replica.vector.items()
                if device_of(chain) == self.device
            )  # fmt: skip
            self._write_guard(own)

    def _agree(self) -> None:
        """People: honest ones vote for what honest ones propose, where the policy asks for votes."""
        for context, replica in self.engine.replicas.items():
            if not self.honest or not replica.membership.proposals or replica.role is None:
                continue
            for proposal in replica.membership.open_proposals():
                proposer = self.world.node_of(proposal.author)
                voted = self.member in (proposal.author, *proposal.no, *(member for member, _, _ in proposal.yes))
                if self.member in proposal.electors and not voted and proposer is not None and proposer.honest:
                    self.do(partial(_endorse, context=context, proposal=proposal.op_id))

    # -- events -----------------------------------------------------------------------------------------------

    def standing(self, device: DeviceId) -> Standing:
        """The engine's answer, short of devices that are kept out for a while."""
        if self.banned.get(device, 0) > self.world.now:
            return Standing.REFUSED
        return self.engine.standing(device)

    def take_frame(self, sender: DeviceId, frame: bytes) -> None:
        """A frame from a linked device; while the disk is full it waits with its sender."""
        if not self.up:
            return
        if self._stuck is not None:
            self._inbound.append((sender, frame))
            return
        self.world.trace.note(self.world.now, "frame", self.name, self.world.name_of(sender), frame)
        self.perform(self.engine.frame_received(self.now, sender, frame))

    def take_hint(self, sender: DeviceId, topic: bytes, frame: bytes) -> None:
        """A gossip hint."""
        if self.up and topic in self.topics and self._stuck is None:
            self.perform(self.engine.gossip_received(self.now, topic, frame, sender))

    def do(self, command: Callable[[Engine, int], tuple[T, list[Effect]]]) -> T:
        """Run a command as a user of this node does. Raises what it raises, and DiskFull."""
        if self._stuck is not None or self.disk.full:
            raise DiskFull("the virtual disk is full", advice="free space")
        result, effects = command(self.engine, self.now)
        self.perform(effects)
        return result

    # -- performing -------------------------------------------------------------------------------------------

    def perform(self, effects: list[Effect]) -> None:
        """Commit, then release: nothing leaves before what it rests on is committed (DESIGN §3)."""
        self.outbox.push(effects)
        while self.outbox and self._stuck is None and self.up:
            self._commit(*self.outbox.take())

    def _commit(self, records: list[Record], durable: bool, release: list[Effect]) -> None:
        if records:
            try:
                self.disk.commit(records, durable)
            except DiskFull:
                self._stuck = (records, durable, release)
                return
            self._committed(records)
        self.release(release)

    def _committed(self, records: list[Record]) -> None:
        for record in records:
            if isinstance(record, OpRecord):
                self.bodies[record.context, record.chain, record.seq] = record
                self.world.saw_record(self, record)
            elif isinstance(record, Rewind):
                self._rewind(record)

    def _rewind(self, record: Rewind) -> None:
        seq = record.first
        while self.bodies.pop((record.context, record.chain, seq), None) is not None:
            seq += 1

    def _retry_commit(self) -> None:
        if self._stuck is None or self.disk.full:
            return
        records, durable, release = self._stuck
        self._stuck = None
        self._commit(records, durable, release)
        waiting, self._inbound = self._inbound, []
        for sender, frame in waiting:
            if self.world.network.linked(self.device, sender):
                self.take_frame(sender, frame)

    def release(self, effects: list[Effect]) -> None:
        """Perform what is not a record."""
        for effect in effects:
            if self.up:
                self._release(effect)

    def wire(self, context: ContextId, chain: ChainId, seq: int) -> bytes:
        """A held operation as it is served. Raises KeyError."""
        record = self.bodies[context, chain, seq]
        return join(record.header, record.signature, record.body)

    def _release(self, effect: Effect) -> None:
        world, engine = self.world, self.engine
        match effect:
            case fx.Send(peer, frame):
                self.send(peer, frame)
            case fx.Serve(peer, context, chain, first, end):
                wires = [self.wire(context, chain, seq) for seq in range(first, end)]
                for frame in frames.ops_frames(context, engine.redacted(context, peer, wires)):
                    self.send(peer, frame)
            case fx.Reread(context, chain, seq, offered):
                wire = self.wire(context, chain, seq)
                self.outbox.push(engine.reread(self.now, context, wire, offered))
            case fx.RereadAbout(context, tag):
                held = [r for r in self.bodies.values() if r.context == context]
                about = [r for r in held if any(row.subject_tag == tag for row in r.rows)]
                for record in about:
                    wire = join(record.header, record.signature, record.body)
                    self.outbox.push(engine.reread(self.now, context, wire))
            case fx.ReadBranch(context, chain, first, end):
                wires = [self.wire(context, chain, seq) for seq in range(first, end)]
                self.outbox.push(engine.branch_read(self.now, context, chain, wires))
            case fx.Evaluate():
                self._evaluate(effect, self.starts)
            case fx.Knock(addresses, protocol, question):
                world.knock(self, addresses, protocol, question)
            case fx.Publish(topic, frame):
                world.publish(self, topic, frame)
            case fx.Topics(topics):
                self.topics = topics
            case fx.Dial(peers):
                self.wanted = tuple(peer for peer, _ in peers)
            case fx.Expel(peer):
                world.expel(self, peer)
            case fx.Misbehaved(peer, reason):
                self._count_fault(peer, reason)
            case fx.Notify():
                self.notices.append(effect)
                world.saw_notice(self, effect)
            case _:
                raise AssertionError("the outbox gives records and frames, not these")

    def send(self, peer: DeviceId, frame: bytes) -> None:
        """On the link; a hostile node sends what its filter makes of it."""
        sent = [frame] if self.filter is None else self.filter(peer, frame)
        for one in sent:
            self.world.send(self, peer, one)

    def _evaluate(self, effect: fx.Evaluate, start: int) -> None:
        """The incarnation guard: what was begun before a crash is not finished after it."""

        def done() -> None:
            if self.up and self.starts == start:
                built = self.world.build(effect.plan)
                self.perform(self.engine.evaluated(self.now, effect.context, effect.plan, built))

        self.world.timeline.after(self.rng.randint(*EVALUATE_MS), done)

    def _count_fault(self, peer: DeviceId, reason: str) -> None:
        self.world.saw_fault(self, peer, reason)
        self.faults[peer] = self.faults.get(peer, 0) + 1
        if self.faults[peer] >= MAX_FAULTS:
            self.faults[peer] = 0
            self.banned[peer] = self.world.now + BAN_MS
            self.world.expel(self, peer)

    @property
    def stuck(self) -> bool:
        """Whether a commit waits for space: what the engine knows is ahead of what this node does."""
        return self._stuck is not None

    # -- reading ----------------------------------------------------------------------------------------------

    def replica(self, context: ContextId) -> Any:
        """Its copy of a context; None when it has none."""
        return self.engine.replicas.get(context)

    def noticed(self, what: str, context: ContextId | None = None) -> bool:
        """Whether its users were told."""
        return any(n.what == what and context in (None, n.context) for n in self.notices)
