"""Starknet's Pedersen hash, by tables of 7-bit windows over the four fixed points.

The points are those of Starknet's documentation ("Pedersen hash function").
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache

from medsync_chain.vm.curve import STARK, Point

__all__ = ["pedersen", "pedersen_many"]

_SHIFT: Point = (
    0x49EE3EBA8C1600700EE1B87EB599F16716B0B1022947733551FDE4050CA6804,
    0x3CA0CFE4B3BC6DDF346D49D06EA0ED34E621062C0E056C1D0405D266E10268A,
)
_POINTS: tuple[Point, Point, Point, Point] = (
    (
        0x234287DCBAFFE7F969C748655FCA9E58FA8120B6D56EB0C1080D17957EBE47B,
        0x3B056F100F96FB21E889527D41F4E39940135DD7A6C94CC6ED0268EE89E5615,
    ),
    (
        0x4FA56F376C83DB33F9DAB2656558F3399099EC1DE5E3018B7A6932DBA8AA378,
        0x3FA0984C931C9E38113E0C0E47E4401562761F92A7A23B45168F4E80FF5B54D,
    ),
    (
        0x4BA4CC166BE8DEC764910F75B45F74B40C690C74709E90F3AA372F0BD2D6997,
        0x40301CF5C1751F4B971E46C4EDE85FCAC5C59A5CE5AE7C48151F27B24B219C,
    ),
    (
        0x54302DCB0E6CC1C6E44CCA8F61A63BB2CA65048D53FB325D36FF12C49A58202,
        0x1B77B3E37D13504B348046268D8AE25CE98AD783C25561A879DCC77E99C2426,
    ),
)
_LOW_BITS = 248
_WINDOW = 7
_MASK = (1 << _WINDOW) - 1
_KNOWN_HASHES = 16_384  # tries and storage addresses hash the same pairs again; 250 bytes each

_Table = tuple[tuple[Point, ...], ...]  # per window: 1…127 times the window's base


@lru_cache(maxsize=_KNOWN_HASHES)
def pedersen(left: int, right: int) -> int:
    """The hash of two felts."""
    points = [_SHIFT]
    for value, table in zip((left, right), _tables(), strict=True):
        window = 0
        while value:
            digit = value & _MASK
            if digit:
                points.append(table[window][digit - 1])
            value >>= _WINDOW
            window += 1
    total = STARK.total(points)
    assert total is not None, "no known combination of the fixed points is zero"
    return total[0]


def pedersen_many(values: Sequence[int]) -> int:
    """The hash chain over a list, its length last (Starknet's documentation, "Array hashing")."""
    state = 0
    for value in values:
        state = pedersen(state, value)
    return pedersen(state, len(values))


@cache
def _tables() -> tuple[_Table, _Table]:
    return _table(_POINTS[0], _POINTS[1]), _table(_POINTS[2], _POINTS[3])


def _table(low: Point, high: Point) -> _Table:
    """Windows of one input: its low 248 bits multiply one point, its high 4 bits another."""
    bases = []
    for _ in range(_LOW_BITS):
        bases.append(low)
        low = _sum(low, low)
    for _ in range(4):
        bases.append(high)
        high = _sum(high, high)
    return tuple(STARK.subset_sums(bases[at : at + _WINDOW]) for at in range(0, len(bases), _WINDOW))


def _sum(left: Point, right: Point) -> Point:
    total = STARK.add(left, right)
    assert total is not None, "doubling a fixed point never gives the point at infinity"
    return total
