"""Revocations behind partitions: who decides must not trust an old view for longer than the guarantee says."""

from __future__ import annotations

from random import Random

from medsync_sim.consortium import Setting
from medsync_sim.scenario import Scenario
from medsync_sim.steps import Step
from medsync_sim.world import World


class StaleRevocation(Scenario):
    """Homes, heartbeats and D: no honest node permits later than effective + D + skew, under any partition (§7)."""

    name = "stale-revocation"
    about = "Grants, revocations and many questions while the consortium is cut in two again and again, clocks off."
    oracle = "no PERMIT on a revocation that is held, none later than effective + D + skew by true time (S10)"

    ms = 42_000

    def plan(self, rng: Random, setting: Setting) -> list[Step]:
        """Subjects and grants first, then cuts around revocations, questions all the time."""
        names = setting.names

        def some(move: str, count: int, low: int, high: int) -> list[Step]:
            return [
                Step(rng.randint(low, high), move, (rng.choice(names), rng.choice(names), rng.randrange(1 << 16)))
                for _ in range(count)
            ]

        steps = some("enrol", 5, 0, 2_000) + some("grant", 12, 2_500, 8_000) + some("revoke", 6, 6_000, 22_000)
        steps += some("ask", 60, 5_000, 29_000)
        for at in (rng.randint(8_000, 10_000), rng.randint(24_000, 26_000)):
            side = tuple(sorted(rng.sample(names, rng.randint(1, 2))))
            heal = at + rng.randint(2_000, 15_000)
            others = [name for name in names if name not in side]
            steps += [Step(at, rng.choice(("cut", "cut", "deaf")), side), Step(heal, "heal")]
            for _ in range(6):  # revoked on one side, asked on the other, most of all when it gets late
                salt = rng.randrange(1 << 16)
                steps.append(Step(at + rng.randint(100, 900), "revoke", (rng.choice(others), "north", salt)))
                steps += [Step(at + rng.randint(1_000, 14_500), "ask", ("north", rng.choice(side), rng.randrange(1 << 16))) for _ in range(4)]
        steps += [Step(0, "skew", (name, rng.randint(-900, 900))) for name in names]
        return sorted(steps)

    def prepare(self, world: World) -> None:
        """Nobody is hostile; the chain is of no matter here."""
        super().prepare(world)


SCENARIO = StaleRevocation()
