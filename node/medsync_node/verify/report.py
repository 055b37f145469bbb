"""What came of the checks: each by name, held or failed, and a sentence for every failure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from medsync_protocol.errors import Invalid

MAX_PROBLEMS = 100  # sentences kept; the checks' outcome counts all


@dataclass(slots=True)
class Report:
    """A check holds when it was made at least once and never failed."""

    checks: dict[str, bool] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Something was checked and all of it held."""
        return bool(self.checks) and all(self.checks.values())

    def check(self, name: str, holds: bool, problem: str) -> bool:
        """Note one outcome; `problem` says what is wrong when it doesn't hold."""
        self.checks[name] = self.checks.get(name, True) and holds
        if not holds and len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)
        return holds

    @contextmanager
    def checking(self, name: str, where: str) -> Iterator[None]:
        """The block's `Invalid` errors are the check's failure."""
        try:
            yield
        except Invalid as error:
            self.check(name, False, f"{where}: {error}")
        else:
            self.check(name, True, "")
