"""Poseidon over the STARK field and the encodings that feed it; the one module that touches poseidon-py.

Signatures are `stark.py`'s, what is hashed where is `statement.py`'s, `log.py`'s and `consent_map.py`'s.
Source: Starknet's Poseidon (width 3, rate 2); Cairo's `poseidon_hash_span` and `hades_permutation` agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NewType

from poseidon_py.poseidon_hash import (
    hades_permutation,
    poseidon_hash_many,
)

from medsync_protocol.errors import Malformed

Felt = NewType("Felt", int)
"""An integer in 0…FIELD_PRIME−1."""

FIELD_PRIME = 2**251 + 17 * 2**192 + 1
SHORT_STRING_MAX = 31  # bytes of text that fit one felt


def want_felt(value: int) -> Felt:
    """`value` as a felt. Raises Malformed when it is no integer in 0…FIELD_PRIME−1."""
    if type(value) is not int or not 0 <= value < FIELD_PRIME:
        raise Malformed("not a felt: an integer below the STARK prime was expected")
    return Felt(value)


def want_felts(values: Iterable[int]) -> None:
    """Raises Malformed unless each is a felt: proofs come from strangers."""
    for value in values:
        want_felt(value)


def want_uint(value: int, bits: int) -> Felt:
    """`value` as an unsigned integer of at most `bits` (≤ 128) bits. Raises Malformed."""
    if type(value) is not int or not 0 <= value < 1 << bits:
        raise Malformed(f"not an unsigned integer of {bits} bits")
    return Felt(value)


def short_string(text: str) -> Felt:
    """Up to 31 ASCII characters as one felt, as Cairo reads 'TEXT'. Raises Malformed."""
    if len(text) > SHORT_STRING_MAX or not text.isascii():
        raise Malformed("a short string has at most 31 ASCII characters")
    return Felt(int.from_bytes(text.encode("ascii"), "big"))


def short_text(felt: int) -> str:
    """The text `short_string` encodes. Raises Malformed when the felt is no printable ASCII text."""
    data = felt.to_bytes((felt.bit_length() + 7) // 8, "big")
    if len(data) > SHORT_STRING_MAX or not all(32 <= byte < 127 for byte in data):
        raise Malformed("the felt holds no short string")
    return data.decode("ascii")


def split_digest(digest: bytes) -> tuple[Felt, Felt]:
    """A 32-byte big-endian digest as (low, high) 128 bits, a u256 as Cairo lays it out. Raises Malformed."""
    if len(digest) != 32:
        raise Malformed(f"a digest has 32 bytes, not {len(digest)}")
    return Felt(int.from_bytes(digest[16:], "big")), Felt(int.from_bytes(digest[:16], "big"))


def poseidon_hash(felts: Iterable[int]) -> Felt:
    """Poseidon sponge over the felts (padded by 1, then 0 to an even count); Cairo's `poseidon_hash_span`."""
    hashed: int = poseidon_hash_many(list(felts))
    return Felt(hashed)


def tagged_hash(tag: str, felts: Sequence[int]) -> Felt:
    """`poseidon_hash` with the tag's short string first: H of STARKNET §2."""
    return poseidon_hash([short_string(tag), *felts])


def pair(left: int, right: int) -> Felt:
    """The parent of two tree nodes: first word of hades(left, right, 2)."""
    first: int = hades_permutation([left, right, 2])[0]
    return Felt(first)


def felt_bytes(felt: int) -> bytes:
    """32 bytes, big-endian."""
    return felt.to_bytes(32, "big")


def felt_of(data: bytes) -> Felt:
    """What `felt_bytes` encodes. Raises Malformed for another length or a value beyond the prime."""
    if len(data) != 32:
        raise Malformed(f"a felt has 32 bytes, not {len(data)}")
    return want_felt(int.from_bytes(data, "big"))
