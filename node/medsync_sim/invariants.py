"""Who watches over PROTOCOL §11 while a run goes on. Each rule is looked at where it can break, not only at the end.

What nodes say is compared with the ledger and with each other; authority is followed by a second, plainer reading of
the same operations (authority.py). Which invariants no run can test yet stands in the README.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from medsync_protocol import effects as fx
from medsync_protocol.actions import Remove
from medsync_protocol.ids import ContextId
from medsync_protocol.journal import OpRecord
from medsync_protocol.kinds import Plane
from medsync_protocol.operation import decode_body, decode_header, encode_header, op_id_of, prune
from medsync_protocol.parking import MAX_PARKED
from medsync_protocol.reading import read_action
from medsync_sim.authority import boxed_to, usurped
from medsync_sim.decisions import stored
from medsync_sim.forgetting import destroyed
from medsync_sim.ledger import Finding, Settled
from medsync_sim.node import SimNode
from medsync_sim.world import World


class Invariants:
    """The watch of every run."""

    def __init__(self) -> None:
        self._read: set[tuple[bytes, bytes]] = set()
        self._memberships: dict[str, Any] = {}

    # -- at every event ---------------------------------------------------------------------------------------

    def record(self, world: World, node: SimNode, record: OpRecord) -> Iterator[Finding]:
        """S8 of what was taken; K2 of what was written; who holds which revocation."""
        if not node.honest:
            return
        stored(world, node, (record.context, record.chain, record.seq))
        name = (op_id_of(record.header), record.body)
        if name not in self._read:
            self._read.add(name)
            if encode_header(decode_header(record.header)) != record.header:
                yield world.broke("S8", f"{node.name} took a header that encodes otherwise")
            if prune(decode_body(record.body), frozenset()) != record.body:
                yield world.broke("S8", f"{node.name} took a body that encodes otherwise")
        if record.own and record.plane == Plane.DATA and not record.replaces:
            yield from self._key_of(world, node, record)
        elif record.own and record.plane != Plane.DATA:
            action = read_action(decode_header(record.header), decode_body(record.body), record.context)
            if isinstance(action, Remove) and any(member == action.member for member, _ in action.rotation.wraps):
                yield world.broke("K1", f"{node.name} boxes the new key to whom it removes")

    @staticmethod
    def _key_of(world: World, node: SimNode, record: OpRecord) -> Iterator[Finding]:
        """K2: no operation under a key that its author knew to be held by a non-member."""
        replica = node.replica(record.context)
        state = replica.membership
        header = decode_header(record.header)
        if node.member not in state.members:
            return  # learnt of its removal in the same commit
        world.ledger.knew[op_id_of(record.header)] = frozenset(removed.op_id for removed in state.removed)
        boxed = boxed_to(replica, header.key_id)
        if boxed - set(state.members):
            yield world.broke("K2", f"{node.name} wrote under a key that a non-member holds")

    def notice(self, world: World, node: SimNode, notice: fx.Notify) -> Iterator[Finding]:
        """S4 and S5 when a checkpoint settles, S2 and S9 when the membership changes."""
        if not node.honest or notice.context is None or not node.up:
            return
        if notice.what == "settled":
            yield from self._settled(world, node, notice.context)
        elif notice.what == "membership":
            yield from self._membership(world, node, notice.context)
        elif notice.what == "erased":
            yield from destroyed(world, node)

    @staticmethod
    def _settled(world: World, node: SimNode, context: ContextId) -> Iterator[Finding]:
        acceptance = node.engine.checkpoints(context).acceptance
        for k in range(1, acceptance.settled + 1):
            accepted = acceptance.history[k]
            known = world.ledger.settled.get((context, k))
            if known is not None:
                if known.digest != accepted.digest:
                    yield world.broke("S5", f"{node.name} settled another C_{k}")
                continue
            on_chain = world.chain.read(k)[0] if world.chain is not None else accepted.digest
            if on_chain != accepted.digest:
                yield world.broke("S5", f"{node.name} calls C_{k} settled, which the chain does not hold")
            replica = node.replica(context)
            below = acceptance.history[k - 1].cut.vector
            world.ledger.settled[context, k] = Settled(
                digest=accepted.digest, at=world.now,
                verdicts={
                    (chain, seq): (slot.op_id, slot.verdict)
                    for chain, seq, slot in replica.chains.between(below, accepted.cut.vector)
                },
            )  # fmt: skip

    def _membership(self, world: World, node: SimNode, context: ContextId) -> Iterator[Finding]:
        replica = node.replica(context)
        state = replica.membership
        if self._memberships.get(f"{node.name}/{context.hex()}") is state:
            return
        self._memberships[f"{node.name}/{context.hex()}"] = state
        if state.members and not state.admins():
            yield world.broke("S9", f"{node.name} sees a context without an admin")
        for text in usurped(replica):
            yield world.broke("S2", f"{node.name}: {text}")

    # -- as time passes ---------------------------------------------------------------------------------------

    def look(self, world: World) -> Iterator[Finding]:
        """S1 among nodes with equal sets, S4 of what is settled, S9 after blocks came or went, L6 of every buffer."""
        told: dict[Any, tuple[str, Any]] = {}
        for node in world.honest():
            if node.stuck:
                continue
            for context, replica in node.engine.replicas.items():
                yield from self._bounded(world, node, replica)
                if replica.membership.members and not replica.membership.admins():
                    yield world.broke("S9", f"{node.name} sees a context without an admin")
                yield from self._kept(world, node, context)
                set_of, said = view(node, context)
                first = told.setdefault(set_of, (node.name, said))
                if first[1] != said:
                    what = ", ".join(a for a, x, y in zip(SAID, first[1], said, strict=True) if x != y)
                    yield world.broke("S1", f"{first[0]} and {node.name} hold the same and say otherwise: {what}")

    @staticmethod
    def _bounded(world: World, node: SimNode, replica: Any) -> Iterator[Finding]:
        parked = len(replica.parking)
        if parked:
            world.facts["most parked"] = max(parked, int(world.facts.get("most parked", 0)))
        if parked > MAX_PARKED:
            yield world.broke("L6", f"{node.name} parks more than its bound")

    @staticmethod
    def _kept(world: World, node: SimNode, context: ContextId) -> Iterator[Finding]:
        """S4: what is settled here keeps the verdict that it settled with."""
        if context != world.context:
            return
        chains = node.replica(context).chains
        for k in range(1, node.engine.checkpoints(context).settled + 1):
            settled = world.ledger.settled.get((context, k))
            for (chain, seq), (op_id, verdict) in ({} if settled is None else settled.verdicts).items():
                slot = chains.slot(chain, seq)
                if slot.op_id != op_id or slot.verdict is not verdict:
                    yield world.broke("S4", f"{node.name}: a verdict of C_{k} changed to {slot.verdict.name}")


SAID = ("membership", "verdicts", "consents", "accepted")


def view(node: SimNode, context: ContextId) -> tuple[Any, Any]:
    """(what a node holds of a context, what it says of it): equal sets must say equal things (S1)."""
    replica = node.replica(context)
    checkpoints = node.engine.checkpoints(context)
    heads = tuple((chain, count, replica.chains.head(chain)) for chain, count in sorted(replica.vector.items()))
    readable = tuple(sorted(replica.readable().items()))
    history = tuple(accepted.digest for accepted in checkpoints.acceptance.history)
    forks = tuple(sorted(replica.judge.forks.items()))
    application = replica.application
    opener = replica.opener
    opened = (*sorted(opener.wanted), *sorted(opener.blank), *sorted(opener.without_epoch))  # void ones need not be readable
    destroyed_here = tuple(sorted(replica.erased.closed))  # a hold that comes late keeps what others destroyed (§8)
    said = (
        replica.membership.root(),
        tuple((slot.op_id, slot.verdict) for _, _, slot in replica.chains.above({})),
        None if application is None or replica.role is None else application.state_digest(),
        checkpoints.acceptance.head.statement if history else None,
    )
    return (context, heads, readable, history, checkpoints.settled, forks, opened, destroyed_here, replica.role is None), said
