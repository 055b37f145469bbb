"""A virtual network of real engines: virtual clock and links, a journal of framed records, crashes and restarts.

Everything is drawn from one seed, so that a run is the same every time. The daemon's driver does the same with real
things (medsync_node/driver.py).
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from medsync_protocol import effects as fx
from medsync_protocol.consent import MedSyncApplication
from medsync_protocol.decision import settings_of
from medsync_protocol.effects import Effect, Outbox
from medsync_protocol.engine import Engine
from medsync_protocol.identity import Identity
from medsync_protocol.ids import ChainId, ContextId, DeviceId
from medsync_protocol.journal import OpRecord, ValueRecord, frame, recover
from medsync_protocol.operation import join
from medsync_protocol.ports import JOIN_PROTOCOL, Standing

START = 1_800_000_000_000  # ms
LATENCY = (1, 40)  # ms
TICK = 250  # ms

APPLICATIONS = {"medsync": lambda n, c, g: MedSyncApplication(n, c, settings_of(dict(g.settings)))}


@dataclass
class Disk:
    """What survives a crash: committed records, framed."""

    log: bytearray = field(default_factory=bytearray)

    def commit(self, records: list[Any]) -> None:
        for record in records:
            self.log += frame(record)

    def records(self) -> list[Any]:
        return recover(bytes(self.log))[0]

    def replay(self) -> list[Any]:
        """As a store gives them back: the last version of each, in order, data bodies only where they fold."""
        held: dict[Any, Any] = {}
        for record in self.records():
            if isinstance(record, OpRecord):
                key: Any = (record.context, record.chain, record.seq)
                if record.replaces:
                    held[key] = record
                    continue
            else:
                key = (record.table, record.context, record.key)
                held.pop(key, None)
                if record.value is None:
                    continue
            held[key] = record
        return list(held.values())


class VirtualNode:
    """One engine with its disk; `up` is False after a crash."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        seed = hashlib.sha256(f"{world.seed}/{name}".encode()).digest()
        self.identity = Identity(
            member_seed=hashlib.sha256(b"m" + seed).digest(), device_seed=hashlib.sha256(b"d" + seed).digest(), name=name
        )
        self.rng = random.Random(f"{world.seed}/{name}")
        self.disk = Disk()
        self.bodies: dict[tuple[ContextId, ChainId, int], OpRecord] = {}
        self.notices: list[fx.Notify] = []
        self.misbehaved: list[fx.Misbehaved] = []
        self.starts = 0
        self.up = False
        self.start()

    @property
    def device(self) -> DeviceId:
        return self.identity.device

    @property
    def address(self) -> str:
        return f"virtual/{self.name}"

    def start(self) -> None:
        incarnation = hashlib.sha256(f"{self.name}".encode()).digest()[:8]
        self.engine = Engine(
            self.identity, incarnation=incarnation, entropy=lambda label, n: self.rng.randbytes(n), applications=APPLICATIONS
        )
        self.engine.addresses = (self.address,)
        self.outbox = Outbox()
        self.bodies.clear()
        for record in self.disk.replay():
            if isinstance(record, OpRecord):
                self.bodies[record.context, record.chain, record.seq] = record
            self.engine.replay(record)
        self.up = True
        self.starts += 1
        self.perform(self.engine.restored(self.world.now))

    def crash(self) -> None:
        self.up = False
        self.world.unlink(self)

    # -- performing -------------------------------------------------------------------------------------------

    def do(self, command: Callable[[int], tuple[Any, list[Effect]]]) -> Any:
        result, effects = command(self.world.now)
        self.perform(effects)
        return result

    def perform(self, effects: list[Effect]) -> None:
        self.outbox.push(effects)
        while self.outbox:
            records, _, release = self.outbox.take()
            self.disk.commit(records)
            for record in records:
                if isinstance(record, OpRecord):
                    self.bodies[record.context, record.chain, record.seq] = record
            for effect in release:
                self._release(effect)

    def wire(self, context: ContextId, chain: ChainId, seq: int) -> bytes:
        record = self.bodies[context, chain, seq]
        return join(record.header, record.signature, record.body)

    def _release(self, effect: Effect) -> None:
        world, engine = self.world, self.engine
        match effect:
            case fx.Send(peer, data):
                world.send(self, peer, data)
            case fx.Serve(peer, context, chain, first, end):
                wires = [self.wire(context, chain, seq) for seq in range(first, end)]
                from medsync_protocol.frames import ops_frames

                for data in ops_frames(context, engine.redacted(context, peer, wires)):
                    world.send(self, peer, data)
            case fx.Reread(context, chain, seq, offered):
                self.outbox.push(engine.reread(world.now, context, self.wire(context, chain, seq), offered))
            case fx.RereadAbout(context, tag):
                held = [r for r in self.bodies.values() if r.context == context and any(row.subject_tag == tag for row in r.rows)]
                for one in held:
                    wire = join(one.header, one.signature, one.body)
                    self.outbox.push(engine.reread(world.now, context, wire))
            case fx.Evaluate(context, plan):
                self.outbox.push(engine.evaluated(world.now, context, plan, plan.build()))
            case fx.Knock(addresses, protocol, question):
                world.knock(self, addresses, protocol, question)
            case fx.Dial(peers):
                world.dial(self, [peer for peer, _ in peers])
            case fx.Expel(peer):
                world.expel(self, peer)
            case fx.Notify():
                self.notices.append(effect)
            case fx.Misbehaved():
                self.misbehaved.append(effect)
            case fx.Publish() | fx.Topics():
                pass  # hints may be lost: here all are

    def noticed(self, what: str) -> bool:
        return any(notice.what == what for notice in self.notices)


class World:
    """The nodes and what is under way between them."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.now = START
        self.rng = random.Random(f"world/{seed}")
        self.nodes: dict[DeviceId, VirtualNode] = {}
        self.wanted: dict[DeviceId, list[DeviceId]] = {}
        self.links: dict[frozenset[DeviceId], int] = {}
        self.cut: set[frozenset[DeviceId]] = set()
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._fifo: dict[tuple[DeviceId, DeviceId], int] = {}

    def add(self, name: str) -> VirtualNode:
        node = VirtualNode(self, name)
        self.nodes[node.device] = node
        return node

    def join(self, node: VirtualNode, admitter: VirtualNode, role: Any) -> None:
        """The invitation, out of band, and the answer to it."""
        token = admitter.do(lambda now: admitter.engine.invite(now, role, now + 60_000, None))
        request = node.engine.join_request(self.now, token)
        answer, effects = admitter.engine.guest(self.now, node.device, JOIN_PROTOCOL, request.frame)
        admitter.perform(effects)
        node.do(lambda now: node.engine.joined(now, answer, request.invitation.network))

    # -- links ------------------------------------------------------------------------------------------------

    def later(self, delay: int, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + delay, next(self._order), event))

    def dial(self, node: VirtualNode, peers: list[DeviceId]) -> None:
        self.wanted[node.device] = peers

    def _redial(self) -> None:
        for device, peers in self.wanted.items():
            for peer in peers:
                self._try_link(device, peer)

    def _try_link(self, a: DeviceId, b: DeviceId) -> None:
        pair = frozenset((a, b))
        one, two = self.nodes.get(a), self.nodes.get(b)
        if one is None or two is None or pair in self.links or pair in self.cut or not (one.up and two.up):
            return
        if one.engine.standing(b) is not Standing.MEMBER or two.engine.standing(a) is not Standing.MEMBER:
            return
        self.links[pair] = next(self._order)
        one.perform(one.engine.connected(self.now, b))
        two.perform(two.engine.connected(self.now, a))

    def unlink(self, node: VirtualNode) -> None:
        for pair in [pair for pair in self.links if node.device in pair]:
            self._drop(pair)

    def _drop(self, pair: frozenset[DeviceId]) -> None:
        self.links.pop(pair, None)
        a, b = pair
        for one, other in ((a, b), (b, a)):
            if self.nodes[one].up:
                self.nodes[one].perform(self.nodes[one].engine.disconnected(self.now, other))

    def partition(self, *sides: list[VirtualNode]) -> None:
        for i, side in enumerate(sides):
            for other in sides[i + 1 :]:
                for a, b in itertools.product(side, other):
                    pair = frozenset((a.device, b.device))
                    self.cut.add(pair)
                    if pair in self.links:
                        self._drop(pair)

    def heal(self) -> None:
        self.cut.clear()

    def expel(self, node: VirtualNode, peer: DeviceId) -> None:
        pair = frozenset((node.device, peer))
        self.later(LATENCY[1] + 1, lambda: self._drop(pair) if pair in self.links else None)

    def send(self, node: VirtualNode, peer: DeviceId, data: bytes) -> None:
        pair = frozenset((node.device, peer))
        link = self.links.get(pair)
        if link is None:
            return
        due = max(self.now + self.rng.randint(*LATENCY), self._fifo.get((node.device, peer), 0))
        self._fifo[node.device, peer] = due

        def arrive() -> None:
            target = self.nodes[peer]
            if target.up and self.links.get(pair) == link:
                target.perform(target.engine.frame_received(self.now, node.device, data))

        self.later(due - self.now, arrive)

    def knock(self, node: VirtualNode, addresses: tuple[str, ...], protocol: str, question: bytes) -> None:
        def arrive() -> None:
            for target in self.nodes.values():
                if target.address in addresses and target.up and frozenset((node.device, target.device)) not in self.cut:
                    answer, effects = target.engine.guest(self.now, node.device, protocol, question)
                    target.perform(effects)
                    if node.up:
                        node.perform(node.engine.answered(self.now, protocol, answer))

        self.later(self.rng.randint(*LATENCY), arrive)

    # -- time -------------------------------------------------------------------------------------------------

    def run(self, ms: int) -> None:
        """Let time pass."""
        end = self.now + ms
        while self.now < end:
            tick = min((self.now // TICK + 1) * TICK, end)
            while self._events and self._events[0][0] <= tick:
                self.now, _, event = heapq.heappop(self._events)
                event()
            self.now = tick
            self._redial()
            for node in list(self.nodes.values()):
                if node.up:
                    node.perform(node.engine.tick(self.now))

    def until(self, fact: Callable[[], bool], ms: int = 120_000) -> None:
        """Let time pass until a fact holds; fails the test when it never does."""
        end = self.now + ms
        while not fact():
            assert self.now < end, "the fact did not come true in time"
            self.run(TICK)

    def converged(self, context: ContextId) -> bool:
        """Whether all running members of the context hold equal sets and say equal things of them."""
        replicas = [n.engine.replicas[context] for n in self.nodes.values() if n.up and context in n.engine.replicas]
        replicas = [r for r in replicas if r.role is not None]
        members = set(replicas[0].membership.members) if replicas else set()
        running = {n.identity.member for n in self.nodes.values() if n.up}
        return (
            len(replicas) == len(members & running)
            and len({tuple(sorted(r.vector.items())) for r in replicas}) == 1
            and len({r.membership.root() for r in replicas}) == 1
        )


def is_value(record: Any, table: str) -> bool:
    """For tests that look at a disk."""
    return isinstance(record, ValueRecord) and record.table == table
