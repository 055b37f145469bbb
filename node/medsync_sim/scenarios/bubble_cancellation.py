"""A removed admin adds an unrelated back-dated removal: voiding one operation must not bring another back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random

from medsync_sim.consortium import Setting
from medsync_sim.hostile import Forger, effective_at, newest_removal, settled_in, standing
from medsync_sim.ledger import Finding
from medsync_sim.scenario import Scenario, turn_hostile
from medsync_sim.steps import Move, Step, faults, work
from medsync_sim.world import World


class BubbleCancellation(Scenario):
    """north removes south; south, dated before, removes west, who removed lab, and east, who did nothing."""

    name = "bubble-cancellation"
    about = "A removed admin back-dates removals of others, whose own removals would then be in doubt."
    oracle = "the removed admin stays out, the others stay in, unless a checkpoint held the bubbles first: attacker_won"
    operations = 10

    def setting(self) -> Setting:
        """Three admins; enough others that checkpoints go on without two of the voters."""
        return Setting(nodes=7, admins=3)  # five are left of seven voters: a quorum

    def plan(self, rng: Random, setting: Setting) -> list[Step]:
        """Two removals in either order, then the bubbles."""
        first, second = rng.randint(2_000, 5_000), rng.randint(2_000, 5_000)
        strike = max(first, second) + rng.randint(100, 12_000)
        honest = tuple(name for name in setting.names if name not in ("south", "lab"))
        return sorted([
            *work(rng, honest, self.ms, self.operations), *faults(rng, honest, self.ms, 3),
            Step(1_000, "turn_hostile", ("south",)), Step(first, "remove", ("north", "south")),
            Step(second, "remove", ("west", "lab")),
            *(Step(strike + i, "bubble", ("south", whom)) for i, whom in enumerate(rng.sample(("west", "east", "lab"), 3))),
        ])  # fmt: skip

    def moves(self) -> Mapping[str, Move]:
        """Turning and bubbles."""
        return {"turn_hostile": turn_hostile, "bubble": bubble}

    def judge(self, world: World) -> Iterable[Finding]:
        """Who is in, who is out."""
        south = world.nodes["south"].member
        if newest_removal(world, south) is None:
            return
        if standing(world, south):
            yield world.broke("S3", "the removed admin is back in")
        for operation in world.stash.get("bubbles", ()):
            if not effective_at(world, operation):
                continue
            if settled_in(world, operation.op_id) is None:
                yield world.broke("S3", "a removal that the removed admin back-dated counts")
            else:
                world.won("south's back-dated removals were settled before its own reached a quorum")


def bubble(world: World, villain: str, whom: str) -> None:
    """One back-dated removal, to everybody."""
    if villain in world.stash and newest_removal(world, world.nodes[villain].member) is not None:
        forger = Forger(world, world.nodes[villain])
        operation = forger.removal(world.nodes[whom], world.stash[villain], chain=forger.chain(whom))
        world.stash.setdefault("bubbles", []).append(operation)
        forger.smuggle([operation], [n.name for n in world.honest()])


SCENARIO = BubbleCancellation()
