"""Tables that follow records in one order, whatever order they come in: a late one is put in its place, the rest redone.

What a record does to the tables is the caller's. All are held in memory, with what each changed, so that the newest
MAX_UNDO can be taken back; beyond that the tables are built anew.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

T = TypeVar("T")
Place = tuple[int, bytes, int]
"""(hybrid clock, operation id, index): the order of records, the same everywhere."""

MAX_UNDO: Final = 4_096  # records that can be taken back one by one: later arrivals than that are rare and cost a rebuild

Changes = list[tuple[bytes, str, str | None]]
"""(table, key, text; None takes it away)."""


@dataclass(slots=True)
class Timeline(Generic[T]):
    """`apply(place, record)` says what a record changes, reading `tables` as they stand before it; it may be asked again."""

    apply: Callable[[Place, T], Changes]
    tables: dict[bytes, dict[str, str]] = field(default_factory=dict)
    _places: list[Place] = field(default_factory=list)
    _records: dict[Place, T] = field(default_factory=dict)
    _applied: int = 0
    _undo: list[Changes] = field(default_factory=list)
    _busy: bool = False

    def __contains__(self, place: Place) -> bool:
        return place in self._records

    def __len__(self) -> int:
        return len(self._records)

    def add(self, place: Place, record: T) -> None:
        """Hold a record; again is nothing new."""
        if place in self._records:
            return
        at = bisect.bisect(self._places, place)
        self._back_to(at)
        self._places.insert(at, place)
        self._records[place] = record

    def remove(self, place: Place) -> None:
        """It counts no more."""
        if self._records.pop(place, None) is None:
            return
        at = bisect.bisect_left(self._places, place)
        self._back_to(at)
        del self._places[at]

    def table(self, name: bytes) -> Mapping[str, str]:
        """A table as all records leave it."""
        self.advance()
        return self.tables.get(name, {})

    def newest(self) -> int:
        """The clock of the last record; 0 for none."""
        return self._places[-1][0] if self._places else 0

    def advance(self) -> None:
        """Apply what was not applied yet."""
        assert not self._busy, "a record asks for no tables but those it is given"
        self._busy = True
        try:
            while self._applied < len(self._places):
                place = self._places[self._applied]
                self._undo.append(self._write(self.apply(place, self._records[place])))
                self._applied += 1
                del self._undo[:-MAX_UNDO]
        finally:
            self._busy = False

    def restart(self) -> None:
        """Apply all anew when next asked."""
        self.tables.clear()
        self._undo.clear()
        self._applied = 0

    def _back_to(self, at: int) -> None:
        if self._applied - at > len(self._undo):
            self.restart()
            return
        while self._applied > at:
            self._write(reversed(self._undo.pop()))
            self._applied -= 1

    def _write(self, changes: Iterable[tuple[bytes, str, str | None]]) -> Changes:
        before: Changes = []
        for name, key, text in changes:
            table = self.tables.setdefault(name, {})
            before.append((name, key, table.get(key)))
            if text is None:
                table.pop(key, None)
            else:
                table[key] = text
            if not table:
                del self.tables[name]
        return before
