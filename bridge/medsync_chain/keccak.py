"""Keccak-f[1600] and what Starknet makes of it (FIPS 202; Keccak team, "Keccak specifications summary")."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

__all__ = ["RATE_WORDS", "absorb", "selector", "starknet_keccak"]

RATE_WORDS = 17  # 64-bit words of a block at a capacity of 512 bits
_MASK = (1 << 64) - 1
_LOW_250 = (1 << 250) - 1
_KNOWN_SELECTORS = 4_096  # 100 bytes each


def _round_constants() -> tuple[int, ...]:
    """The 24 constants, from the linear feedback shift register that defines them."""
    constants, register = [], 1
    for _ in range(24):
        word = 0
        for power in range(7):
            if register & 1:
                word |= 1 << ((1 << power) - 1)
            register = (register << 1) ^ (0x171 if register & 0x80 else 0)
        constants.append(word)
    return tuple(constants)


def _lane_walk() -> tuple[tuple[int, int], ...]:
    """For π and ρ together: (lane, rotation) in the order the lanes are moved."""
    walk, x, y = [], 1, 0
    for step in range(24):
        x, y = y, (2 * x + 3 * y) % 5
        walk.append((x + 5 * y, (step + 1) * (step + 2) // 2 % 64))
    return tuple(walk)


_CONSTANTS = _round_constants()
_WALK = _lane_walk()


def _permute(lanes: list[int]) -> None:
    for constant in _CONSTANTS:
        sums = [lanes[x] ^ lanes[x + 5] ^ lanes[x + 10] ^ lanes[x + 15] ^ lanes[x + 20] for x in range(5)]
        for x in range(5):
            after = sums[(x + 1) % 5]
            mixed = sums[x - 1] ^ ((after << 1 | after >> 63) & _MASK)
            for lane in range(x, 25, 5):
                lanes[lane] ^= mixed
        moved = lanes[1]
        for lane, rotation in _WALK:
            moved, lanes[lane] = lanes[lane], (moved << rotation | moved >> (64 - rotation)) & _MASK
        for row in range(0, 25, 5):
            a, b, c, d, e = lanes[row : row + 5]
            lanes[row : row + 5] = (a ^ ~b & c, b ^ ~c & d, c ^ ~d & e, d ^ ~e & a, e ^ ~a & b)
        lanes[0] ^= constant


def absorb(words: Sequence[int]) -> int:
    """The first 256 bits, little-endian, after absorbing padded 64-bit words; their count divides by 17."""
    lanes = [0] * 25
    for start in range(0, len(words), RATE_WORDS):
        for lane in range(RATE_WORDS):
            lanes[lane] ^= words[start + lane]
        _permute(lanes)
    return lanes[0] | lanes[1] << 64 | lanes[2] << 128 | lanes[3] << 192


def starknet_keccak(data: bytes) -> int:
    """The low 250 bits of Keccak-256."""
    rate = RATE_WORDS * 8
    padded = bytearray(data + b"\x01" + bytes(-(len(data) + 1) % rate))
    padded[-1] |= 0x80
    words = [int.from_bytes(padded[at : at + 8], "little") for at in range(0, len(padded), 8)]
    digest = absorb(words).to_bytes(32, "little")
    return int.from_bytes(digest, "big") & _LOW_250


@lru_cache(maxsize=_KNOWN_SELECTORS)
def selector(name: str) -> int:
    """The selector of an entry point or event by its name."""
    return starknet_keccak(name.encode("ascii"))
