"""Entries of the access log rolled up for people: what one person did about one patient for one purpose in a quarter of an hour.

Pure; the entries stay underneath, word for word. A program reads the entries.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from medsync_client.accesses import AccessRow

SESSION_MS: Final = 15 * 60_000  # from its first entry: no line for people covers more


@dataclass(frozen=True, slots=True)
class AccessSession:
    """Entries of one session, newest first, at least one; they have user, unit, member, patient and purposes in common.

    Entries that don't count (`effective` false) are sessions of their own.
    """

    entries: tuple[AccessRow, ...]

    @property
    def one(self) -> AccessRow:
        """Any of them: for what they have in common."""
        return self.entries[0]

    @property
    def first(self) -> int:
        """Time of the earliest, ms."""
        return self.entries[-1].time

    @property
    def last(self) -> int:
        """Time of the latest, ms."""
        return self.entries[0].time

    @property
    def custodians(self) -> tuple[str, ...]:
        """By name, or the beginning of the id, ascending."""
        return tuple(sorted({one.custodian_name or one.custodian[:12] for one in self.entries}))

    @property
    def told(self) -> tuple[tuple[str, str, int], ...]:
        """(half, outcome, how many), the most first."""
        counted = Counter((one.half, one.outcome) for one in self.entries)
        return tuple((half, outcome, count) for (half, outcome), count in sorted(counted.items(), key=lambda x: (-x[1], x[0])))


def rolled_up(entries: Iterable[AccessRow]) -> tuple[AccessSession, ...]:
    """Every entry in exactly one session, the newest session first; the same for the same entries in any order.

    Of a page of the log, sessions at its far end may go on in the next page.
    """
    alike: dict[tuple[object, ...], list[AccessRow]] = {}
    for one in sorted(entries, key=lambda row: (row.time, row.op, row.index)):
        key = (one.subject, one.requester, one.unit, one.user, one.purposes, one.effective)
        alike.setdefault(key, []).append(one)
    found: list[AccessSession] = []
    for rows in alike.values():
        begun: list[AccessRow] = []
        for row in rows:
            if begun and row.time - begun[0].time >= SESSION_MS:
                found.append(AccessSession(tuple(reversed(begun))))
                begun = []
            begun.append(row)
        found.append(AccessSession(tuple(reversed(begun))))
    return tuple(sorted(found, key=lambda session: (-session.last, session.one.op, session.one.index)))
