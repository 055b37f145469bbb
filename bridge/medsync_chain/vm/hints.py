"""The hints Sierra compilers emit: values a prover would be given, found here by computing them.

Each hint names its operands (inputs), the cells it fills (outputs) and a function from values to values; a
class holds only names and operands, never code. Semantics: the pythonic twins the Sierra compiler prints with
`--add-pythonic-hints`. Dictionaries' and comparisons' are `hints_state.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import gcd, isqrt
from typing import TYPE_CHECKING

from medsync_chain.vm.curve import STARK
from medsync_chain.vm.errors import VmError
from medsync_chain.vm.field import FIELD_PRIME, square_root

if TYPE_CHECKING:
    from medsync_chain.vm.machine import Machine

__all__ = ["HINTS", "HintKind"]

_M64 = (1 << 64) - 1
_M128 = (1 << 128) - 1

Values = Sequence[int | None]  # None leaves a cell unwritten


@dataclass(frozen=True, slots=True, kw_only=True)
class HintKind:
    """`inputs` and `outputs` are operand names in the order `run` takes and gives them.

    `template` instead of `run`: one expression per output over {0}, {1}…, put into translated code as it is.
    """

    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    run: Callable[..., Values] | None = None
    template: tuple[str, ...] = ()


def _halves(value: int) -> tuple[int, int]:
    return value & _M128, value >> 128


def _u256_div_mod(_: Machine, a0: int, a1: int, b0: int, b1: int) -> Values:
    quotient, remainder = divmod(a0 + (a1 << 128), b0 + (b1 << 128))
    return (*_halves(quotient), *_halves(remainder))


def _u512_div_mod(_: Machine, a0: int, a1: int, a2: int, a3: int, b0: int, b1: int) -> Values:
    dividend = a0 + (a1 << 128) + (a2 << 256) + (a3 << 384)
    quotient, remainder = divmod(dividend, b0 + (b1 << 128))
    limbs = [quotient >> shift & _M128 for shift in (0, 128, 256)]
    return (*limbs, quotient >> 384, *_halves(remainder))


def _u256_square_root(_: Machine, low: int, high: int) -> Values:
    value = low + (high << 128)
    root = isqrt(value)
    remainder = value - root * root
    return root & _M64, root >> 64, *_halves(remainder), int(2 * root - remainder >= 1 << 128)


def _u256_inverse(_: Machine, b0: int, b1: int, n0: int, n1: int) -> Values:
    value, modulus = b0 + (b1 << 128), n0 + (n1 << 128)
    divisor = gcd(value, modulus)
    if modulus == 1:
        return 1, 0, b0, b1, 1, 0
    if divisor != 1:
        divisor = 2 if divisor % 2 == 0 else divisor
        return (*_halves(divisor), *_halves(value // divisor), *_halves(modulus // divisor))
    inverse = pow(value, -1, modulus)
    return (0, None, *_halves(inverse), *_halves((inverse * value - 1) // modulus))


def _field_square_root(_: Machine, value: int) -> Values:
    root = square_root(value)
    return (square_root(value * 3 % FIELD_PRIME) if root is None else root,)


def _alloc_segment(machine: Machine) -> Values:
    return (machine.new_segment(),)


def _alloc_constant_size(machine: Machine, size: int) -> Values:
    return (machine.allocate_boxed(size),)


def _random_ec_point(machine: Machine) -> Values:
    """A point nobody chose: derived from the call, so that a replay computes the same."""
    while True:
        machine.drawn_points += 1
        seed = machine.entropy + machine.drawn_points.to_bytes(8, "big")
        x = int.from_bytes(blake2b(seed, digest_size=32).digest(), "big") % FIELD_PRIME
        y = square_root((x * x * x + x + STARK.b) % FIELD_PRIME)
        if y:
            return x, y


def _system_call(machine: Machine, pointer: int) -> Values:
    machine.system_call(pointer)
    return ()


def _debug_print(_: Machine, start: int, end: int) -> Values:
    if end < start:
        raise VmError("a span that runs backwards")
    return ()


_LESS = ("lhs", "rhs")

HINTS: dict[str, HintKind] = {
    "TestLessThan": HintKind(inputs=_LESS, outputs=("dst",), template=("1 if {0}<{1} else 0",)),
    "TestLessThanOrEqual": HintKind(inputs=_LESS, outputs=("dst",), template=("1 if {0}<={1} else 0",)),
    "TestLessThanOrEqualAddress": HintKind(
        inputs=_LESS, outputs=("dst",), template=("1 if {0}<={1} else 0",)
    ),
    "WideMul128": HintKind(
        inputs=_LESS, outputs=("high", "low"), template=("{0}*{1}>>128", f"{{0}}*{{1}}&{_M128}")
    ),
    "DivMod": HintKind(inputs=_LESS, outputs=("quotient", "remainder"), template=("{0}//{1}", "{0}%{1}")),
    "LinearSplit": HintKind(
        inputs=("value", "scalar", "max_x"),
        outputs=("x", "y"),
        template=("min({0}//{1},{2})", "{0}-min({0}//{1},{2})*{1}"),
    ),
    "SquareRoot": HintKind(inputs=("value",), outputs=("dst",), run=lambda _, value: (isqrt(value),)),
    "Uint256SquareRoot": HintKind(
        inputs=("value_low", "value_high"),
        outputs=("sqrt0", "sqrt1", "remainder_low", "remainder_high", "sqrt_mul_2_minus_remainder_ge_u128"),
        run=_u256_square_root,
    ),
    "Uint256DivMod": HintKind(
        inputs=("dividend0", "dividend1", "divisor0", "divisor1"),
        outputs=("quotient0", "quotient1", "remainder0", "remainder1"),
        run=_u256_div_mod,
    ),
    "Uint512DivModByUint256": HintKind(
        inputs=("dividend0", "dividend1", "dividend2", "dividend3", "divisor0", "divisor1"),
        outputs=("quotient0", "quotient1", "quotient2", "quotient3", "remainder0", "remainder1"),
        run=_u512_div_mod,
    ),
    "U256InvModN": HintKind(
        inputs=("b0", "b1", "n0", "n1"),
        outputs=("g0_or_no_inv", "g1_option", "s_or_r0", "s_or_r1", "t_or_k0", "t_or_k1"),
        run=_u256_inverse,
    ),
    "FieldSqrt": HintKind(inputs=("val",), outputs=("sqrt",), run=_field_square_root),
    "AllocSegment": HintKind(outputs=("dst",), run=_alloc_segment),
    "AllocConstantSize": HintKind(inputs=("size",), outputs=("dst",), run=_alloc_constant_size),
    "RandomEcPoint": HintKind(outputs=("x", "y"), run=_random_ec_point),
    "SystemCall": HintKind(inputs=("system",), run=_system_call),
    "DebugPrint": HintKind(inputs=("start", "end"), run=_debug_print),
}
