"""A virtual consortium: nodes, network, chain, the ledger of what really took place, and who watches over the rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from random import Random
from typing import Any, Final, Protocol

from medsync_protocol import effects as fx
from medsync_protocol.candidate import Built, Plan
from medsync_protocol.certificate import Certificate
from medsync_protocol.ids import ContextId, DeviceId, MemberId, NetworkId, device_of
from medsync_protocol.journal import OpRecord
from medsync_protocol.operation import decode_header, op_id_of
from medsync_protocol.policy import Policies
from medsync_protocol.kinds import Role
from medsync_protocol.ports import JOIN_PROTOCOL, Standing
from medsync_sim.chain import Chain
from medsync_sim.disk import Disk
from medsync_sim.ledger import Finding, Ledger, Write
from medsync_sim.network import CALM, Conditions, Network
from medsync_sim.node import SimNode
from medsync_sim.timeline import START, Timeline, stream
from medsync_sim.trace import Trace

READ_MS: Final = (50, 900)  # after a block a node's reader sees it
EXPEL_MS: Final = 50  # what was sent before still arrives
WATCH_MS: Final = 1_000  # the rules about whole nodes are looked at this often, the others at every event
MAX_FINDINGS: Final = 20  # of one run; more say nothing new


class Watch(Protocol):
    """Who looks whether the rules hold; see invariants.py."""

    def record(self, world: World, node: SimNode, record: OpRecord) -> Iterable[Finding]:
        """An operation was committed."""
        ...

    def notice(self, world: World, node: SimNode, notice: fx.Notify) -> Iterable[Finding]:
        """Users were told something."""
        ...

    def look(self, world: World) -> Iterable[Finding]:
        """Time passed."""
        ...


class World:
    """See the module. `watch` None while a consortium is being founded."""

    def __init__(
        self, seed: int | str, *, conditions: Conditions = CALM, watch: Watch | None = None,
        keep_trace: bool = False, start: int = START, policies: Policies | None = None,
    ) -> None:  # fmt: skip
        self.seed = seed
        self.policies = policies or Policies()
        self.timeline = Timeline(start)
        self.leapt = 0
        """Ms that passed at once, for everybody: days in which nothing happens."""
        self.begun = start
        self.rng: Random = stream(seed, "world")
        self.network = Network(self.timeline, seed, conditions)
        self.network.broken = self._broken
        self.trace = Trace(keep=keep_trace)
        self.ledger = Ledger()
        self.nodes: dict[str, SimNode] = {}
        self.outside: tuple[str, ...] = ()
        """Those founded into the network alone."""
        self.findings: list[Finding] = []
        self.attacker_won: list[str] = []
        self.facts: dict[str, int | str] = {}
        self.people_vote = True
        """Whether honest nodes' people vote for what honest ones propose."""
        self.stash: dict[str, Any] = {}
        """What a scenario's moves leave for its oracle."""
        self.chain: Chain | None = None
        self.consortium: NetworkId | None = None
        self.context: ContextId | None = None
        self.build: Callable[[Plan], Built] = lambda plan: plan.build()
        self._watch = watch
        self._by_device: dict[DeviceId, SimNode] = {}
        if watch is not None:
            self.timeline.after(WATCH_MS, self._look)

    @property
    def now(self) -> int:
        """True time, ms."""
        return self.timeline.now + self.leapt

    @property
    def elapsed(self) -> int:
        """Ms since the run began."""
        return self.timeline.now - self.begun

    # -- nodes ------------------------------------------------------------------------------------------------

    def add(self, name: str, *, disk: Disk | None = None, incarnation: bytes | None = None) -> SimNode:
        """A node that starts from its disk."""
        rng = stream(self.seed, "incarnation", name)
        node = SimNode(self, name, disk or Disk(), incarnation or rng.randbytes(8))
        self.nodes[name] = node
        self._by_device[node.device] = node
        node.start()
        return node

    def join(self, node: SimNode, admitter: SimNode, role: Role) -> None:
        """Into the network: the invitation, out of band, and the answer to it."""
        token = admitter.do(lambda engine, now: engine.invite(now, role, now + 60_000, None))
        request = node.engine.join_request(node.now, token)
        answer, effects = admitter.engine.guest(admitter.now, node.device, JOIN_PROTOCOL, request.frame)
        admitter.perform(effects)
        node.do(lambda engine, now: engine.joined(now, answer, request.invitation.network))

    def name_of(self, device: DeviceId) -> str:
        """For traces."""
        node = self._by_device.get(device)
        return device[:4].hex() if node is None else node.name

    def node_of(self, member: MemberId) -> SimNode | None:
        """The node of a member."""
        return next((node for node in self.nodes.values() if node.member == member), None)

    def honest(self) -> Iterator[SimNode]:
        """Nodes that the rules speak of, running ones."""
        return (node for node in self.nodes.values() if node.honest and node.up)

    def members(self) -> list[SimNode]:
        """Running honest nodes that are, as they see it, members of the context."""
        context = self.the_context
        found = [n for n in self.honest() if n.replica(context) is not None]
        return [n for n in found if n.replica(context).role is not None]

    @property
    def the_context(self) -> ContextId:
        """The shared record of this run."""
        assert self.context is not None, "asked before the context was founded"
        return self.context

    # -- links ------------------------------------------------------------------------------------------------

    def redial(self, node: SimNode) -> None:
        """Try to link with every device that the node wants a link to."""
        for device in node.wanted:
            other = self._by_device.get(device)
            if other is None or not other.up or self.network.linked(node.device, device):
                continue
            if node.standing(device) is not Standing.MEMBER or other.standing(node.device) is not Standing.MEMBER:
                continue
            if self.network.connect(node.device, device):
                self.trace.note(self.now, "link", node.name, other.name)
                node.perform(node.engine.connected(node.now, device))
                other.perform(other.engine.connected(other.now, node.device))

    def _broken(self, one: DeviceId, other: DeviceId) -> None:
        for here, there in ((one, other), (other, one)):
            node = self._by_device[here]
            if node.up:
                node.perform(node.engine.disconnected(node.now, there))

    def send(self, node: SimNode, peer: DeviceId, frame: bytes) -> None:
        """A frame on the link to a peer."""
        target = self._by_device.get(peer)
        if target is not None:
            self.network.send(node.device, peer, frame, lambda data: target.take_frame(node.device, data))

    def expel(self, node: SimNode, peer: DeviceId) -> None:
        """Close the link after what was sent before."""
        self.timeline.after(EXPEL_MS, lambda: self.network.drop(node.device, peer))

    def publish(self, node: SimNode, topic: bytes, frame: bytes) -> None:
        """A hint to every node that listens to the topic."""
        for name in sorted(self.nodes):
            other = self.nodes[name]
            if other is not node:
                self._hint(node, other, topic, frame)

    def _hint(self, node: SimNode, other: SimNode, topic: bytes, frame: bytes) -> None:
        def arrive(data: bytes) -> None:
            other.take_hint(node.device, topic, data)

        self.network.hint(node.device, other.device, frame, arrive)

    def knock(self, node: SimNode, addresses: tuple[str, ...], protocol: str, question: bytes) -> None:
        """A question at the first of these doors that somebody stands behind."""
        target = next((n for n in self.nodes.values() if n.address in addresses), None)
        if target is None:
            return

        def arrive(frame: bytes) -> None:
            if not target.up:
                return
            answer, effects = target.engine.guest(target.now, node.device, protocol, frame)
            target.perform(effects)
            self.network.hint(target.device, node.device, answer, back)

        def back(answer: bytes) -> None:
            if node.up:
                node.perform(node.engine.answered(node.now, protocol, answer))

        self.network.hint(node.device, target.device, question, arrive)

    # -- what is seen -----------------------------------------------------------------------------------------

    def find(self, findings: Iterable[Finding]) -> None:
        """Keep broken rules, each once."""
        for finding in findings:
            known = any((f.rule, f.text) == (finding.rule, finding.text) for f in self.findings)
            if not known and len(self.findings) < MAX_FINDINGS:
                self.findings.append(finding)
                self.trace.note(self.now, "finding", finding.rule, finding.text)

    def won(self, text: str) -> None:
        """A hostile party got what it wanted, where the rules allow that it may."""
        if text not in self.attacker_won:
            self.attacker_won.append(text)

    def broke(self, rule: str, text: str) -> Finding:
        """A finding now."""
        return Finding(rule, self.elapsed, text)

    def saw_record(self, node: SimNode, record: OpRecord) -> None:
        """A node committed an operation."""
        if self._watch is None:
            return
        if not record.replaces and device_of(record.chain) == node.device and record.own:
            place = (record.context, record.chain, record.seq)
            write = Write(
                op_id=op_id_of(record.header), place=place, node=node.name, at=self.now, honest=node.honest,
                cites=decode_header(record.header).membership_heads, acked=node.disk.syncs,
            )  # fmt: skip
            self.trace.note(self.now, "wrote", node.name, record.seq, write.op_id)
            if not self.ledger.wrote(write):
                self.find([self.broke("S6", f"{node.name} signed two operations for one (chain, seq {record.seq})")])
        self.find(self._watch.record(self, node, record))

    def saw_notice(self, node: SimNode, notice: fx.Notify) -> None:
        """A node told its users something."""
        self.trace.note(self.now, "notice", node.name, notice.what)
        if self._watch is not None:
            self.find(self._watch.notice(self, node, notice))

    def saw_fault(self, node: SimNode, peer: DeviceId, reason: str) -> None:
        """A node counts something against a peer. Honest nodes never give reason to."""
        sender = self._by_device.get(peer)
        self.trace.note(self.now, "fault", node.name, self.name_of(peer), reason)
        if node.honest and sender is not None and sender.honest and self._watch is not None:
            self.facts["faults among honest nodes"] = int(self.facts.get("faults among honest nodes", 0)) + 1

    def saw_crash(self, node: SimNode) -> None:
        """A node went down."""
        self.trace.note(self.now, "crash", node.name)

    def _look(self) -> None:
        assert self._watch is not None
        self.find(self._watch.look(self))
        self.timeline.after(WATCH_MS, self._look)

    # -- the chain --------------------------------------------------------------------------------------------

    def use_chain(self, chain: Chain) -> None:
        """Make blocks from now on."""
        self.chain = chain
        self.timeline.after(chain.interval, self._block)

    def _block(self) -> None:
        chain = self.chain
        assert chain is not None
        for certificate in self._certificates(chain.head.k + 1):
            chain.post(certificate)
        accepted = chain.make_block(self.now)
        if accepted is not None:
            self.trace.note(self.now, "accepted", accepted.k, hex(accepted.digest))
        self.timeline.after(chain.interval, self._block)
        for name in sorted(self.nodes):
            node = self.nodes[name]
            self.timeline.after(node.rng.randint(*READ_MS), partial(self._read, node))

    def _certificates(self, k: int) -> Iterator[Certificate]:
        """What the bridges of running nodes have to post, in an order that the seed decides."""
        nodes = [node for node in self.nodes.values() if node.up and node.replica(self.the_context) is not None]
        self.rng.shuffle(nodes)
        for node in nodes:
            checkpoints = node.engine.checkpoints(self.the_context)
            found = checkpoints.certificate(k) if checkpoints.anchoring is not None else None
            if found is not None:
                yield found

    def _read(self, node: SimNode) -> None:
        chain = self.chain
        assert chain is not None
        if not node.up or chain.down or node.replica(self.the_context) is None:
            return
        checkpoints = node.engine.checkpoints(self.the_context)
        if checkpoints.anchoring is None:
            return
        for k in range(checkpoints.settled + 1, checkpoints.accepted + 2):
            digest, settled = chain.read(k)
            known = checkpoints.acceptance.history[k].digest if k <= checkpoints.accepted else 0
            if digest != known or (settled and k <= checkpoints.accepted):
                node.perform(node.engine.observe(node.now, self.the_context, k, digest, settled))

    # -- time -------------------------------------------------------------------------------------------------

    def run(self, ms: int) -> None:
        """Let time pass."""
        self.timeline.run_until(self.timeline.now + ms)

    def until(self, fact: Callable[[], bool], ms: int, step: int = 250) -> bool:
        """Let time pass until a fact holds, at most so long; whether it came to hold."""
        end = self.now + ms
        while not fact():
            if self.now >= end:
                return False
            self.run(step)
        return True
