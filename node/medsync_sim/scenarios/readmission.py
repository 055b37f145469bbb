"""A removed member is admitted again and then hands in data that it had signed in private while it was out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random

from medsync_protocol.application import Draft
from medsync_protocol.kinds import EntryKind
from medsync_sim.consortium import Setting
from medsync_sim.hostile import Forger, counts_against, effective_at, newest_removal, standing
from medsync_sim.ledger import Finding
from medsync_sim.scenario import Scenario, turn_hostile
from medsync_sim.steps import Move, Step, work
from medsync_sim.world import World


class Readmission(Scenario):
    """Everything between the cut-off and the re-admission stays void (PROTOCOL §3.3)."""

    name = "readmission"
    about = "A member is removed, signs back-dated data in private, is admitted again and hands it in."
    oracle = "the member is in again, and none of what it back-dated counts"
    operations = 12

    def plan(self, rng: Random, setting: Setting) -> list[Step]:
        """Removal, private data, re-admission by the same or another admin, perhaps racing."""
        out = rng.randint(3_000, 6_000)
        back = out + rng.randint(300, 9_000)
        return sorted([
            *work(rng, tuple(n for n in setting.names if n != "lab"), self.ms, self.operations),
            Step(out - 1_000, "turn_hostile", ("lab",)), Step(out, "remove", ("north", "lab")),
            *(Step(out + 100 + 50 * i, "sign_privately", ("lab", i)) for i in range(3)),
            Step(back, "admit", (rng.choice(("north", "south")), "lab")),
            Step(back + rng.randint(500, 5_000), "hand_in", ("lab",)),
        ])  # fmt: skip

    def moves(self) -> Mapping[str, Move]:
        """Private data, and its appearance."""
        return {"turn_hostile": turn_hostile, "sign_privately": sign_privately, "hand_in": hand_in}

    def judge(self, world: World) -> Iterable[Finding]:
        """Nothing of it counts."""
        if newest_removal(world, world.nodes["lab"].member) is None:
            return
        world.facts["admitted again"] = int(bool(standing(world, world.nodes["lab"].member)))
        for operation in world.stash.get("private", ()):
            if effective_at(world, operation):
                yield from counts_against(world, "S3", "data signed while its author was out counts after it was admitted again")


def sign_privately(world: World, name: str, number: int) -> None:
    """Data as of before the removal, kept back."""
    if name in world.stash and newest_removal(world, world.nodes[name].member) is not None:
        forger = world.stash.setdefault("forger", Forger(world, world.nodes[name]))
        draft = Draft(kind=EntryKind.NOTE, payload=b"private %d" % number)
        world.stash.setdefault("private", []).append(forger.batch([draft], world.stash[name]))


def hand_in(world: World, name: str) -> None:
    """To everybody."""
    Forger(world, world.nodes[name]).smuggle(world.stash.get("private", ()), [n.name for n in world.honest()])


SCENARIO = Readmission()
