"""Rewards over time as rows and lines: points by period and how far the pool is with them, what was promised and paid.

Drawing itself is the template's; what is on record is the API's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from medsync_client.rewards import PoolHistory, PoolStep, RewardPeriod, Rewards

WIDE: Final = 56  # of a period, in units of the picture
HIGH: Final = 90  # of the highest column or line
LEFT: Final = 8
TOP: Final = 22  # room for the number above a column
SHOWN: Final = 60  # periods and steps of one picture, the newest; the tables have all
ROOTS: Final = {"activated": "payable", "proposed": "proposed", "vetoed": "vetoed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A period: `worth` in the token's smallest unit; `root`: what the pool made of it, empty where that can't be read."""

    x: int
    y: int
    height: int
    period: RewardPeriod
    points: int
    worth: int
    root: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Amounts after each step that changed one, oldest first; `promised` and `paid` are points of a line."""

    promised: str
    paid: str
    most: int
    width: int
    rows: tuple[tuple[PoolStep, int, int], ...]


def columns(known: Rewards, history: PoolHistory | None) -> tuple[Column, ...]:
    """Closed periods, oldest first."""
    points = {one.period: sum(each.points for each in one.points) for one in known.closed}
    most = max(points.values(), default=0) or 1
    worth = 0 if known.terms is None else known.terms.per_point
    found = []
    for i, one in enumerate(sorted(known.closed, key=lambda one: one.period)[-SHOWN:]):
        height = max(1, points[one.period] * HIGH // most)
        found.append(
            Column(
                x=LEFT + i * WIDE, y=TOP + HIGH - height, height=height, period=one, points=points[one.period],
                worth=worth * points[one.period], root=root_of(one, history),
            )
        )  # fmt: skip
    return tuple(found)


def root_of(period: RewardPeriod, history: PoolHistory | None) -> str:
    """How far the pool is with a period: a tree of its checkpoint or a later one holds it."""
    if history is None or history.trouble:
        return ""
    state = "not proposed"
    for step in history.steps:
        if step.k is None or step.k < period.k:
            continue
        if step.what == "activated":
            return ROOTS["activated"]
        state = ROOTS[step.what]
    return state


def flow(history: PoolHistory) -> Flow:
    """What active trees promised and what was paid of it."""
    rows: list[tuple[PoolStep, int, int]] = []
    promised, paid = int(history.promised_before), sum(map(int, history.paid_before.values()))
    for step in history.steps:
        if step.what == "activated":
            promised = int(step.amount or 0)
        elif step.what == "claimed":
            paid += int(step.amount or 0)
        rows.append((step, promised, paid))
    drawn = rows[-SHOWN:]
    most = max((max(one, two) for _, one, two in drawn), default=0)
    return Flow(
        promised=_stairs([one for _, one, _ in drawn], most), paid=_stairs([two for _, _, two in drawn], most), most=most,
        width=LEFT * 2 + max(1, len(drawn)) * WIDE, rows=tuple(rows),
    )


def _stairs(amounts: Iterable[int], most: int) -> str:
    """Points of a line that stays level from step to step."""
    places = []
    for i, amount in enumerate(amounts):
        y = TOP + HIGH - amount * HIGH // (most or 1)
        places += [f"{LEFT + i * WIDE},{y}", f"{LEFT + (i + 1) * WIDE},{y}"]
    return " ".join(places)


def paid_to(history: PoolHistory | None) -> dict[str, int]:
    """What each payee's key was paid, by key; empty where that can't be read."""
    if history is None:
        return {}
    found = {payee: int(amount) for payee, amount in history.paid_before.items()}
    for step in history.steps:
        if step.payee is not None:
            found[step.payee] = found.get(step.payee, 0) + int(step.amount or 0)
    return found
