"""Does it notice? Plants a bug and runs seeds until a rule is broken."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from medsync_sim.bugs import bug_named
from medsync_sim.running import MEMOISED, run


@dataclass(frozen=True, slots=True, kw_only=True)
class Hunted:
    """`tried` seeds, from 0; the last of them found it, if it was found."""

    bug: str
    scenario: str
    found: bool
    tried: int
    seed: int = -1
    rule: str = ""
    text: str = ""

    def row(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def hunt(name: str, seeds: int) -> Hunted:
    """Seeds 0, 1, … of the bug's scenario until one breaks a rule. Raises Refused for a name that there is none of."""
    bug = bug_named(name)
    for seed in range(seeds):
        result = run(bug.scenario, seed=seed, crypto=MEMOISED, bug=name)
        if result.violations:
            first = result.violations[0]
            return Hunted(
                bug=name, scenario=bug.scenario, found=True, tried=seed + 1, seed=seed, rule=first.rule, text=first.text
            )  # fmt: skip
    return Hunted(bug=name, scenario=bug.scenario, found=False, tried=seeds)
