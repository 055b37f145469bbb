"""How a bug is planted: names of the protocol's modules and classes are replaced for one run, then put back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

Patch = tuple[Any, str, Any]
"""(module or class, name, what it is for now)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantedBug:
    """`scenario`: where it is looked for; `patches`: made anew for each run."""

    name: str
    about: str
    scenario: str
    patches: Callable[[], list[Patch]]

    @contextmanager
    def planted(self) -> Iterator[None]:
        """Within it the program has the bug."""
        patches = self.patches()
        before = [(where, name, where.__dict__[name]) for where, name, _ in patches]
        for where, name, value in patches:
            setattr(where, name, value)
        try:
            yield
        finally:
            for where, name, value in reversed(before):
                setattr(where, name, value)
