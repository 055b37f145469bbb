"""A removed admin races the removal with a rotation of its own, whose key it keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random

from medsync_protocol.actions import Rotate
from medsync_protocol.ids import device_of
from medsync_protocol.kinds import Plane
from medsync_protocol.sealing import make_rotation
from medsync_sim.consortium import Setting
from medsync_sim.hostile import Forger, newest_removal
from medsync_sim.ledger import Finding
from medsync_sim.scenario import Scenario, turn_hostile
from medsync_sim.steps import Move, Step, faults, work
from medsync_sim.world import World


class RacingRotation(Scenario):
    """A key whose author is no member is unusable for writing (PROTOCOL §4); K1 and K2 watch everybody else."""

    name = "racing-rotation"
    about = "A removed admin's own rotations, of its epoch and later ones, race the removal's."
    oracle = "nobody who knows of the removal writes under a key that the removed one made or holds (K1, K2)"
    operations = 30

    def plan(self, rng: Random, setting: Setting) -> list[Step]:
        """Rotations before, with and after the removal."""
        at = rng.randint(3_000, 7_000)
        honest = tuple(name for name in setting.names if name != "south")
        rotations = [
            Step(at + rng.randint(-300, 5_000), "race", ("south", rng.randint(0, 3), *rng.sample(honest, rng.randint(1, 4))))
            for _ in range(4)
        ]
        if rng.random() < 0.6:  # the removal is unheard until a rotation beside it is settled
            rotations += [
                Step(at - 900, "cut", ("north",)), Step(at - 300, "race", ("south", 0, "west", "east", "lab")),
                Step(at + 11_000, "heal"),
            ]  # fmt: skip
        return sorted([
            *work(rng, honest, self.ms, self.operations), *faults(rng, honest, self.ms, 3), *rotations,
            Step(at - 1_000, "turn_hostile", ("south",)), Step(at, "remove", ("north", "south")),
        ])  # fmt: skip

    def moves(self) -> Mapping[str, Move]:
        """Turning and racing."""
        return {"turn_hostile": turn_hostile, "race": race}

    def judge(self, world: World) -> Iterable[Finding]:
        """Under which keys was written by whom."""
        removal = newest_removal(world, world.nodes["south"].member)
        made = world.stash.get("made", set())
        if removal is None or not made:
            return
        for node in world.members():
            replica = node.replica(world.the_context)
            for chain, seq, slot in replica.chains.above({}):
                author = next((n for n in world.nodes.values() if n.device == device_of(chain)), None)
                if slot.plane != Plane.DATA or author is None or not author.honest or slot.key_id not in made:
                    continue
                if removal.op_id in world.ledger.knew.get(slot.op_id, ()):
                    yield world.broke("K2", f"{author.name} wrote its {seq} under a key that the removed one made")


def race(world: World, name: str, ahead: int, *names: str) -> None:
    """A rotation as of what it knew, of the next epoch or one further ahead."""
    node = world.nodes[name]
    known = world.stash.get(name)
    if known is None:
        return
    replica = node.replica(world.the_context)
    members = replica.fold.state_at(known.heads).members
    rotation = make_rotation(
        epoch=known.epoch + 1 + ahead, key=node.rng.randbytes(32),
        recipients={member: held.sealing_key for member, held in members.items()}, previous=None,
        entropy=lambda label, n: node.rng.randbytes(n),
    )  # fmt: skip
    world.stash.setdefault("made", set()).add(rotation.key_id)
    forger = Forger(world, node)
    forger.smuggle([forger.action(Rotate(rotation=rotation), known, chain=forger.chain(f"race{world.elapsed}"))], names)


SCENARIO = RacingRotation()
