"""The chain takes a checkpoint back after verdicts were frozen by it, again and again, while a removal is contested."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random

from medsync_sim.consortium import Setting
from medsync_sim.hostile import took_effect, settled_in
from medsync_sim.ledger import Finding
from medsync_sim.scenario import Scenario, turn_hostile
from medsync_sim.scenarios.backdated_duel import strike
from medsync_sim.steps import Move, Step, faults, work
from medsync_sim.world import World


class ReorgAfterFreezing(Scenario):
    """Accepted verdicts thaw with their block; only what is settled holds for ever (S4, S5)."""

    name = "reorg-after-freezing"
    about = "Reorgs of one or two blocks, all the time, while a removed admin back-dates a counter-removal."
    oracle = "settled verdicts and digests never change (S4, S5); the duel ends alike everywhere (S1)"
    operations = 20

    def plan(self, rng: Random, setting: Setting) -> list[Step]:
        """A junior admin is removed and strikes between reorgs."""
        at = rng.randint(3_000, 8_000)
        honest = tuple(name for name in setting.names if name != "south")
        return sorted([
            *work(rng, honest, self.ms, self.operations), *faults(rng, honest, self.ms, 3),
            Step(at - 1_000, "turn_hostile", ("south",)), Step(at, "remove", ("north", "south")),
            *(Step(rng.randint(1_000, 28_000), "reorg", (rng.randint(1, 2),)) for _ in range(10)),
            *(Step(at + rng.randint(200, 9_000), "strike", ("south", "north")) for _ in range(3)),
        ])  # fmt: skip

    def moves(self) -> Mapping[str, Move]:
        """Turning and striking."""
        return {"turn_hostile": turn_hostile, "strike": strike}

    def judge(self, world: World) -> Iterable[Finding]:
        """A junior's counter-removal counts only where a checkpoint settled it, or one of its others, before the removal."""
        struck = world.stash.get("struck", ())
        settled = any(not final and settled_in(world, operation.op_id) is not None for _, operation, final in struck)
        for villain, operation, final in struck:
            if not took_effect(world, operation):
                continue
            if final or not settled:
                yield world.broke("S3", f"{villain}'s back-dated removal counts after reorgs")
            else:
                world.won(f"{villain}'s back-dated removal was settled first")


SCENARIO = ReorgAfterFreezing()
