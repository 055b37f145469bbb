"""The curve syscalls: points of secp256k1 and secp256r1 that contracts hold by address. Charging is `syscalls.py`'s."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from medsync_chain.vm.curve import SECP256K1, SECP256R1, Curve, Point
from medsync_chain.vm.errors import VmError
from medsync_chain.vm.field import square_root

__all__ = ["CURVES", "SecpArithmetic"]

CURVES: Mapping[str, Curve] = {"Secp256k1": SECP256K1, "Secp256r1": SECP256R1}
_MASK = (1 << 128) - 1
_ORIGIN = (0, 0)  # how contracts write the point at infinity

NewSegment = Callable[[Sequence[int]], int]


class SecpArithmetic:
    """The points one call has made, by the address it knows them by."""

    def __init__(self, curve: Curve) -> None:
        self._curve = curve
        self._points: dict[int, Point | None] = {}

    def perform(self, operation: str, arguments: Sequence[int], new_segment: NewSegment) -> list[int] | None:
        """The answer's values; None for an invalid argument. Raises VmError for an unknown point."""
        match operation:
            case "New":
                return self._new(arguments, new_segment)
            case "GetPointFromX":
                return self._from_x(arguments, new_segment)
            case "Add":
                total = self._curve.add(self._point(arguments[0]), self._point(arguments[1]))
                return [self._keep(total, new_segment)]
            case "Mul":
                scalar = _wide(arguments[1], arguments[2]) % self._curve.order
                return [self._keep(self._curve.multiply(self._point(arguments[0]), scalar), new_segment)]
            case "GetXy":
                x, y = self._point(arguments[0]) or _ORIGIN
                return [x & _MASK, x >> 128, y & _MASK, y >> 128]
        raise AssertionError(operation)

    def _new(self, arguments: Sequence[int], new_segment: NewSegment) -> list[int] | None:
        point = (_wide(arguments[0], arguments[1]), _wide(arguments[2], arguments[3]))
        if max(point) >= self._curve.prime:
            return None
        if point != _ORIGIN and not self._curve.holds(point):
            return [1, 0]
        return [0, self._keep(None if point == _ORIGIN else point, new_segment)]

    def _from_x(self, arguments: Sequence[int], new_segment: NewSegment) -> list[int] | None:
        x, parity, curve = _wide(arguments[0], arguments[1]), arguments[2], self._curve
        if x >= curve.prime:
            return None
        y = square_root((x * x * x + curve.a * x + curve.b) % curve.prime, curve.prime)
        if y is None:
            return [1, 0]
        if y % 2 != parity:
            y = -y % curve.prime
        return [0, self._keep((x, y), new_segment)]

    def _keep(self, point: Point | None, new_segment: NewSegment) -> int:
        address = new_segment([0])
        self._points[address] = point
        return address

    def _point(self, address: int) -> Point | None:
        if address not in self._points:
            raise VmError("a curve operation on what is no point")
        return self._points[address]


def _wide(low: int, high: int) -> int:
    if low >> 128 or high >> 128:
        raise VmError("a 256-bit number's half has more than 128 bits")
    return low | high << 128
