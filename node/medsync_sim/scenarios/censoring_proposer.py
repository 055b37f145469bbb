"""A removed voter wins every race to propose, with candidates that leave its own removal out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random

from medsync_sim.consortium import Setting
from medsync_sim.hostile import newest_removal, settled_in
from medsync_sim.ledger import Finding
from medsync_sim.proposals import candidate, propose
from medsync_sim.scenario import Scenario, turn_hostile
from medsync_sim.steps import Move, Step, work
from medsync_sim.world import World

MAY_CENSOR = 2  # the checkpoint under way when the removal was signed, and the one after it


class CensoringProposer(Scenario):
    """Each voter must find in a candidate all that it held when the last one was accepted (PROTOCOL §5)."""

    name = "censoring-proposer"
    about = "A removed voter proposes first, again and again, always without the chain that holds its removal."
    oracle = f"its removal is in one of the {MAY_CENSOR} checkpoints after it was signed, whoever proposes"
    operations = 24

    def plan(self, rng: Random, setting: Setting) -> list[Step]:
        """A removal, and proposals every half second."""
        at = rng.randint(3_000, 6_000)
        steps = work(rng, tuple(n for n in setting.names if n != "lab"), self.ms, self.operations)
        steps += [Step(at - 500, "turn_hostile", ("lab",)), Step(at, "remove", ("north", "lab")), Step(at, "mark")]
        return sorted([*steps, *(Step(at + 200 + 400 * i, "censor", ("lab",)) for i in range(50))])

    def moves(self) -> Mapping[str, Move]:
        """Turning and censoring."""
        return {"turn_hostile": turn_hostile, "censor": censor, "mark": mark}

    def judge(self, world: World) -> Iterable[Finding]:
        """When the removal got in."""
        removal = newest_removal(world, world.nodes["lab"].member)
        if removal is None or "head" not in world.stash:
            return
        k = settled_in(world, removal.op_id)
        world.facts["checkpoints until it was in"] = -1 if k is None else k - world.stash["head"]
        if k is not None and k - world.stash["head"] > MAY_CENSOR:
            yield world.broke("S3", f"a removal was kept out of {k - world.stash['head'] - 1} checkpoints")


def mark(world: World) -> None:
    """How many checkpoints there are when the removal is signed."""
    world.stash["head"] = world.chain.head.k if world.chain is not None else 0


def censor(world: World, name: str) -> None:
    """Everything but the removal and what comes after it on its chain."""
    node, removal = world.nodes[name], newest_removal(world, world.nodes[name].member)
    checkpoints = node.engine.checkpoints(world.the_context) if node.up else None
    if removal is None or checkpoints is None or checkpoints.anchoring is None:
        return
    vector = checkpoints.acceptance.closed()
    place = node.replica(world.the_context).places.get(removal.op_id)
    if place is not None:
        vector[place[0]] = min(vector.get(place[0], 0), place[1])
    made = candidate(world, node, vector)
    if made is not None:
        propose(world, node, made, [other for other in world.nodes if other != name])


SCENARIO = CensoringProposer()
