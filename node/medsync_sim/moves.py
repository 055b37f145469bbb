"""The moves that any scenario may use: what users do, and what goes wrong. Hostile ones are the scenarios' own."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

from medsync_protocol.access import make_request
from medsync_protocol.application import Draft
from medsync_protocol.errors import OperatorError, Refused
from medsync_protocol.ids import Instant, SubjectRef
from medsync_protocol.kinds import EntryKind, Role
from medsync_protocol.rule import Effect, Rule, member_actor
from medsync_sim.decisions import answered, revoked
from medsync_sim.ledger import Revoked
from medsync_sim.node import SimNode
from medsync_sim.steps import Move
from medsync_sim.timeline import stream
from medsync_sim.world import World

PURPOSE: Final = "HRESCH"
MOVES: Final[dict[str, Move]] = {}


def move(function: Callable[..., None]) -> Callable[..., None]:
    """Offer it by its name; refusals and full disks are part of life."""

    @functools.wraps(function)
    def tried(world: World, *args: Any) -> None:
        try:
            function(world, *args)
        except (Refused, OperatorError) as error:
            world.trace.note(world.now, "refused", function.__name__, type(error).__name__)

    MOVES[function.__name__] = tried
    return tried


def running(world: World, name: str) -> SimNode:
    """The node, if it runs and holds the context. Raises Refused."""
    node = world.nodes[name]
    if not node.up or node.replica(world.the_context) is None:
        raise Refused("it is down", code="down", advice="later")
    return node


def subjects(node: SimNode, world: World) -> list[SubjectRef]:
    """Subjects that the node knows, ascending."""
    return sorted(node.replica(world.the_context).application.subject_keys())


def in_custody(node: SimNode, world: World) -> list[SubjectRef]:
    """Subjects of which the node is a custodian."""
    application = node.replica(world.the_context).application
    return [one for one in subjects(node, world) if node.member in application.subject(one).custodians]


def submit(world: World, node: SimNode, drafts: list[Draft]) -> Any:
    """Write a batch into the context; nothing for no drafts."""
    return node.do(lambda engine, now: engine.submit(now, world.the_context, drafts)) if drafts else None


# -- what users do --------------------------------------------------------------------------------------------


@move
def enrol(world: World, who: str, other: str, salt: int) -> None:
    """A new subject: one to three homes, the node and perhaps another are its custodians."""
    node, rng = running(world, who), stream(world.seed, "enrol", str(salt))
    members = sorted(node.replica(world.the_context).membership.members)
    homes = {node.member, *rng.sample(members, rng.randint(0, 2))}
    custodians = {node.member, world.nodes[other].member}
    _, drafts = node.engine.desk(world.the_context).enrol(Instant(node.now), custodians=custodians, homes=homes)
    submit(world, node, drafts)


@move
def grant(world: World, who: str, recipient: str, salt: int) -> None:
    """A custodian attests that a member may use a subject's data for research."""
    node = running(world, who)
    known = in_custody(node, world)
    if not known or who == recipient:
        return
    subject = known[salt % len(known)]
    rule = Rule(effect=Effect.PERMIT, purposes=(PURPOSE,), actors=(member_actor(world.nodes[recipient].member),))
    _, drafts = node.engine.desk(world.the_context).grant_attested(
        Instant(node.now), subject, rules=(rule,), valid_from=Instant(node.now)
    )
    if submit(world, node, drafts) is not None:
        world.ledger.grants.append((subject, recipient))


@move
def revoke(world: World, who: str, other: str, salt: int) -> None:
    """Any member takes back everything that a subject granted, as far as it knows."""
    node = running(world, who)
    known = subjects(node, world)
    if not known:
        return
    desk = node.engine.desk(world.the_context)
    subject = known[salt % len(known)]
    targets = [held.id for held in desk.application.directives(subject)][:8]
    if targets:
        _, drafts = desk.revoke_attested(Instant(node.now), subject, targets=targets)
        record_revocation(world, submit(world, node, drafts), subject, frozenset(targets))


def record_revocation(
    world: World, done: Any, subject: SubjectRef, targets: frozenset[Any], series: bytes = b"", upto: int = 0
) -> None:
    """Tell the ledger what really was revoked, and where it stands."""
    if done is None:
        return
    node = next(n for n in world.nodes.values() if n.up and (world.the_context, done.chain, done.seq) in n.bodies)
    homes = node.replica(world.the_context).application.subject(subject).homes
    revoked(
        world,
        Revoked(
            subject=subject, place=(world.the_context, done.chain, done.seq), targets=targets, series=series,
            all_before=upto, homes=frozenset(homes),
        ),
    )  # fmt: skip


@move
def ask(world: World, who: str, custodian: str, salt: int) -> None:
    """A member asks for what was granted to somebody, perhaps to it; the custodian decides and writes its receipt."""
    node = running(world, custodian)
    known = in_custody(node, world)
    asked = [pair for pair in world.ledger.grants if pair[0] in known]
    if not asked:
        return
    subject, recipient = asked[salt % len(asked)]
    asking = world.nodes[recipient if salt & 1 << 15 else who]
    replica = node.replica(world.the_context)
    request = make_request(
        replica.network, replica.context, subject, asking.member, purposes=(PURPOSE,),
        action="access", time=Instant(node.now), salt=salt.to_bytes(16, "big"),
    )  # fmt: skip
    entry, drafts = node.engine.desk(world.the_context).decide(Instant(node.now), request)
    submit(world, node, drafts)
    world.find(answered(world, node, request, entry))


@move
def note(world: World, who: str, other: str, salt: int) -> None:
    """Plain bytes, a few at a time."""
    node = running(world, who)
    drafts = [Draft(kind=EntryKind.NOTE, payload=salt.to_bytes(4, "big") * 8) for _ in range(1 + salt % 4)]
    submit(world, node, drafts)


@move
def rotate(world: World, who: str, *_: Any) -> None:
    """A new epoch key."""
    running(world, who).do(lambda engine, now: engine.rotate(now, world.the_context))


@move
def admit(world: World, who: str, whom: str, role: int = Role.MEMBER) -> None:
    """Let a member of the network into the context."""
    member = world.nodes[whom].member
    running(world, who).do(lambda engine, now: engine.admit(now, world.the_context, member, Role(role)))


@move
def remove(world: World, who: str, whom: str) -> None:
    """Remove a member from the context."""
    member = world.nodes[whom].member
    running(world, who).do(lambda engine, now: engine.remove(now, world.the_context, member))


@move
def set_role(world: World, who: str, whom: str, role: int) -> None:
    """Promote or demote."""
    member = world.nodes[whom].member
    running(world, who).do(lambda engine, now: engine.set_role(now, world.the_context, member, Role(role)))


@move
def leave(world: World, who: str) -> None:
    """Leave the context."""
    running(world, who).do(lambda engine, now: engine.leave(now, world.the_context))


@move
def vote_out(world: World, whom: str) -> None:
    """Every running voter but one votes for the list without that one."""
    gone = world.nodes[whom].member
    for name in sorted(world.nodes):
        node = world.nodes[name]
        replica = node.replica(world.the_context) if node.up else None
        if replica is None or replica.role is None or node.member == gone or not node.honest:
            continue
        voters = [m for m, _ in replica.membership.voters if m != gone and m in replica.membership.members]
        if node.member in voters:
            _vote(world, node, voters)


def _vote(world: World, node: SimNode, voters: list[Any]) -> None:
    node.do(lambda engine, now: engine.vote_voters(now, world.the_context, voters))


# -- what goes wrong ------------------------------------------------------------------------------------------


@move
def crash(world: World, name: str) -> None:
    """The process ends."""
    world.nodes[name].crash()


@move
def power(world: World, name: str) -> None:
    """The power fails: what was not synced is lost, or torn."""
    node = world.nodes[name]
    node.crash()
    if node.disk.lose_power(world.rng) and not node.disk.syncs:
        world.ledger.lossy.add(name)


@move
def rot(world: World, name: str) -> None:
    """A bit of the journal flips while the node is down; it finds out when it starts."""
    node = world.nodes[name]
    node.crash()
    node.disk.rot(world.rng)
    world.ledger.lossy.add(name)


@move
def start(world: World, name: str) -> None:
    """Start a node that is down; give a full disk space."""
    node = world.nodes[name]
    node.disk.full = False
    if node.up:
        return
    node.start()
    if node.replica(world.the_context) is None and name in world.ledger.backups:
        node.crash()  # the journal's beginning is gone: its operator takes the backup
        node.disk.restore(world.ledger.backups[name])
        node.start()


@move
def full(world: World, name: str) -> None:
    """No space left, until `start`."""
    world.nodes[name].disk.full = True


@move
def cut(world: World, *side: str) -> None:
    """Nothing passes between these and the others."""
    inside, outside = _sides(world, side)
    world.network.cut(inside, outside)
    world.network.cut(outside, inside)


@move
def deaf(world: World, *side: str) -> None:
    """These are heard and hear nothing: one direction is cut."""
    inside, outside = _sides(world, side)
    world.network.cut(outside, inside)


@move
def flap(world: World, *side: str) -> None:
    """Cut and healed several times within some seconds."""
    for i in range(4):
        world.timeline.after(i * 1_500, lambda: MOVES["cut"](world, *side))
        world.timeline.after(i * 1_500 + 700, world.network.heal)


def _sides(world: World, side: tuple[str, ...]) -> tuple[list[Any], list[Any]]:
    inside = [node.device for name, node in world.nodes.items() if name in side]
    return inside, [node.device for name, node in world.nodes.items() if name not in side]


@move
def heal(world: World) -> None:
    """Everybody reaches everybody."""
    world.network.heal()


@move
def skew(world: World, name: str, ms: int) -> None:
    """A clock that is off."""
    world.nodes[name].skew = ms


@move
def backup(world: World, name: str) -> None:
    """A copy of the journal is put aside, in place of the last one; not where it doesn't verify, as `backup create`."""
    disk = world.nodes[name].disk
    if disk.intact():
        world.ledger.backups[name] = disk.image()


@move
def restore(world: World, name: str) -> None:
    """The node goes down and its backup takes the journal's place."""
    if name in world.ledger.backups:
        node = world.nodes[name]
        node.crash()
        node.disk.restore(world.ledger.backups[name])
        world.ledger.lossy.add(name)


@move
def outage(world: World) -> None:
    """Nobody reaches the chain."""
    if world.chain is not None:
        world.chain.down = True


@move
def chain_up(world: World) -> None:
    """The chain is back."""
    if world.chain is not None:
        world.chain.down = False


@move
def reorg(world: World, blocks: int) -> None:
    """The last blocks vanish."""
    if world.chain is not None:
        world.facts["reorgs"] = int(world.facts.get("reorgs", 0)) + (world.chain.reorg(blocks) > 0)


@move
def slow(world: World, ms: int) -> None:
    """So many ms between blocks from now on."""
    if world.chain is not None:
        world.chain.interval = ms


def mend(world: World) -> None:
    """Everything that is broken works again: what L1 to L5 begin with."""
    world.network.heal()
    world.network.conditions = type(world.network.conditions)(latency=world.network.conditions.latency)
    if world.chain is not None:
        world.chain.down, world.chain.interval = False, 1_000
    for name in sorted(world.nodes):
        world.nodes[name].skew = 0
        MOVES["start"](world, name)
