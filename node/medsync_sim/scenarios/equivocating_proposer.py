"""f of n voters propose different checkpoints to different halves and vote for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from medsync_sim.consortium import Setting
from medsync_sim.proposals import candidate, propose
from medsync_sim.scenario import Scenario
from medsync_sim.steps import Move, Step
from medsync_sim.world import World


class EquivocatingProposer(Scenario):
    """No vote lock: the contract takes the first valid one, and that settles it (PROTOCOL §5)."""

    name = "equivocating-proposer"
    about = "Two of seven voters propose different candidates to each half and vote for every one."
    oracle = "one settled C_k per k, everywhere what the chain holds (S5), and checkpoints go on (L2)"
    hostile = ("lab", "clinic")
    operations = 16
    faults = 3

    def setting(self) -> Setting:
        """Seven voters: q is five, the honest ones."""
        return Setting(nodes=7, admins=2)

    def plan(self, rng: Random, setting: Setting) -> list[Step]:
        """Again and again, with other halves."""
        steps = super().plan(rng, setting)
        honest = [name for name in setting.names if name not in self.hostile]
        for _ in range(8):
            half = rng.sample(honest, rng.randint(1, 4))
            steps.append(Step(rng.randint(1_000, 28_000), "two_faced", (rng.choice(self.hostile), *half)))
        return sorted(steps)

    def moves(self) -> Mapping[str, Move]:
        """Two candidates."""
        return {"two_faced": two_faced}


def two_faced(world: World, name: str, *half: str) -> None:
    """All that is closed to these; one operation less to the rest."""
    node = world.nodes[name]
    checkpoints = node.engine.checkpoints(world.the_context) if node.up else None
    if checkpoints is None or checkpoints.anchoring is None:
        return
    everything = checkpoints.acceptance.closed()
    before = checkpoints.acceptance.head.cut.vector
    longest = max(everything, key=lambda chain: (everything[chain] - before.get(chain, 0), chain))
    less = {**everything, longest: everything[longest] - 1}
    rest = [other for other in world.nodes if other not in half and other != name]
    for vector, names in ((everything, list(half)), (less, rest)):
        made = candidate(world, node, vector)
        if made is not None:
            propose(world, node, made, names)


SCENARIO = EquivocatingProposer()
