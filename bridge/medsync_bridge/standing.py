"""How far the chain is behind what was certified, and for how many posts the account's money lasts.

Kept in the journal, for `bridge status` beside a running bridge and for the next start. Looking is `following.py`'s,
telling Prometheus `metrics.py`'s.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from medsync_bridge.settings import Limits

MINUTE: Final = 60  # seconds
MAX_MARKS: Final = (
    64  # arrivals remembered of one context; the oldest counts, so later ones fold into the newest
)
RECENT_FEES: Final = 10  # posts whose dearest says what one costs

SCHEMA: Final = """
CREATE TABLE standing (
    context TEXT PRIMARY KEY,   -- the node's id
    body TEXT NOT NULL          -- JSON: name, signed, accepted, marks
) STRICT;
CREATE TABLE purse (account TEXT PRIMARY KEY, balance TEXT NOT NULL) STRICT;  -- hex, fri
CREATE TABLE fee (number INTEGER PRIMARY KEY, paid TEXT NOT NULL) STRICT;     -- of the newest posts, hex, fri
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One context. `marks` are (newest certified k, when it was first seen, in seconds), of what is not accepted."""

    context: str
    name: str
    signed: int = 0
    accepted: int = 0
    marks: tuple[tuple[int, float], ...] = ()

    def moved(self, *, name: str, signed: int, accepted: int, now: float) -> Standing:
        """The same after another look."""
        marks = [mark for mark in self.marks if mark[0] > accepted]
        if signed > max(accepted, marks[-1][0] if marks else 0):
            if len(marks) == MAX_MARKS:
                marks[-1] = (signed, marks[-1][1])
            else:
                marks.append((signed, now))
        return replace(self, name=name, signed=max(signed, accepted), accepted=accepted, marks=tuple(marks))

    @property
    def lag(self) -> int:
        """Certified checkpoints that the chain has not accepted."""
        return self.signed - self.accepted

    def lag_minutes(self, now: float) -> float:
        """How long the oldest of them has waited, as far as this bridge has seen; 0 when none waits."""
        return max(now - self.marks[0][1], 0) / MINUTE if self.marks else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """What the account held when last asked, in fri, and what the dearest of the newest posts cost; None unknown."""

    balance: int
    fee: int | None

    @property
    def posts(self) -> int | None:
        """Posts it pays for at that price; None before the first was paid."""
        return None if self.fee is None else self.balance // max(self.fee, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A limit that is passed; `about` is a context's id, or empty. The sentence stays the same while it lasts."""

    about: str
    message: str
    advice: str


def alerts(standings: Sequence[Standing], purse: Purse | None, limits: Limits, now: float) -> list[Alert]:
    """All limits that are passed now."""
    found = []
    for one in standings:
        if one.lag >= limits.lag or one.lag_minutes(now) >= limits.minutes:
            how = (
                f"{limits.lag} checkpoints or more"
                if one.lag >= limits.lag
                else f"{limits.minutes:g} minutes or more"
            )
            found.append(
                Alert(
                    about=one.context, message=f"the chain is {how} behind what was certified in {one.name}",
                    advice="`medsync bridge status` shows what stopped, `medsync bridge doctor` what is wrong",
                )
            )  # fmt: skip
    if purse is not None and purse.posts is not None and purse.posts < limits.posts:
        found.append(
            Alert(
                about="", message=f"the account's balance pays for fewer than {limits.posts} checkpoints",
                advice="fund the account",
            )
        )  # fmt: skip
    return found


class Ledger:
    """The journal's part about this. Every method that writes has committed when it returns."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def standings(self) -> list[Standing]:
        """Of all contexts, by name."""
        rows = self._db.execute("SELECT context, body FROM standing").fetchall()
        return sorted((_standing(*row) for row in rows), key=lambda one: (one.name, one.context))

    def look(self, context: str, name: str, *, signed: int, accepted: int, now: float) -> None:
        """Note how far a context is; writes only what is new."""
        row = self._db.execute("SELECT context, body FROM standing WHERE context = ?", (context,)).fetchone()
        before = Standing(context=context, name=name) if row is None else _standing(*row)
        after = before.moved(name=name, signed=signed, accepted=accepted, now=now)
        if row is None or after != before:
            body = {"name": name, "signed": after.signed, "accepted": after.accepted, "marks": after.marks}
            with self._db:
                self._db.execute("INSERT OR REPLACE INTO standing VALUES (?, ?)", (context, json.dumps(body)))

    def keep_only(self, contexts: Sequence[str]) -> None:
        """Forget contexts that are not followed any more."""
        gone = {one.context for one in self.standings()}.difference(contexts)
        if gone:
            with self._db:
                self._db.executemany("DELETE FROM standing WHERE context = ?", [(one,) for one in gone])

    def paid(self, fee: int) -> None:
        """Note what a post cost, in fri."""
        with self._db:
            self._db.execute("INSERT INTO fee (paid) VALUES (?)", (hex(fee),))
            self._db.execute(
                "DELETE FROM fee WHERE number <= (SELECT max(number) FROM fee) - ?", (RECENT_FEES,)
            )

    def hold(self, account: int, balance: int) -> None:
        """Note what the account holds; writes only what is new."""
        if self._db.execute("SELECT account, balance FROM purse").fetchall() != [
            (hex(account), hex(balance))
        ]:
            with self._db:
                self._db.execute("DELETE FROM purse")
                self._db.execute("INSERT INTO purse VALUES (?, ?)", (hex(account), hex(balance)))

    def purse(self) -> Purse | None:
        """Of the account that was asked about last; None before that."""
        row = self._db.execute("SELECT balance FROM purse").fetchone()
        if row is None:
            return None
        fees = [int(paid, 16) for (paid,) in self._db.execute("SELECT paid FROM fee")]
        return Purse(balance=int(row[0], 16), fee=max(fees, default=None))


def _standing(context: str, body: str) -> Standing:
    fields: dict[str, Any] = json.loads(body)
    marks = tuple((int(k), float(at)) for k, at in fields.pop("marks"))
    return Standing(context=context, marks=marks, **fields)
