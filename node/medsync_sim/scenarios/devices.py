"""A stolen device signs on after its member revoked it; a stolen member key after the other admins' votes replaced it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Final

from medsync_protocol.actions import Action, DeviceAdd, Leave, Rotate
from medsync_protocol.application import Draft
from medsync_protocol.errors import Refused
from medsync_protocol.governance import cut_off
from medsync_protocol.identity import Identity
from medsync_protocol.ids import OpId
from medsync_protocol.kinds import EntryKind
from medsync_protocol.operation import Operation
from medsync_protocol.sealing import make_rotation
from medsync_sim.consortium import Setting
from medsync_sim.hostile import Forger, Knowledge, effective_at, knowledge, newest_removal, settled_in, standing
from medsync_sim.ledger import Finding
from medsync_sim.moves import MOVES, move, running
from medsync_sim.node import SimNode
from medsync_sim.scenario import Scenario, turn_hostile
from medsync_sim.steps import Move, Step, work
from medsync_sim.world import World

OWNERS: Final = ("south", "east")  # an admin and a member have a second device each
LOST: Final = "west"  # the admin whose member key is found by somebody
DEEDS: Final = ("write", "write", "remove", "leave", "rotate", "another")


@dataclass(frozen=True, slots=True)
class Theft:
    """What a thief signed; `by`: the operations that certified the device it used, where a thief signed those, too."""

    deed: str
    operation: Operation
    by: frozenset[OpId] = frozenset()


@dataclass(slots=True)
class Phone:
    """A second device of a member, as it really was used: `kept` while it was in its owner's hands, `stolen` after."""

    identity: Identity
    known: Knowledge | None = None  # by whoever took it, when it did
    revoked: OpId | None = None
    held: frozenset[OpId] = frozenset()  # by the owner's other device when it revoked this one: that stands
    kept: list[Operation] = field(default_factory=list)
    stolen: list[Theft] = field(default_factory=list)


class Devices(Scenario):
    """A revocation cuts one device off and leaves its member in; a recovery puts another in a member's place (§§1, 3.3)."""

    name = "devices"
    about = "Stolen devices sign on, back-dated, beside their revocation; a stolen member key after votes replaced it."
    oracle = "nothing a thief signed counts, unless it was held or settled first: attacker_won; members stay, and what was theirs stands"
    operations = 14

    def setting(self) -> Setting:
        """Three admins, so that two can vote; one institution outside comes in the place of the one that lost its key. Seven,
        so that there is a quorum without it and one that a thief puts out."""
        return Setting(nodes=7, admins=3, outsiders=1)

    def plan(self, rng: Random, setting: Setting) -> list[Step]:
        """Each phone is added, used, stolen, used by the thief, revoked by its owner behind a cut perhaps, used again."""
        steps = work(rng, tuple(n for n in setting.names if n != LOST), self.ms, self.operations)
        for owner in OWNERS:
            at = rng.randint(300, 2_000)
            stolen = at + rng.randint(3_000, 8_000)
            revoked = stolen + rng.randint(200, 6_000)
            steps += [
                Step(at, "add_phone", (owner,)), Step(stolen, "steal", (owner,)), Step(revoked, "revoke_phone", (owner,)),
            ]  # fmt: skip
            steps += [Step(rng.randint(at + 900, stolen), "use_phone", (owner,)) for _ in range(3)]
            for _ in range(6):
                when = revoked + rng.randint(-1_500, 10_000)
                steps.append(Step(max(when, stolen + 1), "thief", (owner, rng.choice(DEEDS), rng.choice(setting.names))))
        if rng.random() < 0.7:
            lost = rng.randint(4_000, 9_000)
            steps += [Step(lost, "turn_hostile", (LOST,)), Step(lost + 200, "recover_member", ("north", LOST, setting.outside[0]))]
            steps += [
                Step(lost + rng.randint(100, 12_000), "thief", (LOST, rng.choice(DEEDS), rng.choice(("north", "south"))))
                for _ in range(3)
            ]  # fmt: skip
        side = tuple(sorted(rng.sample(setting.names, rng.randint(1, 2))))
        cut = rng.randint(3_000, 12_000)
        steps += [Step(cut, "cut", side), Step(cut + rng.randint(1_000, 8_000), "heal")]
        return sorted(steps)

    def moves(self) -> Mapping[str, Move]:
        """Of owners and thieves."""
        named = {name: MOVES[name] for name in ("add_phone", "use_phone", "revoke_phone", "recover_member")}
        return {**named, "steal": steal, "thief": thief, "turn_hostile": turn_hostile}

    def judge(self, world: World) -> Iterable[Finding]:
        """What counts of each thief's, and whether each owner is still who it was."""
        taken: set[OpId] = set()  # what thieves got by being first
        for owner, phone in phones(world).items():
            if phone.revoked is not None:
                at = settled_in(world, phone.revoked)
                yield from _thefts(world, f"{owner}'s stolen device", phone.stolen, at, taken, phone.held)
            else:
                taken |= _counting(world, phone.stolen)
        thefts, gone = world.stash.get("thefts", ()), newest_removal(world, world.nodes[LOST].member)
        if gone is not None and gone.op_id == world.stash.get("recovery"):
            voted = [settled_in(world, op_id) for op_id in (gone.op_id, *gone.votes)]
            at = None if None in voted else max(k for k in voted if k is not None)
            held = frozenset(  # by whoever proposed or voted: that stands (§3.3)
                t.operation.op_id for t in thefts if gone.stands(t.operation.header.chain, t.operation.header.seq)
            )
            yield from _thefts(world, f"who found {LOST}'s key", thefts, at, taken, held)
        else:
            taken |= _counting(world, thefts)
            world.facts["not recovered"] = 1
        renewed = world.nodes[world.outside[0]].member
        if set(standing(world, renewed)) & set(standing(world, world.nodes[LOST].member)):
            yield world.broke("S3", f"{LOST} and who came in its place are both in")
        if not taken:
            for owner, phone in phones(world).items():
                yield from _stays(world, owner, phone)


def _counting(world: World, thefts: Iterable[Theft]) -> set[OpId]:
    return {theft.operation.op_id for theft in thefts if effective_at(world, theft.operation)}


def _thefts(
    world: World, who: str, stolen: Iterable[Theft], at: int | None, taken: set[OpId], held: frozenset[OpId] = frozenset()
) -> Iterable[Finding]:  # fmt: skip
    """`at`: the checkpoint that settled what put the thief out; `held`: what whoever put it out had of it by then."""
    for theft in stolen:
        op_id = theft.operation.op_id
        if not effective_at(world, theft.operation):
            continue
        early = settled_in(world, op_id)
        if op_id in held or theft.by & taken or (early is not None and (at is None or early <= at)):
            taken.add(op_id)
            world.won(f"{who}: {theft.deed}, held or settled before it was known to be stolen")
        else:
            yield world.broke("S3", f"{who}: {theft.deed} counts though it was signed beside or after what put it out")


def _stays(world: World, owner: str, phone: Phone) -> Iterable[Finding]:
    """The member is in, its device is out, and what it wrote itself stands."""
    if len(standing(world, world.nodes[owner].member)) < len(world.members()):
        yield world.broke("S3", f"{owner} is out, though only its device was to go")
    for member in world.members():
        state = member.replica(world.the_context).membership
        if phone.revoked in state.verdicts and phone.identity.device in state.devices:
            yield world.broke("S3", f"{member.name} still lists the device that {owner} revoked")
    for operation in phone.kept:
        if phone.revoked is None or operation.op_id in phone.held:
            if len(effective_at(world, operation)) < len(world.members()):
                yield world.broke("S3", f"what {owner} wrote and held itself doesn't stand everywhere")


def phones(world: World) -> dict[str, Phone]:
    """By their owners."""
    found: dict[str, Phone] = world.stash.setdefault("phones", {})
    return found


def _phone(world: World, owner: str) -> Phone:
    found = phones(world).get(owner)
    if found is None:
        raise Refused("it has no second device", code="unknown_device", advice="later")
    return found


@move
def add_phone(world: World, owner: str) -> None:
    """A second device, certified by the member."""
    node = running(world, owner)
    seed = hashlib.sha256(f"medsync-sim/phone/{owner}".encode()).digest()
    identity = Identity(member_seed=node.identity.member_seed, device_seed=seed, name=owner)
    node.do(lambda engine, now: engine.add_device(now, world.the_context, identity.device, identity.certificate()))
    phones(world)[owner] = Phone(identity)


@move
def use_phone(world: World, owner: str) -> None:
    """Its owner writes with it, beside the other one."""
    node, phone = running(world, owner), _phone(world, owner)
    known = knowledge(node, world)
    if phone.known is None and node.replica(world.the_context).ring.key(known.key_id):
        operation = _forger(world, node, phone).batch([Draft(kind=EntryKind.NOTE, payload=b"mine")], known)
        phone.kept.append(operation)
        _forger(world, node, phone).smuggle([operation], [n.name for n in world.honest()])


@move
def revoke_phone(world: World, owner: str) -> None:
    """The owner's other device puts it out."""
    node, phone = running(world, owner), _phone(world, owner)
    if phone.revoked is None:
        held = {slot.op_id for _, _, slot in node.replica(world.the_context).chains.above({})}
        phone.held = frozenset(held)
        phone.revoked = node.do(lambda engine, now: engine.revoke_device(now, world.the_context, phone.identity.device))


@move
def recover_member(world: World, admin: str, lost: str, renewed: str) -> None:
    """Ask the other admins to put another key in the place of a lost one."""
    node = running(world, admin)
    old, new = world.nodes[lost].member, world.nodes[renewed].member
    world.stash["recovery"] = node.do(lambda engine, now: engine.recover(now, world.the_context, old, new))


def steal(world: World, owner: str) -> None:
    """From here on somebody else has it, who knows what is known now."""
    node, phone = world.nodes[owner], phones(world).get(owner)
    if phone is not None and node.up:
        phone.known = knowledge(node, world)


def thief(world: World, owner: str, deed: str, whom: str) -> None:
    """Whoever has the device, or the member's key, signs as of when it was taken, and shows it to everybody."""
    node, phone = world.nodes[owner], phones(world).get(owner)
    known = world.stash.get(owner) if phone is None else phone.known
    replica = node.replica(world.the_context) if node.up else None
    if known is None or replica is None or replica.ring.key(known.key_id) is None:
        return
    forger = _forger(world, node, phone)
    if deed == "write":
        operation = forger.batch([Draft(kind=EntryKind.NOTE, payload=b"stolen")], known)
    elif deed == "remove":
        operation = forger.removal(world.nodes[whom], known)
    else:
        operation = forger.action(_act(world, node, deed, known), known)
    made = [operation]
    stash = world.stash.setdefault("thefts", []) if phone is None else phone.stolen
    stash.append(Theft(deed, operation))
    if deed == "another":
        further = _further(node)
        second, since = Forger(world, node, further), Knowledge((operation.op_id,), known.key_id, known.epoch, known.at)
        written = second.batch([Draft(kind=EntryKind.NOTE, payload=b"further")], since)
        acted = second.action(_act(world, node, "rotate", known), since)
        by = frozenset(theft.operation.op_id for theft in stash if theft.deed == "another")
        stash += [Theft("a further device's data", written, by), Theft("a further device's rotation", acted, by)]
        made += [written, acted]
    forger.smuggle(made, [n.name for n in world.honest()])


def _act(world: World, node: SimNode, deed: str, known: Knowledge) -> Action:
    replica = node.replica(world.the_context)
    if deed == "leave":
        return Leave(cut_off=cut_off(replica, node.member))
    if deed == "another":
        further = _further(node)
        return DeviceAdd(member=node.member, device=further.device, certificate=further.certificate())
    members = replica.fold.state_at(known.heads).members
    rotation = make_rotation(
        epoch=known.epoch + 1, key=node.rng.randbytes(32), recipients={m: s.sealing_key for m, s in members.items()},
        previous=None, entropy=lambda label, n: node.rng.randbytes(n),
    )  # fmt: skip
    return Rotate(rotation=rotation)


def _further(node: SimNode) -> Identity:
    seed = hashlib.sha256(f"medsync-sim/further/{node.name}".encode()).digest()
    return Identity(member_seed=node.identity.member_seed, device_seed=seed, name=node.name)


def _forger(world: World, node: SimNode, phone: Phone | None) -> Forger:
    forgers = world.stash.setdefault("forgers", {})
    if node.name not in forgers:
        forgers[node.name] = Forger(world, node, None if phone is None else phone.identity)
    found: Forger = forgers[node.name]
    return found


SCENARIO = Devices()
