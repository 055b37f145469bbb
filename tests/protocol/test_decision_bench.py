"""The benchmark of decisions runs, and decides what its directives say: a small share of it, so that it can't rot."""

from __future__ import annotations

from scripts.benchmarks.decisions import KINDS, Load, measure, requests, spread


def test_the_benchmark_of_decisions_runs() -> None:
    told: list[str] = []
    found = measure(40, 130, 60, told.append)
    assert (found["subjects"], found["directives"], found["asked"]) == (40, 130, 60) and told
    assert all(value > 0 for name, value in found.items() if name != "bytes_per_directive")  # so few fit in what was there


def test_every_patient_has_as_many_directives_as_asked_for() -> None:
    assert sum(spread(40, 130)) == 130 and set(spread(40, 130)) == {3, 4}
    load = Load()
    load.enrol(0, len(KINDS))
    load.hear()
    (asked,) = requests(load.subjects)
    assert load.decide(asked).name == "PERMIT" and len(load.application.directives(asked.subject)) == len(KINDS)
