"""Every scenario, five hundred seeds in all; a failing one is named with its seed and how to run it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

import pytest
from medsync_sim import sweep
from medsync_sim.scenarios import scenarios
from medsync_sim.sweep import Chunk, Row, run_chunks

SEEDS = {
    "faults": 70, "backdated-duel": 60, "equivocating-author": 50, "readmission": 50, "censoring-proposer": 30,
    "reorg-after-freezing": 30, "mutual-removal": 20, "lost-quorum": 20, "demotion-race": 20,
}  # fmt: skip
FEWER = 10  # of the scenarios that take longest
AT_ONCE = 5  # seeds a process runs before it takes the next ones
JOBS = min(2, os.cpu_count() or 1)


def _seeds() -> Iterator[tuple[str, range]]:
    for name in scenarios():
        yield name, range(SEEDS.get(name, FEWER))


@pytest.fixture(scope="module")
def rows() -> Mapping[str, Sequence[Row]]:
    """What every run found, scenario by scenario: on two cores, as `medsync simulate sweep all --jobs 2` does it."""
    chunks = [
        Chunk(name, tuple(seeds[at : at + AT_ONCE]), (), "memoised")
        for name, seeds in _seeds()
        for at in range(0, len(seeds), AT_ONCE)
    ]
    found: dict[str, list[Row]] = {name: [] for name in scenarios()}
    for row in chain.from_iterable(run_chunks(chunks, JOBS)):
        found[row["scenario"]].append(row)
    return found


@pytest.mark.parametrize("scenario", scenarios())
def test_no_rule_is_broken(scenario: str, rows: Mapping[str, Sequence[Row]]) -> None:
    assert sorted(row["seed"] for row in rows[scenario]) == list(dict(_seeds())[scenario])
    for row in rows[scenario]:
        told = "; ".join(f"{finding['rule']} {finding['text']}" for finding in row["violations"])
        assert not told, f"medsync simulate run {scenario} --seed {row['seed']}: {told}"


def test_five_hundred_seeds_are_tried() -> None:
    assert sum(len(seeds) for _, seeds in _seeds()) >= 500


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
