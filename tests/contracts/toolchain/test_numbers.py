"""Integers of every width, felts and conversions in compiled Cairo, against Python's."""

from __future__ import annotations

import math
import operator
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.contracts.toolchain.world import FIELD_PRIME, World, array, option, u256

WIDTHS = (8, 16, 32, 64, 128, 256)

pytestmark = pytest.mark.long  # compiles four contracts


def toward_zero(a: int, b: int) -> int:
    """Cairo's division of signed integers."""
    quotient = abs(a) // abs(b)
    return -quotient if (a < 0) != (b < 0) else quotient


def remainder(a: int, b: int) -> int:
    return a - b * toward_zero(a, b)


OPERATIONS: tuple[Callable[[int, int], int], ...] = (
    operator.add, operator.sub, operator.mul, toward_zero, remainder
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Width:
    """An integer type; there is no i256."""

    bits: int
    signed: bool

    @property
    def low(self) -> int:
        return -(1 << self.bits - 1) if self.signed else 0

    @property
    def high(self) -> int:
        return (1 << self.bits - self.signed) - 1

    def fits(self, number: int) -> bool:
        return self.low <= number <= self.high

    def encoded(self, number: int) -> list[int]:
        return u256(number) if self.bits == 256 else [number]

    def wrapped(self, number: int) -> list[int]:
        return self.encoded((number - self.low) % (1 << self.bits) + self.low)

    def saturated(self, number: int) -> list[int]:
        return self.encoded(max(self.low, min(self.high, number)))

    def checked(self, number: int) -> list[int]:
        return option(self.encoded(number) if self.fits(number) else None)

    def pairs(self, draw: random.Random) -> Iterator[tuple[int, int]]:
        low, high = self.low, self.high
        yield from ((low, high), (high, high), (low, low), (high, 1), (low, 1), (0, 0), (high, 0))
        yield from ((max(low, -1), high), (low, max(low, -1)))
        for _ in range(40):
            yield self.drawn(draw), self.drawn(draw)

    def drawn(self, draw: random.Random) -> int:
        low, high = self.low, self.high
        anywhere = draw.randint(low, high)
        choices = [
            low, high, 0, 1, high - 1, low + 1, -1, 2, high // 2, anywhere, anywhere >> draw.randrange(self.bits),
            draw.randint(-9, 9),
        ]  # fmt: skip
        return max(low, min(high, draw.choice(choices)))


TYPES = [Width(bits, signed) for bits in WIDTHS for signed in (False, True) if not (signed and bits == 256)]


@pytest.mark.parametrize("width", TYPES, ids=lambda width: f"{'i' if width.signed else 'u'}{width.bits}")
def test_arithmetic_panics_wraps_and_saturates_as_it_should(world: World, width: Width) -> None:
    function = f"{'i' if width.signed else 'u'}{width.bits}s"
    for a, b in width.pairs(random.Random(width.bits)):
        for number, operation in enumerate(OPERATIONS):
            arguments = (number, width.encoded(a), width.encoded(b))
            if number > 2 and b == 0:
                world.panics("Division by 0", "lang", function, *arguments)
                continue
            result = operation(a, b)
            by_quotient = number == 4 and not width.fits(toward_zero(a, b))
            if width.fits(result) and not by_quotient:
                world.gives(width.encoded(result) * 2, "lang", function, *arguments)
            else:
                world.panics("erflow", "lang", function, *arguments)
        soft = _soft(width, a, b)
        index = WIDTHS.index(width.bits)
        if not width.signed:
            world.gives(_unsigned(width, a, b, soft), "lang", "unsigned", index, u256(a), u256(b))
        elif a == width.low:
            world.panics("erflow", "lang", "signed", index, a, b)  # it has no negative
        else:
            wide = [a * b] if width.bits < 128 else []
            world.gives(array([*array(soft), *wide, -a]), "lang", "signed", index, a, b)


def _soft(width: Width, a: int, b: int) -> list[int]:
    """Checked, overflowing, wrapping and saturating, each of a + b and a − b."""
    both, found = (a + b, a - b), []
    for result in both:
        found += width.checked(result)
    for result in both:
        found += [*width.wrapped(result), int(not width.fits(result))]
    for result in both:
        found += width.wrapped(result)
    for result in both:
        found += width.saturated(result)
    return [felt % FIELD_PRIME for felt in found]


def _unsigned(width: Width, a: int, b: int, soft: list[int]) -> list[int]:
    product = a * b
    product_forms = [
        *width.checked(product), *width.wrapped(product), int(not width.fits(product)), *width.wrapped(product),
        *width.saturated(product),
    ]  # fmt: skip
    bits = [
        *width.encoded(a & b),
        *width.encoded(a | b),
        *width.encoded(a ^ b),
        *width.encoded(width.high - a),
    ]
    if width.bits == 256:
        wide = array([product >> 128 * limb & (1 << 128) - 1 for limb in range(4)])
    else:
        wide = u256(product) if width.bits == 128 else [product]
    return array([*array(soft), *array(product_forms), *bits, *wide])


def test_square_roots(world: World) -> None:
    draw = random.Random(3)
    for number in [
        0,
        1,
        2,
        3,
        4,
        2**128 - 1,
        2**128,
        2**256 - 1,
        *(draw.getrandbits(256) for _ in range(20)),
    ]:
        roots = [math.isqrt(number & (1 << bits) - 1) for bits in (256, 128, 64, 32, 16, 8)]
        world.gives(array(roots), "lang", "roots", u256(number))


def test_order_and_division(world: World) -> None:
    mask = (1 << 128) - 1

    def ordered(x: int, y: int) -> list[int]:
        return array([int(q) for q in (x < y, x <= y, x > y, x >= y, x == y, x != y, x <= y, x >= y)])

    for a, b in [(0, 0), (1, 2), (2**128, 2**128 - 1), (2**255, 5), (2**256 - 1, 2**256 - 1)]:
        for c, d in [(0, 0), (-1, 1), (5, -5), (-(2**63), 2**63 - 1), (7, 7)]:
            last = int(not c < d and not (a < b or c == d))
            wanted = [*ordered(a, b), *ordered(a & mask, b & mask), *ordered(c, d), last]
            world.gives(array(wanted), "lang", "orders", u256(a), u256(b), c, d)
            if b == 0 or d == 0:
                world.panics("zero", "lang", "divrem", u256(a), u256(b), c, d)
                continue
            quotient = toward_zero(c, d)
            rests = [quotient, c - d * quotient, (a & mask) // 10, (a & mask) % 10]
            world.gives(
                array([*u256(a // b), *u256(a % b), *rests]), "lang", "divrem", u256(a), u256(b), c, d
            )


def test_bounds_of_the_types(world: World) -> None:
    wanted: list[int] = []
    for width in sorted(TYPES, key=lambda width: (width.signed, width.bits)):
        wanted += [*width.encoded(width.low), *width.encoded(width.high), width.bits]
        wanted += [*width.encoded(0), *width.encoded(1), 1, 1, 0]
    world.gives(array(wanted), "lang", "limits")


def test_felts(world: World) -> None:
    draw = random.Random(2)
    drawn = [(draw.randrange(FIELD_PRIME), draw.randrange(FIELD_PRIME)) for _ in range(5)]
    for a, b in [(0, 0), (5, 3), (1, FIELD_PRIME - 1), (FIELD_PRIME - 1, 2), *drawn]:
        quotient = a * pow(b, -1, FIELD_PRIME) if b else 0
        wanted = [a + b, a - b, a * b, -a, 3 * (a + b) - 1, quotient, int(a == b), int(a == 0)]
        world.gives(array(wanted), "lang", "felts", a, b)


def test_conversions_fail_where_the_number_does_not_fit(world: World) -> None:
    edges = [0, 1, 127, 128, 255, 256, 2**16 - 1, 2**31, 2**63, 2**64, 2**127, 2**128 - 1, 2**128, 2**248 - 1]
    edges += [2**248, 2**251, -1, -128, -129, -(2**15), -(2**31), -(2**63), -(2**127), -(2**127) - 1]
    for number in edges:
        felt = number % FIELD_PRIME
        wanted: list[int] = []
        for signed in (False, True):
            for bits in WIDTHS[:-1]:
                wanted += option([number] if Width(bits, signed).fits(number) else None)
        wanted += [
            *u256(felt),
            *option([felt] if felt < 2**248 else None),
            *option([felt] if felt < 2**251 else None),
        ]
        world.gives(array([*wanted, 7, 1, 7]), "lang", "convert", number)
