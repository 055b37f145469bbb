"""`medsync simulate` on the command line: JSON, exit codes, sweeps that resume, replays, smaller runs, reports."""

from __future__ import annotations

import asyncio
import csv
import json
from pathlib import Path
from typing import Any

import pytest
from medsync_node.cli import run as command
from medsync_protocol.errors import Refused
from medsync_sim import run, sweep
from medsync_sim.minimising import minimise, regression


def _json(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = command(["simulate", *arguments, "--json"])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, found


def test_list_names_scenarios_with_their_oracles(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = _json(capsys, "list")
    assert code == 0
    assert {"faults", "flood", "backdated-duel"} <= {row["name"] for row in found["scenarios"]}


def test_a_sweep_ends_with_its_sums(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ("sweep", "backdated-duel", "--seeds", "0:4", "--out", str(tmp_path))
    code, found = _json(capsys, *arguments)
    assert code == 0
    assert (found["seeds"], found["violations"]) == (4, 0)
    assert found["events"] > 1_000
    assert found["attacker_won"] == 2


def test_a_sweep_takes_up_what_is_done(tmp_path: Path) -> None:
    first = sweep("faults", seeds=range(2), out=tmp_path)
    file = tmp_path / "rows.jsonl"
    file.write_text(file.read_text() + '{"torn', "utf-8")
    told: list[tuple[int, int]] = []
    again = sweep("faults", seeds=range(3), out=tmp_path, progress=lambda *at: told.append(at))
    assert again.rows[:2] == first.rows
    assert told == [(3, 3)]


def test_rows_are_the_same_on_processes(tmp_path: Path) -> None:
    assert sweep("faults", seeds=range(2), jobs=2).rows == sweep("faults", seeds=range(2)).rows


def test_a_grid_runs_every_combination() -> None:
    rows = sweep("faults", seeds=range(1), grid={"nodes": [4, 5], "checkpoint_ms": [2_000]}).rows
    assert sorted(row["parameters"]["nodes"] for row in rows) == [4, 5]


def test_a_trace_is_replayed_byte_for_byte(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    trace = tmp_path / "run.trace"
    assert command(["simulate", "run", "faults", "--seed", "4", "--trace", str(trace), "--json"]) == 0
    capsys.readouterr()
    code, found = _json(capsys, "replay", str(trace))
    assert (code, found["same"]) == (0, True)
    trace.write_text(trace.read_text().replace("frame", "flame", 1))
    assert _json(capsys, "replay", str(trace))[1]["same"] is False


def test_a_broken_rule_is_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = _json(capsys, "run", "self-granting-lab", "--seed", "0", "--bug", "anybody-grants")
    assert code == 1
    assert found["violations"] > 0
    assert found["found"][0]["rule"] == "S2"


def test_a_failing_run_is_made_smaller_and_written_as_a_test() -> None:
    smaller = minimise("self-granting-lab", seed=0, bug="anybody-grants")
    assert len(smaller.steps) <= 4 < smaller.before
    scope: dict[str, Any] = {}
    exec(compile(regression(smaller), "regression", "exec"), scope)
    with pytest.raises(AssertionError):
        scope["test_self_granting_lab_0_breaks_no_rule"]()


def test_a_seed_that_holds_is_not_made_smaller() -> None:
    with pytest.raises(Refused, match="breaks no rule"):
        minimise("faults", seed=0)


def test_a_report_holds_tables_and_pictures(tmp_path: Path) -> None:
    sweep("backdated-duel", seeds=range(3), grid={"nodes": [4, 5]}, out=tmp_path)
    assert command(["simulate", "report", str(tmp_path)]) == 0
    assert "backdated-duel nodes=4,3," in (tmp_path / "success.csv").read_text()
    duels = list(csv.DictReader((tmp_path / "finality.csv").open()))
    assert [int(row["struck_before"]) + int(row["struck_after"]) > 0 for row in duels] == [True] * len(duels)
    assert all(row["won_after"] == "0" for row in duels)
    assert (tmp_path / "attackers.svg").read_text().startswith("<svg")
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == 7


@pytest.mark.parametrize(
    "call",
    [
        lambda: run("nothing", seed=0), lambda: run("faults", seed=0, colour="red"), lambda: run("faults", seed=0, bug="none"),
        lambda: sweep("faults", seeds=range(1), engine="abacus"), lambda: run("faults", seed=0, crypto="none"),
    ],
)  # fmt: skip
def test_names_that_there_are_none_of_are_refused(call: Any) -> None:
    with pytest.raises(Refused):
        call()


def test_it_runs_inside_a_running_event_loop() -> None:
    async def notebook() -> str:
        return run("faults", seed=1, crypto="memoised").digest

    assert asyncio.run(notebook()) == run("faults", seed=1, crypto="memoised").digest
