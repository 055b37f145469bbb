"""So many voters are down that no checkpoint can be signed; then they come back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random

from medsync_sim.consortium import Setting
from medsync_sim.ledger import Finding
from medsync_sim.scenario import Scenario
from medsync_sim.steps import Move, Step, work
from medsync_sim.world import World


class LostQuorum(Scenario):
    """Everything but finality goes on, and finality takes up where it stopped."""

    name = "lost-quorum"
    about = "Two of five voters, then perhaps a third, are down for most of the run; the chain fails for a while too."
    oracle = "nothing is accepted without a quorum, the others stay in step, all is settled after the return (L2, L4)"
    operations = 40

    def plan(self, rng: Random, setting: Setting) -> list[Step]:
        """Down by crash or power; one of them loses its journal to bit-rot."""
        down = rng.sample(setting.names, rng.choice((2, 2, 3)))
        up = tuple(name for name in setting.names if name not in down)
        at = rng.randint(3_000, 6_000)
        steps = work(rng, up, self.ms, self.operations)
        steps += [Step(at, rng.choice(("crash", "power", "rot")), (name,)) for name in down]
        steps += [Step(at + 500, "count"), Step(27_000, "count")]
        if rng.random() < 0.5:
            steps += [Step(at + 4_000, "outage"), Step(at + 12_000, "chain_up")]
        return sorted([*steps, *(Step(28_000 + 300 * i, "start", (name,)) for i, name in enumerate(down))])

    def moves(self) -> Mapping[str, Move]:
        """Counting what is accepted."""
        return {"count": count}

    def judge(self, world: World) -> Iterable[Finding]:
        """What was accepted while there was no quorum."""
        counted = world.stash.get("accepted", [])
        if len(counted) == 2 and counted[1] > counted[0] + 1:  # one may have been signed before
            yield world.broke("S5", f"{counted[1] - counted[0]} checkpoints were accepted without a quorum")


def count(world: World) -> None:
    """How many checkpoints the chain holds."""
    world.stash.setdefault("accepted", []).append(world.chain.head.k if world.chain is not None else 0)


SCENARIO = LostQuorum()
