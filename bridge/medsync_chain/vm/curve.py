"""Points of short Weierstrass curves: the STARK curve and Ethereum's and NIST's 256-bit ones.

Nothing here is constant in time: a sequencer computes on public values only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from medsync_chain.vm.field import FIELD_PRIME

__all__ = ["SECP256K1", "SECP256R1", "STARK", "Curve", "Point"]

Point = tuple[int, int]
_Jacobian = tuple[int, int, int]  # (X, Y, Z) = (X/Z², Y/Z³); Z = 0 is the point at infinity
_INFINITY: _Jacobian = (1, 1, 0)
_WINDOW = 5  # bits of a non-adjacent form's digit; 8 points of table


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """y² = x³ + a·x + b over a prime field. None stands for the point at infinity."""

    prime: int
    a: int
    b: int
    order: int

    def holds(self, point: Point) -> bool:
        """True when the point is on the curve, coordinates reduced."""
        x, y = point
        in_field = 0 <= x < self.prime and 0 <= y < self.prime
        return in_field and (y * y - (x * x + self.a) * x - self.b) % self.prime == 0

    def add(self, left: Point | None, right: Point | None) -> Point | None:
        """left + right, doubling and inverses included."""
        if left is None or right is None:
            return right if left is None else left
        return self._affine(self._add_affine((*left, 1), right))

    def multiply(self, point: Point | None, scalar: int) -> Point | None:
        """scalar · point for any integer scalar ≥ 0."""
        if point is None or scalar == 0:
            return None
        return self._affine(self._multiply(point, scalar))

    def multiply_add(self, start: Point, point: Point, scalar: int) -> Point | None:
        """start + scalar · point, with one inversion."""
        return self._affine(self._add_affine(self._multiply(point, scalar), start))

    def total(self, points: Iterable[Point]) -> Point | None:
        """The sum of many points, with one inversion."""
        total = _INFINITY
        for point in points:
            total = self._add_affine(total, point)
        return self._affine(total)

    def subset_sums(self, bases: Sequence[Point]) -> tuple[Point, ...]:
        """The sums of all non-empty subsets: at index i − 1 those bases whose bits are set in i.

        With one inversion for them all (Montgomery's trick). No sum may be the point at infinity.
        """
        sums: list[_Jacobian] = []
        for base in bases:
            sums += [(*base, 1), *[self._add_affine(known, base) for known in sums]]
        products = list(accumulate((z for _, _, z in sums), lambda left, right: left * right % self.prime))
        inverse = pow(products[-1], -1, self.prime)
        points: list[Point] = []
        for (x, y, z), before in zip(reversed(sums), reversed([1, *products[:-1]]), strict=True):
            own = inverse * before % self.prime
            inverse = inverse * z % self.prime
            square = own * own % self.prime
            points.append((x * square % self.prime, y * square * own % self.prime))
        return tuple(reversed(points))

    def _multiply(self, point: Point, scalar: int) -> _Jacobian:
        table = self._odd_multiples(point)
        total = _INFINITY
        for digit in reversed(_non_adjacent(scalar)):
            total = self._double(total)
            if digit > 0:
                total = self._add(total, table[digit >> 1])
            elif digit < 0:
                x, y, z = table[-digit >> 1]
                total = self._add(total, (x, -y % self.prime, z))
        return total

    def _odd_multiples(self, point: Point) -> list[_Jacobian]:
        table: list[_Jacobian] = [(*point, 1)]
        twice = self._double(table[0])
        while len(table) < 1 << (_WINDOW - 2):
            table.append(self._add(table[-1], twice))
        return table

    def _affine(self, point: _Jacobian) -> Point | None:
        x, y, z = point
        if z == 0:
            return None
        inverse = pow(z, -1, self.prime)
        square = inverse * inverse % self.prime
        return x * square % self.prime, y * square * inverse % self.prime

    def _double(self, point: _Jacobian) -> _Jacobian:
        x, y, z = point
        if z == 0 or y == 0:
            return _INFINITY
        p = self.prime
        yy = y * y % p
        s = 4 * x * yy % p
        zz = z * z % p
        m = (3 * x * x + self.a * zz * zz) % p
        x3 = (m * m - 2 * s) % p
        return x3, (m * (s - x3) - 8 * yy * yy) % p, 2 * y * z % p

    def _add(self, left: _Jacobian, right: _Jacobian) -> _Jacobian:
        x1, y1, z1 = left
        x2, y2, z2 = right
        if z1 == 0 or z2 == 0:
            return right if z1 == 0 else left
        p = self.prime
        z1z1, z2z2 = z1 * z1 % p, z2 * z2 % p
        u1, u2 = x1 * z2z2 % p, x2 * z1z1 % p
        s1, s2 = y1 * z2 * z2z2 % p, y2 * z1 * z1z1 % p
        h, r = (u2 - u1) % p, (s2 - s1) % p
        if h == 0:
            return self._double(left) if r == 0 else _INFINITY
        hh = h * h % p
        hhh = h * hh % p
        v = u1 * hh % p
        x3 = (r * r - hhh - 2 * v) % p
        return x3, (r * (v - x3) - s1 * hhh) % p, z1 * z2 * h % p

    def _add_affine(self, left: _Jacobian, right: Point) -> _Jacobian:
        x1, y1, z1 = left
        if z1 == 0:
            return (*right, 1)
        p = self.prime
        zz = z1 * z1 % p
        h = (right[0] * zz - x1) % p
        r = (right[1] * z1 * zz - y1) % p
        if h == 0:
            return self._double(left) if r == 0 else _INFINITY
        hh = h * h % p
        hhh = h * hh % p
        v = x1 * hh % p
        x3 = (r * r - hhh - 2 * v) % p
        return x3, (r * (v - x3) - y1 * hhh) % p, z1 * h % p


def _non_adjacent(scalar: int) -> list[int]:
    """Digits, lowest first, each 0 or odd and below 2^(window−1) in size."""
    digits = []
    full, half = 1 << _WINDOW, 1 << (_WINDOW - 1)
    while scalar:
        digit = 0
        if scalar & 1:
            digit = scalar & (full - 1)
            if digit >= half:
                digit -= full
            scalar -= digit
        digits.append(digit)
        scalar >>= 1
    return digits


STARK = Curve(
    prime=FIELD_PRIME,
    a=1,
    b=0x6F21413EFBE40DE150E596D72F7A8C5609AD26C15C915C1F4CDFCB99CEE9E89,
    order=0x800000000000010FFFFFFFFFFFFFFFFB781126DCAE7B2321E66A241ADC64D2F,
)
SECP256K1 = Curve(
    prime=2**256 - 2**32 - 977,
    a=0,
    b=7,
    order=0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141,
)
SECP256R1 = Curve(
    prime=0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF,
    a=-3,
    b=0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
    order=0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
)
