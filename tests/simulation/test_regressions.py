"""What seeds of the simulator once found, made small."""

from __future__ import annotations

from medsync_sim import run
from medsync_sim.steps import Step

MUTUAL = [
    Step(1_736, "cut", ("west",)), Step(1_737, "cut", ("north",)), Step(2_534, "remove", ("north", "west")),
    Step(2_751, "remove", ("west", "north")), Step(3_784, "heal"),
]  # fmt: skip


def test_a_senior_admin_learns_that_its_removal_by_a_junior_is_final() -> None:
    found = run("mutual-removal", seed=8, steps=MUTUAL, crypto="memoised")
    assert not found.violations
