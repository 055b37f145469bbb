"""Runs as files: a trace to compare with, or steps to run again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from medsync_protocol.errors import Refused
from medsync_sim.running import REAL, Result, run
from medsync_sim.steps import Step

if TYPE_CHECKING:
    from medsync_sim.minimising import Smaller

FORMAT: Final = "medsync-simulation/1"


def write_trace(path: Path, result: Result, *, crypto: str, bug: str | None) -> None:
    """A line of JSON about the run, its trace, its digest."""
    head = {
        "format": FORMAT, "scenario": result.scenario, "seed": result.seed, "parameters": dict(result.parameters),
        "crypto": crypto, "bug": bug, "steps": None,
    }  # fmt: skip
    lines = [json.dumps(head, sort_keys=True), *(result.trace or ()), result.digest]
    path.write_text("\n".join(lines) + "\n", "utf-8")


def write_steps(path: Path, smaller: Smaller) -> None:
    """The steps that are left of a failing run."""
    head = {
        "format": FORMAT, "scenario": smaller.scenario, "seed": smaller.seed, "parameters": smaller.parameters,
        "crypto": REAL, "bug": smaller.bug, "steps": [[s.at, s.move, list(s.args)] for s in smaller.steps],
    }  # fmt: skip
    path.write_text(json.dumps(head, sort_keys=True) + "\n" + smaller.digest + "\n", "utf-8")


def replay(path: Path) -> dict[str, Any]:
    """Run it again: whether it is the same, and what rules it breaks. Raises Refused for another kind of file."""
    lines = path.read_text("utf-8").splitlines()
    try:
        head = json.loads(lines[0])
    except (IndexError, json.JSONDecodeError):
        head = None
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise Refused("no run is told of here", code="not_a_run", advice="give a file of `run --trace`")
    steps = head["steps"]
    result = run(
        head["scenario"], seed=head["seed"], crypto=head["crypto"], bug=head["bug"], trace=True,
        steps=None if steps is None else [Step(at, move, tuple(args)) for at, move, args in steps],
        **head["parameters"],
    )  # fmt: skip
    told = lines[1:-1]
    same = lines[-1] == result.digest and (not told or told == list(result.trace or ()))
    row = result.row()
    return {
        "scenario": result.scenario, "seed": result.seed, "seeds": 1, "events": result.events, "same": same,
        "violations": len(result.violations), "attacker_won": int(bool(result.attacker_won)),
        "found": row["violations"],
    }  # fmt: skip
