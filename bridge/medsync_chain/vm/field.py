"""Arithmetic in the STARK field and in other prime fields. Curves are `curve.py`'s."""

from __future__ import annotations

from functools import lru_cache

__all__ = ["FIELD_PRIME", "square_root"]

FIELD_PRIME = 2**251 + 17 * 2**192 + 1
_KNOWN_ROOTS = 4_096  # public keys are lifted again at every signature check; 150 bytes each


@lru_cache(maxsize=_KNOWN_ROOTS)
def square_root(value: int, prime: int = FIELD_PRIME) -> int | None:
    """The smaller root of `value` modulo an odd prime, or None when there is none."""
    value %= prime
    if value == 0:
        return 0
    if pow(value, (prime - 1) // 2, prime) != 1:
        return None
    root = pow(value, (prime + 1) // 4, prime) if prime % 4 == 3 else _cipolla(value, prime)
    return min(root, prime - root)


def _cipolla(value: int, prime: int) -> int:
    """Cipolla's algorithm; Tonelli and Shanks' is slow where the prime's 2-adicity is high (192 here)."""
    offset = 1
    while pow(offset * offset - value, (prime - 1) // 2, prime) != prime - 1:
        offset += 1
    square = (offset * offset - value) % prime
    real, imaginary = 1, 0
    for bit in bin((prime + 1) // 2)[2:]:
        real, imaginary = (real * real + square * imaginary * imaginary) % prime, 2 * real * imaginary % prime
        if bit == "1":
            real, imaginary = (
                (real * offset + square * imaginary) % prime,
                (real + offset * imaginary) % prime,
            )
    return real
