"""Disks at their worst: torn writes, lost fsync, bit-rot, no space, backups put back, and power that fails all the time."""

from __future__ import annotations

from random import Random

from medsync_sim.consortium import Setting
from medsync_sim.scenario import Scenario
from medsync_sim.steps import Step, work
from medsync_sim.timeline import stream
from medsync_sim.world import World

WORST = ("power", "power", "rot", "rot", "full", "crash", "restore")


class RottenDisks(Scenario):
    """What recovery takes is what was written (CRC), and no chain goes on after a loss (the restart guard)."""

    name = "rotten-disks"
    about = "Power failures with torn writes, disks that lie about fsync, bit-rot, no space, old backups put back."
    oracle = "no (chain, seq) is signed twice, what was acknowledged on a true disk survives (S6), all catch up (L4)"
    operations = 50

    def prepare(self, world: World) -> None:
        """Some disks promise more than they keep."""
        super().prepare(world)
        rng = stream(world.seed, "disks")
        for name in sorted(world.nodes):
            world.nodes[name].disk.syncs = rng.random() < 0.6

    def plan(self, rng: Random, setting: Setting) -> list[Step]:
        """Every second something; a backup of each early on."""
        steps = work(rng, setting.names, self.ms, self.operations)
        steps += [Step(rng.randint(500, 9_000), "backup", (name,)) for name in setting.names]
        for _ in range(20):
            at, name = rng.randint(1_000, self.ms), rng.choice(setting.names)
            steps += [Step(at, rng.choice(WORST), (name,)), Step(at + rng.randint(200, 2_500), "start", (name,))]
        return sorted(steps)


SCENARIO = RottenDisks()
