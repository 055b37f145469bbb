"""How a run ends: everything is mended, the consortium is given time, and what must have come true is looked at.

L1 to L5, S6 of every acknowledged operation, S7 of every fork, S1 after a restart, K1 of every removed member.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from medsync_protocol.ids import ContextId, device_of
from medsync_protocol.kinds import Plane, Role, Verdict
from medsync_protocol.statement import quorum
from medsync_sim.invariants import view
from medsync_sim.ledger import Finding
from medsync_sim.losses import lost_checkpoint, lost_operations
from medsync_sim.moves import MOVES, mend
from medsync_sim.node import SimNode
from medsync_sim.world import World

CONVERGE_MS: Final = 60_000  # L1's bound: twenty anti-entropy rounds of 3 s, reconnects included
SETTLE_MS: Final = 90_000  # L2's: some checkpoints of every interval used here, and their depth
LEARN_MS: Final = 60_000  # L5's: a removed member knocks after 15 s without links

ROTATE_MS: Final = 10_000  # for a new key to reach everybody


def finish(world: World, *, settles: bool = True) -> None:
    """Mend, wait, look. `settles` False: a scenario that leaves no quorum or no chain."""
    mend(world)
    began = world.now
    if not world.until(lambda: not apart(world), CONVERGE_MS):
        world.find([world.broke("L1", f"not in step a minute after the heal: {apart(world)}")])
        return
    world.facts["converged_ms"] = world.now - began
    if settles and world.chain is not None:
        _settle(world)
    world.find(_waiting(world))
    world.find(_acknowledged(world))
    world.find(_forked(world))
    world.find(_removed_learn(world))
    world.find(_reads_nothing(world))
    world.find(_may_write(world))
    world.find(_restarts(world))


def apart(world: World) -> str:
    """What still differs among honest members; empty when nothing does."""
    context = world.the_context
    members = world.members()
    if not members:
        return ""
    if any(node.stuck for node in members):
        return "what waits for room on a disk"
    state = members[0].replica(context).membership
    absent = [n.name for n in world.honest() if n.member in state.members and n not in members]
    if absent:
        return f"{', '.join(absent)} not in yet"
    if world.chain is not None and any(n.engine.checkpoints(context).anchoring is None for n in members):
        return "where it is anchored"
    for what, of in (
        ("operations", _operations),
        ("membership", lambda r: r.membership.root()),
        ("forks", lambda r: tuple(sorted(r.judge.forks.items()))),
        ("readable", lambda r: tuple(sorted(r.readable().items()))),
    ):
        if len({of(node.replica(context)) for node in members}) > 1:
            return what
    return ""


def _operations(replica: Any) -> Any:
    """Every chain's length and head, of a forked one what comes before the fork: each member may keep its branch."""
    held = []
    for chain, count in sorted(replica.vector.items()):
        upto = min(count, replica.judge.forks.get(chain, count))
        if upto:
            held.append((chain, upto, replica.chains.slot(chain, upto - 1).op_id))
    return tuple(held)


def _settle(world: World) -> None:
    """L2: what is held now gets into a settled checkpoint."""
    context = world.the_context
    members = world.members()
    if not members or not _quorate(world, members):
        world.facts["without a quorum"] = 1
        return
    replica = members[0].replica(context)
    forks = replica.judge.forks
    wanted = {chain: min(count, forks.get(chain, count)) for chain, count in replica.vector.items()}

    def done() -> bool:
        for node in world.members():
            acceptance = node.engine.checkpoints(context).acceptance
            below = acceptance.history[acceptance.settled].cut.vector
            if any(below.get(chain, 0) < count for chain, count in wanted.items()):
                return False
        return not apart(world)

    if not world.until(done, SETTLE_MS, 500):
        gone = lost_checkpoint(world)
        if gone is not None:
            world.facts["checkpoint lost on every disk"] = gone
            return
        late = [
            f"{n.name} {n.engine.checkpoints(context).signed}/{n.engine.checkpoints(context).settled}"
            for n in world.members()
        ]
        world.find([world.broke("L2", f"not settled in time (signed/settled: {', '.join(late)})")])


def _quorate(world: World, members: list[SimNode]) -> bool:
    """Whether enough of those that sign the next checkpoint are honest members that run."""
    signers = members[0].engine.checkpoints(world.the_context).acceptance.head.next_signers
    present = {node.member for node in members}
    return sum(member in present for member, _ in signers) >= quorum(len(signers))


def _waiting(world: World) -> Iterator[Finding]:
    """L3: what is parked has drained, or says why. Hostile operations may wait for ever, and what rests on a loss."""
    lost = lost_operations(world)
    if lost:
        world.facts["operations lost on every disk"] = len(lost)
    for node in world.members():
        for chain, seq, reason in node.replica(world.the_context).parking.reasons():
            author = next((n for n in world.nodes.values() if n.device == device_of(chain)), None)
            signed = world.ledger.places.get((world.the_context, chain, seq), set())
            if author is not None and author.honest and lost.isdisjoint(signed):
                yield world.broke("L3", f"{node.name} still parks {author.name}'s operation {seq}: {reason.value}")


def _acknowledged(world: World) -> Iterator[Finding]:
    """S6: whatever an honest node told its user is recorded is there, at every member."""
    members = world.members()
    for write in world.ledger.writes.values():
        context, chain, seq = write.place
        if not write.honest or not write.acked or write.node in world.ledger.lossy or context != world.context:
            continue
        author = world.nodes[write.node]
        for node in {author.name: author, **{n.name: n for n in members}}.values():
            replica = node.replica(context)
            if node is not author and author not in members:
                continue  # removed: what it wrote after its cut-off need not reach anybody
            if replica.chains.next_seq(chain) <= seq or replica.chains.slot(chain, seq).op_id != write.op_id:
                yield world.broke("S6", f"{node.name} lacks {write.node}'s acknowledged operation {seq}")


def _forked(world: World) -> Iterator[Finding]:
    """S7: of a fork never both branches count, and every honest member has the proof."""
    context = world.the_context
    for chain, seq in world.ledger.forks(context):
        for node in world.members():
            replica = node.replica(context)
            final = node.engine.checkpoints(context).acceptance
            below = final.history[-1].cut.vector if final.history else {}  # accepted verdicts are frozen (PROTOCOL §5)
            if replica.chains.next_seq(chain) <= seq or below.get(chain, 0) > seq:
                continue
            if not replica.judge.forked(chain, seq):
                yield world.broke("S7", f"{node.name} never heard that operation {seq} was signed twice")
            elif replica.verdict(chain, seq) is Verdict.EFFECTIVE:
                yield world.broke("S7", f"{node.name} counts a branch of a fork")


def _removed_learn(world: World) -> Iterator[Finding]:
    """L5: who was removed is told, sooner or later."""
    context = world.the_context
    members = world.members()
    if not members:
        return
    state = members[0].replica(context).membership
    gone = {removed.member for removed in state.removed if removed.device is None} - set(state.members)
    nodes = [n for n in world.honest() if n.member in gone and n.replica(context) is not None]

    def told() -> bool:
        return all(node.replica(context).role is None for node in nodes)

    if not world.until(told, LEARN_MS):
        names = ", ".join(node.name for node in nodes if node.replica(context).role is not None)
        yield world.broke("L5", f"never learnt of its removal: {names}")


def _reads_nothing(world: World) -> Iterator[Finding]:
    """K1: a removed member holds no key under which something was written by someone for whom the removal counted."""
    context = world.the_context
    members = world.members()
    if not members:
        return
    replica = members[0].replica(context)
    for removed in replica.membership.removed:
        node = world.node_of(removed.member)
        theirs = None if node is None or not node.up else node.replica(context)
        if theirs is None or removed.left or removed.device or removed.member in replica.membership.members:
            continue
        keys = set(theirs.ring.epochs())
        for chain, seq, slot in replica.chains.above({}):
            author = next((n for n in world.nodes.values() if n.device == device_of(chain)), None)
            if slot.plane != Plane.DATA or author is None or not author.honest or slot.key_id not in keys:
                continue
            if removed.op_id in world.ledger.knew.get(slot.op_id, ()):
                yield world.broke("K1", f"the removed {node.name if node else '?'} can read {author.name}'s {seq}")


def _may_write(world: World) -> Iterator[Finding]:
    """L2 begins with writing: where no key is usable (§4), one rotation by an admin must be enough for everybody."""
    for node in world.members():
        state = node.replica(world.the_context).membership
        if state.usable_key() is None and node.member in state.admins():
            world.facts["rotations owed"] = 1
            MOVES["rotate"](world, node.name)
            world.run(ROTATE_MS)
    for node in world.members():
        replica = node.replica(world.the_context)
        key_id = replica.membership.usable_key()
        if replica.role >= Role.MEMBER and (key_id is None or key_id not in replica.ring):
            yield world.broke("L2", f"{node.name} has no key to write under")


def _restarts(world: World) -> Iterator[Finding]:
    """S1: from its disk alone a node says what it said before."""
    context = world.the_context
    for node in world.members():
        if node.disk.full:
            continue
        before = _said(node, context)
        node.crash()
        node.start()
        if _said(node, context) != before:
            yield world.broke("S1", f"{node.name} says otherwise after a restart")


def _said(node: SimNode, context: ContextId) -> Any:
    held, said = view(node, context)
    return held[1], held[3], said


