"""Places and lines of a context's history as a picture: a lane for each chain, time to the right. Drawing is the template's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from medsync_client.operations import OperationRow

STEP: Final = 22  # between operations, in units of the picture
LANE: Final = 40  # between chains
LEFT: Final = 120  # room for names
TOP: Final = 30
RADIUS: Final = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """An operation and where it is drawn."""

    x: int
    y: int
    row: OperationRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """From an operation to what it builds on; `own`: to the one before it on its chain."""

    x1: int
    y1: int
    x2: int
    y2: int
    own: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """`lanes` are (height, whose chain)."""

    width: int
    height: int
    dots: tuple[Dot, ...]
    lines: tuple[Line, ...]
    lanes: tuple[tuple[int, str], ...]


def draw(rows: Sequence[OperationRow]) -> Picture:
    """The picture of some operations, given newest first."""
    chains = sorted({(row.member_name, row.chain) for row in rows})
    lane = {chain: TOP + i * LANE for i, (_, chain) in enumerate(chains)}
    dots = {
        row.id: Dot(x=LEFT + i * STEP, y=lane[row.chain], row=row) for i, row in enumerate(reversed(rows))
    }
    lines = tuple(
        Line(x1=dot.x, y1=dot.y, x2=dots[parent].x, y2=dots[parent].y, own=dots[parent].row.chain == dot.row.chain)
        for dot in dots.values()
        for parent in dot.row.parents
        if parent in dots
    )
    return Picture(
        width=LEFT + max(1, len(rows)) * STEP, height=TOP + max(1, len(chains)) * LANE, dots=tuple(dots.values()),
        lines=lines, lanes=tuple((lane[chain], name or chain[:8]) for name, chain in chains),
    )  # fmt: skip
