"""Makes a failing run smaller: leaves out steps for as long as the same rule is broken, and writes what is left as a test."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medsync_protocol.errors import Refused
from medsync_sim.ledger import Finding
from medsync_sim.running import MEMOISED, REAL, Result, plan, run, setting_of
from medsync_sim.scenarios import named
from medsync_sim.steps import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Smaller:
    """What is left of a failing run: `steps` of the `before` that there were; `digest` of the run with real cryptography."""

    scenario: str
    seed: int
    parameters: Mapping[str, Any]
    bug: str | None
    before: int
    steps: tuple[Step, ...]
    rules: list[str]
    violations: tuple[Finding, ...]
    digest: str
    runs: int


def minimise(
    scenario: str, *, seed: int, bug: str | None = None, tried: Callable[[str], None] | None = None, **parameters: Any
) -> Smaller:  # fmt: skip
    """Delta debugging over the steps (Zeller and Hildebrandt 2002). Raises Refused for a seed that breaks no rule."""
    chosen = named(scenario)
    steps = plan(chosen, seed, setting_of(chosen, parameters))
    runs = 0

    def attempt(left: Sequence[Step], crypto: str = MEMOISED) -> Result:
        nonlocal runs
        runs += 1
        return run(scenario, seed=seed, steps=left, crypto=crypto, bug=bug, **parameters)

    rules = {finding.rule for finding in attempt(steps).violations}
    if not rules:
        raise Refused("this seed breaks no rule", code="holds", advice="take a seed that a sweep found")

    def fails(left: Sequence[Step]) -> bool:
        broken = {finding.rule for finding in attempt(left).violations} & rules
        if tried is not None:
            tried(f"{len(left)} steps: {'still ' + ', '.join(sorted(broken)) if broken else 'holds'}")
        return bool(broken)

    left = _shrink(list(steps), fails)
    last = attempt(left, REAL)
    return Smaller(
        scenario=scenario, seed=seed, parameters=parameters, bug=bug, before=len(steps), steps=tuple(left),
        rules=sorted(rules), violations=last.violations, digest=last.digest, runs=runs,
    )  # fmt: skip


def _shrink(steps: list[Step], fails: Callable[[Sequence[Step]], bool]) -> list[Step]:
    parts = 2
    while steps:
        size = max(1, -(-len(steps) // parts))
        for at in range(0, len(steps), size):
            rest = steps[:at] + steps[at + size :]
            if fails(rest):
                steps, parts = rest, max(parts - 1, 2)
                break
        else:
            if size == 1:
                break
            parts = min(parts * 2, len(steps))
    return steps


def regression(smaller: Smaller) -> str:
    """A pytest file that fails for as long as the rule is broken."""
    steps = "\n".join(f"    Step({s.at}, {s.move!r}, {s.args!r})," for s in smaller.steps)
    bug = "" if smaller.bug is None else f", bug={smaller.bug!r}"
    extra = "".join(f", {name}={value!r}" for name, value in sorted(smaller.parameters.items()))
    name = smaller.scenario.replace("-", "_")
    return f'''"""{smaller.scenario}, seed {smaller.seed}: {", ".join(smaller.rules)} was broken by these steps."""

from __future__ import annotations

from medsync_sim import run
from medsync_sim.steps import Step

STEPS = [
{steps}
]


def test_{name}_{smaller.seed}_breaks_no_rule() -> None:
    found = run({smaller.scenario!r}, seed={smaller.seed}, steps=STEPS{bug}{extra})
    assert not found.violations
'''
