"""What came of the checks: each by name, held, failed or not made, and a sentence for every failure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from medsync_protocol.errors import Invalid

_WORDS: Final = {True: "holds      ", False: "FAILED     ", None: "not checked"}
MAX_PROBLEMS = 100  # sentences kept; the checks' outcome counts all


@dataclass(slots=True)
class Report:
    """A check holds when it was made at least once and never failed; None is one that an earlier failure prevented."""

    checks: dict[str, bool | None] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Something was checked, nothing was left out, and all of it held."""
        return bool(self.checks) and all(self.checks.values())

    def lines(self) -> Iterator[str]:
        """The checks for people to read, then the sentences."""
        for name, holds in self.checks.items():
            yield f"{_WORDS[holds]} {name.replace('_', ' ')}"
        yield from self.problems

    def check(self, name: str, holds: bool, problem: str) -> bool:
        """Note one outcome; `problem` says what is wrong when it doesn't hold."""
        self.checks[name] = self.checks.get(name) is not False and holds
        if not holds and len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)
        return holds

    def skip(self, *names: str) -> None:
        """Note checks that could not be made, unless they were before."""
        for name in names:
            self.checks.setdefault(name, None)

    @contextmanager
    def checking(self, name: str, where: str) -> Iterator[None]:
        """The block's `Invalid` errors are the check's failure."""
        try:
            yield
        except Invalid as error:
            self.check(name, False, f"{where}: {error}")
        else:
            self.check(name, True, "")
