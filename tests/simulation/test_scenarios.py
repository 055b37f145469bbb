"""Every scenario, five hundred seeds in all; a failing one is named with its seed and how to run it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from medsync_sim import run, sweep
from medsync_sim.scenarios import scenarios

SEEDS = {"faults": 70, "erasure": 12, "devices": 10, "rewards": 8}
FEWER = 20


def _runs() -> Iterator[tuple[str, range]]:
    for name in scenarios():
        count = SEEDS.get(name, FEWER)
        for low in range(0, count, 10):
            yield name, range(low, min(low + 10, count))


@pytest.mark.parametrize(("scenario", "seeds"), list(_runs()), ids=lambda value: str(value))
def test_no_rule_is_broken(scenario: str, seeds: range) -> None:
    for seed in seeds:
        found = run(scenario, seed=seed, crypto="memoised")
        told = "; ".join(f"{finding.rule} {finding.text}" for finding in found.violations)
        assert not found.violations, f"medsync simulate run {scenario} --seed {seed}: {told}"


def test_five_hundred_seeds_are_tried() -> None:
    assert sum(len(seeds) for _, seeds in _runs()) >= 500


def test_there_are_the_scenarios_that_the_readme_lists() -> None:
    assert len(scenarios()) >= 14
    assert all(scenario.about and scenario.oracle for scenario in scenarios().values())


def test_back_dating_wins_before_finality_and_never_after() -> None:
    rows = sweep("backdated-duel", seeds=range(16)).rows
    won = [row for row in rows if row["attacker_won"]]
    after = [row for row in rows if "after finality" in row["facts"]]
    assert won and after
    assert all("before finality" in row["facts"] for row in won)
    assert not any(row["violations"] for row in rows)
