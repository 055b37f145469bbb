"""Two admins remove each other while they can't hear one another: one of them stays, and everybody agrees on which."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from medsync_sim.consortium import Setting
from medsync_sim.hostile import standing
from medsync_sim.ledger import Finding
from medsync_sim.scenario import Scenario
from medsync_sim.steps import Step, faults, work
from medsync_sim.world import World

ADMINS = ("north", "south", "west")


class MutualRemoval(Scenario):
    """Kamikaze removals in rings of two or three; the default policy keeps the senior one."""

    name = "mutual-removal"
    about = "Two or three admins remove each other behind a partition, which then heals."
    oracle = "exactly one of two, at least one of three stays; the most senior of those that struck; never no admin"
    operations = 10

    def setting(self) -> Setting:
        """Three admins; enough others that checkpoints go on without two of the voters."""
        return Setting(nodes=7, admins=3)

    def plan(self, rng: Random, setting: Setting) -> list[Step]:
        """A cut, the removals within it, the heal."""
        ring = rng.sample(ADMINS, rng.choice((2, 2, 3)))
        at = rng.randint(2_000, 6_000)
        removals = [
            Step(at + rng.randint(0, 900), "remove", (one, other))
            for one, other in zip(ring, ring[1:] + ring[:1], strict=True)
        ]
        cuts = [Step(at - 500 + i, "cut", (name,)) for i, name in enumerate(ring)]
        return sorted([
            *work(rng, setting.names, self.ms, self.operations), *faults(rng, ("east", "lab"), self.ms, 3),
            *cuts, *removals, Step(at + rng.randint(1_500, 9_000), "heal"),
        ])  # fmt: skip

    def judge(self, world: World) -> Iterable[Finding]:
        """Whom the members that are left agree on."""
        stays = [name for name in ADMINS if standing(world, world.nodes[name].member)]
        everywhere = [
            name for name in stays if len(standing(world, world.nodes[name].member)) == len(world.members())
        ]
        if stays != everywhere or not stays:
            yield world.broke("S9", f"after mutual removals in: {stays}, everywhere: {everywhere}")


SCENARIO = MutualRemoval()
