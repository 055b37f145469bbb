"""SHA-256's compression of one block (FIPS 180-4, §6.2.2), which no standard library offers alone."""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt

__all__ = ["compress"]

_MASK = 0xFFFFFFFF
_ROUNDS = 64


def _primes(count: int) -> list[int]:
    found: list[int] = []
    candidate = 2
    while len(found) < count:
        if all(candidate % prime for prime in found):
            found.append(candidate)
        candidate += 1
    return found


def _cube_root_fraction(prime: int) -> int:
    """The first 32 fractional bits of the prime's cube root."""
    low, high, target = 0, prime << 32, prime << 96
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**3 <= target else (low, middle)
    return low & _MASK


_CONSTANTS = tuple(_cube_root_fraction(prime) for prime in _primes(_ROUNDS))
INITIAL = tuple(isqrt(prime << 64) & _MASK for prime in _primes(8))


def _rotate(word: int, by: int) -> int:
    return (word >> by | word << (32 - by)) & _MASK


def _schedule(block: Sequence[int]) -> list[int]:
    words = list(block)
    for at in range(16, _ROUNDS):
        early, late = words[at - 15], words[at - 2]
        low = _rotate(early, 7) ^ _rotate(early, 18) ^ early >> 3
        high = _rotate(late, 17) ^ _rotate(late, 19) ^ late >> 10
        words.append((words[at - 16] + low + words[at - 7] + high) & _MASK)
    return words


def compress(state: Sequence[int], block: Sequence[int]) -> list[int]:
    """The next state, of eight 32-bit words, after a block of sixteen."""
    a, b, c, d, e, f, g, h = state
    for constant, word in zip(_CONSTANTS, _schedule(block), strict=True):
        choice = e & f ^ ~e & g
        first = h + (_rotate(e, 6) ^ _rotate(e, 11) ^ _rotate(e, 25)) + choice + constant + word
        second = (_rotate(a, 2) ^ _rotate(a, 13) ^ _rotate(a, 22)) + (a & b ^ a & c ^ b & c)
        a, b, c, d, e, f, g, h = (first + second) & _MASK, a, b, c, (d + first) & _MASK, e, f, g
    return [(old + new) & _MASK for old, new in zip(state, (a, b, c, d, e, f, g, h), strict=True)]
