"""Write-once memory with builtin segments that compute their own outputs.

Felts and pointers share the integers: a pointer is (segment << 32) | offset. Code compiled from Sierra cannot
turn one into the other, so nothing needs relocation to be executed (and nothing is proven here).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from poseidon_py.c_bindings import hades_permutation

from medsync_chain.vm.curve import STARK
from medsync_chain.vm.errors import UnknownCell, VmError
from medsync_chain.vm.pedersen import pedersen

__all__ = ["BUILTINS", "SEGMENT_BITS", "Builtin", "Memory"]

SEGMENT_BITS = 32
_OFFSET_MASK = (1 << SEGMENT_BITS) - 1
_EC_OP_BITS = 252


@dataclass(frozen=True, slots=True, kw_only=True)
class Builtin:
    """A builtin's instance: `cells` long, the first `inputs` of them given, the rest computed.

    With `bits`, every cell must be an integer of that many bits instead. `work` is about what computing one
    instance takes, in steps of the machine (measured).
    """

    cells: int
    inputs: int
    compute: Callable[[Sequence[int]], Sequence[int]] | None = None
    bits: int | None = None
    work: int = 1


def _bitwise(cells: Sequence[int]) -> Sequence[int]:
    left, right = cells
    return left & right, left ^ right, left | right


def _ec_op(cells: Sequence[int]) -> Sequence[int]:
    start, point, scalar = (cells[0], cells[1]), (cells[2], cells[3]), cells[4]
    if not (STARK.holds(start) and STARK.holds(point)):
        raise VmError("ec_op: a point is not on the curve")
    if scalar >> _EC_OP_BITS:
        raise VmError("ec_op: the scalar has more than 252 bits")
    total = STARK.multiply_add(start, point, scalar)
    if total is None:
        raise VmError("ec_op: the result is the point at infinity")
    return total


BUILTINS: dict[str, Builtin] = {
    "pedersen": Builtin(cells=3, inputs=2, compute=lambda cells: (pedersen(cells[0], cells[1]),), work=250),
    "range_check": Builtin(cells=1, inputs=1, bits=128),
    "range_check96": Builtin(cells=1, inputs=1, bits=96),
    "bitwise": Builtin(cells=5, inputs=2, compute=_bitwise),
    "ec_op": Builtin(cells=7, inputs=5, compute=_ec_op, work=2_000),
    "poseidon": Builtin(cells=6, inputs=3, compute=lambda cells: hades_permutation(list(cells)), work=60),
}


class Memory:
    """Cells by address. `cells` is a plain dictionary because translated code reads it millions of times."""

    __slots__ = ("builtins", "cells", "code", "computed", "max_work", "work")

    def __init__(self, max_work: int) -> None:
        self.cells: dict[int, int] = {}
        self.builtins: dict[int, Builtin] = {}  # by segment
        self.code: tuple[int, Sequence[int]] | None = None  # (segment, words), read as data now and then
        self.work = 0  # of builtins so far
        self.max_work = max_work
        self.computed: set[int] = set()  # bases of instances whose outputs were computed, not written

    def read(self, address: int) -> int:
        """The cell, computed where it can be. Raises UnknownCell."""
        value = self.cells.get(address)
        return self.deduce(address) if value is None else value

    def deduce(self, address: int) -> int:
        """An unwritten cell: a builtin's output or a word of code. Raises UnknownCell."""
        builtin = self.builtins.get(address >> SEGMENT_BITS)
        if builtin is None or builtin.compute is None:
            return self._code_word(address)
        index = (address & _OFFSET_MASK) % builtin.cells
        if index < builtin.inputs:
            raise UnknownCell(address)
        self._compute(builtin, address - index)
        return self.cells[address]

    def write(self, address: int, value: int) -> None:
        """Raises VmError when another value stands there."""
        if self.cells.setdefault(address, value) != value:
            raise VmError(f"memory cell {address >> SEGMENT_BITS}:{address & _OFFSET_MASK} is written twice")

    def fill(self, start: int, values: Sequence[int]) -> int:
        """Writes values one after another into fresh cells; returns the address behind them."""
        self.cells.update(enumerate(values, start))
        return start + len(values)

    def span(self, start: int, end: int) -> list[int]:
        """Cells start…end−1. Raises VmError for a span that runs backwards or was never written."""
        if not 0 <= end - start <= len(self.cells):
            raise VmError("a span that does not lie in one segment")
        return [self.read(address) for address in range(start, end)]

    def check_builtin(self, segment: int, used: int) -> None:
        """Verifies the first `used` cells of a builtin segment: ranges, and outputs somebody else wrote."""
        builtin, base = self.builtins[segment], segment << SEGMENT_BITS
        if used % builtin.cells or not 0 <= used <= len(self.cells):
            raise VmError("a builtin pointer does not stand between two instances")
        if builtin.bits is not None:
            self._check_range(base, used, builtin.bits)
            return
        for at in range(base, base + used, builtin.cells):
            if at not in self.computed:
                self._compute(builtin, at)

    def _check_range(self, base: int, used: int, bits: int) -> None:
        cells = self.cells
        try:
            in_range = not any(cells[address] >> bits for address in range(base, base + used))
        except KeyError as error:
            raise UnknownCell(error.args[0]) from None
        if not in_range:
            raise VmError(f"a range-checked value has more than {bits} bits")

    def _compute(self, builtin: Builtin, base: int) -> None:
        assert builtin.compute is not None
        self.work += builtin.work
        if self.work > self.max_work:
            raise VmError("out of steps: the builtins are too much work")
        outputs = builtin.compute([self.read(base + index) for index in range(builtin.inputs)])
        for index, value in enumerate(outputs, start=builtin.inputs):
            if self.cells.setdefault(base + index, value) != value:
                raise VmError("a builtin's output was asserted to be something else")
        self.computed.add(base)

    def _code_word(self, address: int) -> int:
        if self.code is not None and address >> SEGMENT_BITS == self.code[0]:
            words, offset = self.code[1], address & _OFFSET_MASK
            if offset < len(words):
                return words[offset]
        raise UnknownCell(address)
