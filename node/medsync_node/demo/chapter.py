"""What a step of the demo found: checks by name, evidence, how long it took. Telling the steps is `story.py`'s."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Chapter:
    """One step. `checks`: what was looked at, true where it is as it should be; `problem`: why it could not go on."""

    name: str
    seconds: float = 0.0
    checks: dict[str, bool] = field(default_factory=dict)
    evidence: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None

    @property
    def ok(self) -> bool:
        """Something was looked at, all of it holds, and the step came to its end."""
        return self.problem is None and bool(self.checks) and all(self.checks.values())

    def check(self, name: str, holds: bool) -> bool:
        """Note what was seen. A name that is seen twice holds when it did both times."""
        self.checks[name] = self.checks.get(name, True) and bool(holds)
        return bool(holds)

    def show(self, **evidence: Any) -> None:
        """Note evidence: numbers, texts, bytes (as hex), and lists and mappings of them."""
        self.evidence.update({name: _plain(value) for name, value in evidence.items()})

    def fields(self) -> dict[str, Any]:
        """For JSON."""
        found: dict[str, Any] = {
            "name": self.name, "ok": self.ok, "seconds": round(self.seconds, 2), "checks": self.checks,
            "evidence": self.evidence,
        }  # fmt: skip
        return found if self.problem is None else {**found, "problem": self.problem}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value
