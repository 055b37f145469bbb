"""What a hostile member can do that its engine never would: sign anything its keys can sign, and hand it to whom it likes.

Everything it signs is noted in the ledger with the true time, so that oracles can tell what must not count.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from medsync_protocol import frames
from medsync_protocol.actions import Action, Remove, encode_action
from medsync_protocol.application import Draft
from medsync_protocol.errors import Invalid
from medsync_protocol.governance import cut_off
from medsync_protocol.identity import Identity
from medsync_protocol.ids import ChainId, KeyId, MemberId, OpId
from medsync_protocol.kinds import OpKind, Plane, Verdict
from medsync_protocol.operation import NO_KEY, NO_OP, Header, Operation, build, sealing_context
from medsync_protocol.ruling import Concurrent
from medsync_protocol.sealing import make_rotation
from medsync_sim.ledger import Finding, Write
from medsync_sim.node import SimNode
from medsync_sim.world import World


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What a member knew at some time: what a back-dated operation pretends to rest on."""

    heads: tuple[OpId, ...]
    key_id: KeyId
    epoch: int
    at: int


def knowledge(node: SimNode, world: World) -> Knowledge:
    """What the node knows now."""
    replica = node.replica(world.the_context)
    state = replica.membership
    usable = state.usable_key()
    if usable not in replica.ring.epochs():  # it was let in, and has yet to be given the key
        usable = max(replica.ring.epochs(), default=NO_KEY)
    return Knowledge(replica.fold.heads()[:8], usable, state.highest_epoch(), node.now)


class Forger:
    """Signs for one hostile node, on chains of its own that no honest node expects; by `identity` with another device."""

    def __init__(self, world: World, node: SimNode, identity: Identity | None = None) -> None:
        self.world, self.node = world, node
        self.identity = identity or node.identity
        self._chains: dict[ChainId, tuple[int, OpId]] = {}

    def chain(self, label: str) -> ChainId:
        """A further chain of the node's device: anybody may begin as many as it likes."""
        return ChainId(self.identity.device + hashlib.sha256(label.encode()).digest()[:8])

    def begin(self, chain: ChainId, seq: int, prev: OpId) -> None:
        """Go on from here, whatever was signed before."""
        self._chains[chain] = (seq, prev)

    def own(self) -> ChainId:
        """The chain that its engine writes to, from its next seq on."""
        chain: ChainId = self.node.replica(self.world.the_context).chain
        return chain

    def action(
        self, action: Action, known: Knowledge, *, chain: ChainId | None = None, kind: OpKind | None = None
    ) -> Operation:
        """A membership or keys operation, dated as of `known`."""
        encoded, payload = encode_action(action)
        plane = Plane.KEYS if encoded is OpKind.ROTATE else Plane.MEMBERSHIP
        header = self._header(known, plane, kind or encoded, NO_KEY, chain or self.chain("forged"))
        return self._signed(build(header, self.node.rng.randbytes(24), [(b"", payload)], self._seed))

    def batch(
        self, drafts: Sequence[Draft], known: Knowledge, *, chain: ChainId | None = None, branch: bool = False
    ) -> Operation:
        """A data operation, sealed under the key that `known` names. `branch`: a second one for the same place."""
        replica = self.node.replica(self.world.the_context)
        header = self._header(known, Plane.DATA, OpKind.BATCH, known.key_id, chain or self.chain("forged"))
        nonce = self.node.rng.randbytes(24)
        keys = {member: held.sealing_key for member, held in replica.membership.members.items()}
        sealed = replica.ring.seal_entries(
            drafts, key_id=known.key_id, nonce=nonce, place=sealing_context(header), sealing_keys=keys
        )
        return self._signed(build(header, nonce, sealed, self._seed), keep=not branch)

    @property
    def _seed(self) -> bytes:
        return self.identity.device_seed

    def _header(self, known: Knowledge, plane: Plane, kind: int, key_id: KeyId, chain: ChainId) -> Header:
        replica = self.node.replica(self.world.the_context)
        seq, prev = self._chains.get(chain, (replica.chains.next_seq(chain), replica.chains.head(chain)))
        return Header(
            network=replica.network, context=replica.context, plane=plane, chain=chain, seq=seq,
            prev=prev if seq else NO_OP, membership_heads=known.heads, seen_k=0, seen_root=bytes(32),
            key_id=key_id, hlc=known.at << 16, kind=kind, entries_root=bytes(32), count=1,
        )  # fmt: skip

    def _signed(self, operation: Operation, *, keep: bool = True) -> Operation:
        header = operation.header
        if keep:
            self._chains[header.chain] = (header.seq + 1, operation.op_id)
        self.world.ledger.wrote(
            Write(
                op_id=operation.op_id, place=(header.context, header.chain, header.seq), node=self.node.name,
                at=self.world.now, honest=False,
            )
        )  # fmt: skip
        self.world.trace.note(self.world.now, "forged", self.node.name, header.seq, operation.op_id)
        return operation

    def removal(self, target: SimNode, known: Knowledge, *, chain: ChainId | None = None) -> Operation:
        """A back-dated removal of `target`, with the rotation that it must carry."""
        replica = self.node.replica(self.world.the_context)
        members = replica.fold.state_at(known.heads).members
        recipients = {m: held.sealing_key for m, held in members.items() if m != target.member}
        rotation = make_rotation(
            epoch=known.epoch + 1, key=self.node.rng.randbytes(32), recipients=recipients, previous=None,
            entropy=lambda label, n: self.node.rng.randbytes(n),
        )  # fmt: skip
        upto = cut_off(replica, target.member)
        return self.action(Remove(member=target.member, cut_off=upto, rotation=rotation), known, chain=chain)

    # -- handing in -------------------------------------------------------------------------------------------

    def tell(self, operations: Iterable[Operation], names: Iterable[str] | None = None) -> None:
        """Over its links to these nodes, or to everybody."""
        frame = frames.ops(self.world.the_context, [operation.wire for operation in operations])
        for name, node in self.world.nodes.items():
            if node is not self.node and (names is None or name in names):
                self.world.send(self.node, node.device, frame)

    def smuggle(self, operations: Iterable[Operation], names: Iterable[str]) -> None:
        """By a way that no gate sees (an accomplice, an open door): straight into these nodes' engines."""
        for name in names:
            node = self.world.nodes[name]
            if node.up and node.replica(self.world.the_context) is not None and not node.stuck:
                for operation in operations:
                    take(self.world, node, operation.wire)

    def adopt(self, operations: Iterable[Operation]) -> None:
        """Its own engine takes them too, and serves them like any other."""
        self.smuggle(operations, (self.node.name,))


def take(world: World, node: SimNode, wire: bytes) -> None:
    """An engine takes an operation, as from a member."""
    try:
        effects = node.engine.take(node.now, world.the_context, wire)
    except Invalid as error:
        world.trace.note(world.now, "invalid", node.name, type(error).__name__)
        return
    node.perform(effects)
    node.perform(node.engine.tick(node.now))


def effective_at(world: World, operation: Operation) -> list[str]:
    """Honest members at which the operation counts."""
    header = operation.header
    found = []
    for node in world.members():
        replica = node.replica(world.the_context)
        if replica.chains.next_seq(header.chain) > header.seq:
            slot = replica.chains.slot(header.chain, header.seq)
            if slot.op_id == operation.op_id and slot.verdict is Verdict.EFFECTIVE:
                found.append(node.name)
    return found


def standing(world: World, member: MemberId) -> list[str]:
    """Honest members that call it a member."""
    return [n.name for n in world.members() if member in n.replica(world.the_context).membership.members]


def settled_everywhere(world: World, op_id: OpId) -> bool:
    """Whether every running honest member has this operation in a checkpoint that it calls settled."""
    context = world.the_context
    for node in world.members():
        place = node.replica(context).places.get(op_id)
        checkpoints = node.engine.checkpoints(context)
        if place is None or checkpoints.anchoring is None:
            return False
        below = checkpoints.acceptance.history[checkpoints.settled].cut.vector
        if below.get(place[0], 0) <= place[1]:
            return False
    return True


def counts_against(world: World, rule: str, text: str) -> Iterator[Finding]:
    """What must not count does: a broken rule, or lost by choice where the policy spares what is done beside a removal."""
    rules = world.members()[0].replica(world.the_context).fold.rules()
    if rules is not None and rules.concurrent_ops_of_removed() is Concurrent.KEEP:
        world.won(f"{text}, as this policy has it until the removal is final")
    else:
        yield world.broke(rule, text)


def took_effect(world: World, removal: Operation) -> bool:
    """Whether it put somebody out at some honest member: where votes decide, a proposal counts and does nothing yet."""
    removed = (n.replica(world.the_context).membership.removed for n in world.members())
    return any(r.op_id == removal.op_id for of in removed for r in of)


def settled_in(world: World, op_id: OpId) -> int | None:
    """The k of the settled checkpoint that holds the operation; None when none does."""
    for (context, k), settled in sorted(world.ledger.settled.items(), key=lambda item: item[0][1]):
        if context == world.context and any(held == op_id for held, _ in settled.verdicts.values()):
            return k
    return None


def newest_removal(world: World, member: MemberId) -> Any:
    """The newest effective removal of a member that any honest node knows; None when there is none."""
    for node in world.members():
        found = [r for r in node.replica(world.the_context).membership.removed if r.member == member]
        if found:
            return found[-1]
    return None
