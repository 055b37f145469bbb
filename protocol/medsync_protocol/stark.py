"""ECDSA over the STARK curve: keys, deterministic signatures, verification. Hashing is `poseidon.py`'s.

Curve: y² = x³ + x + B over the STARK field (Starknet's documentation, "STARK curve"). Nonces: RFC 6979 with
SHA-256 and the extra entropy byte 0x20, which makes the bytes those of starknet-py. Signing isn't constant in
time: a node signs a few votes an hour for its own use and serves nobody a stopwatch on it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import count

from medsync_protocol.errors import BadSignature, Malformed
from medsync_protocol.poseidon import (
    FIELD_PRIME,
    Felt,
    felt_bytes,
    felt_of,
    pair,
    poseidon_hash,
    short_string,
    short_text,
    split_digest,
    tagged_hash,
    want_felt,
    want_uint,
)

__all__ = [
    "CURVE_ORDER", "FIELD_PRIME", "Felt", "felt_bytes", "felt_of", "in_signature_range", "is_public_key",
    "pair", "poseidon_hash", "public_key", "secret_from_seed", "short_string", "short_text", "sign",
    "split_digest", "tagged_hash", "verify", "want_felt", "want_uint",
]  # fmt: skip

CURVE_ORDER = 0x800000000000010FFFFFFFFFFFFFFFFB781126DCAE7B2321E66A241ADC64D2F
_B = 0x6F21413EFBE40DE150E596D72F7A8C5609AD26C15C915C1F4CDFCB99CEE9E89
_GENERATOR = (
    0x1EF15C18599971B7BECED415A40F0C7DEACFD9B0D1819E03D723D8BC943CFCA,
    0x5668060AA49730B7BE4801DF46EC62DE53ECD11ABE43A32873000C36E8DC1F,
)
_SIGNATURE_LIMIT = 1 << 251  # starknet-py draws another nonce when r or 1/s reaches it
_EXTRA_ENTROPY = 32  # starknet-py's first seed
_KNOWN_KEYS = 1_024  # lifted public keys kept: the voters of a few contexts, 150 bytes each
_NAF_WIDTH = 5
_COMB_BITS = 4
_COMBED_KEYS = 64  # keys whose comb is kept: the voters of a few contexts, 250 kB each
_WORTH_A_COMB = 10  # verifications by one key: making its comb costs as much as they save

_P = FIELD_PRIME
_Affine = tuple[int, int]
_Jacobian = tuple[int, int, int]  # (X, Y, Z) = (X/Z², Y/Z³); Z = 0 is the point at infinity
_INFINITY: _Jacobian = (1, 1, 0)


def public_key(secret: int) -> Felt:
    """x coordinate of secret·G. Raises Malformed unless 1 ≤ secret < CURVE_ORDER."""
    _want_secret(secret)
    return Felt(_affine(_times_generator(secret))[0])


def secret_from_seed(seed: bytes) -> int:
    """A secret in 1…CURVE_ORDER−1 from 48 unpredictable bytes or more (bias < 2⁻¹³²). Raises Malformed."""
    if len(seed) < 48:
        raise Malformed("a STARK secret needs 48 bytes of seed")
    return int.from_bytes(seed, "big") % (CURVE_ORDER - 1) + 1


def is_public_key(key: int) -> bool:
    """True when `key` is the x coordinate of a curve point; no other key can ever sign."""
    return 0 <= key < _P and _lift(key) is not None


def in_signature_range(value: int) -> bool:
    """True for 1…CURVE_ORDER−1, what r and s must be: beyond it the same signature has further encodings."""
    return 1 <= value < CURVE_ORDER


def sign(message: int, secret: int) -> tuple[Felt, Felt]:
    """(r, s) over a felt; the same for the same arguments, byte for byte starknet-py's. Raises Malformed."""
    _want_secret(secret)
    want_felt(message)
    entropy = _EXTRA_ENTROPY
    while True:
        nonce = _nonce(message, secret, entropy)
        r = _affine(_times_generator(nonce))[0]
        blinded = (message + r * secret) % CURVE_ORDER
        if 1 <= r < _SIGNATURE_LIMIT and blinded:
            inverse_s = nonce * pow(blinded, -1, CURVE_ORDER) % CURVE_ORDER
            if 1 <= inverse_s < _SIGNATURE_LIMIT:
                return Felt(r), Felt(pow(inverse_s, -1, CURVE_ORDER))
        entropy += 1


def verify(message: int, key: int, r: int, s: int) -> None:
    """Raises BadSignature unless Cairo's `check_ecdsa_signature` accepts (r, s), and both are in range.

    (r, CURVE_ORDER − s) verifies too: never take signature bytes for an identity (STARKNET §2).
    """
    if not (in_signature_range(r) and in_signature_range(s)):
        raise BadSignature("r or s outside 1…CURVE_ORDER−1")
    point = _lift(key)
    if point is None:
        raise BadSignature("the key is no point of the STARK curve")
    inverse_s = pow(s, -1, CURVE_ORDER)
    by_message = _times_generator(message * inverse_s % CURVE_ORDER)
    by_key = _times_key(r * inverse_s % CURVE_ORDER, point)
    mirrored = (by_key[0], -by_key[1] % _P, by_key[2])  # the key's y isn't known: either sign may hold
    if not (_has_x(_add(by_message, by_key), r) or _has_x(_add(by_message, mirrored), r)):
        raise BadSignature("the signature does not verify under the key it names")


def _want_secret(secret: int) -> None:
    if not 1 <= secret < CURVE_ORDER:
        raise Malformed("a STARK secret is an integer in 1…CURVE_ORDER−1")


def _nonce(message: int, secret: int, entropy: int) -> int:
    """RFC 6979 §3.2 with the §3.6 variant's extra data; 252-bit order, SHA-256."""
    reduced = message - CURVE_ORDER if message >= CURVE_ORDER else message
    seed = felt_bytes(secret) + felt_bytes(reduced) + entropy.to_bytes((entropy.bit_length() + 7) // 8, "big")
    value, key = b"\x01" * 32, bytes(32)
    for separator in (b"\x00", b"\x01"):
        key = _hmac(key, value + separator + seed)
        value = _hmac(key, value)
    while True:
        value = _hmac(key, value)
        nonce = int.from_bytes(value, "big") >> 4  # 256 bits of hash, 252 of order
        if 1 <= nonce < CURVE_ORDER:
            return nonce
        key = _hmac(key, value + b"\x00")
        value = _hmac(key, value)


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, hashlib.sha256)


@lru_cache(maxsize=_KNOWN_KEYS)
def _lift(x: int) -> _Affine | None:
    """A curve point with this x, either of the two; None when there is none."""
    square = (x * x * x + x + _B) % _P
    if not 0 < x < _P or pow(square, (_P - 1) // 2, _P) != 1:
        return None
    return x, _square_root(square)


def _square_root(square: int) -> int:
    """Cipolla's algorithm: the prime's 2-adicity (192) makes Tonelli and Shanks slow here."""
    offset = 1
    while pow(offset * offset - square, (_P - 1) // 2, _P) != _P - 1:
        offset += 1
    residue = (offset * offset - square) % _P
    real, imaginary = 1, 0
    for bit in bin((_P + 1) // 2)[2:]:
        real, imaginary = (real * real + imaginary * imaginary * residue) % _P, 2 * real * imaginary % _P
        if bit == "1":
            real, imaginary = (real * offset + imaginary * residue) % _P, (real + imaginary * offset) % _P
    return real


def _double(point: _Jacobian) -> _Jacobian:
    x, y, z = point
    yy = y * y % _P
    s = 4 * x * yy % _P
    zz = z * z % _P
    m = (3 * x * x + zz * zz) % _P
    x3 = (m * m - 2 * s) % _P
    return x3, (m * (s - x3) - 8 * yy * yy) % _P, 2 * y * z % _P


def _add(left: _Jacobian, right: _Jacobian) -> _Jacobian:
    x1, y1, z1 = left
    x2, y2, z2 = right
    if not z1:
        return right
    if not z2:
        return left
    zz1, zz2 = z1 * z1 % _P, z2 * z2 % _P
    u1, s1 = x1 * zz2 % _P, y1 * zz2 * z2 % _P
    h, r = (x2 * zz1 - u1) % _P, (y2 * zz1 * z1 - s1) % _P
    if not h:
        return _double(left) if not r else _INFINITY
    hh = h * h % _P
    hhh, v = h * hh % _P, u1 * hh % _P
    x3 = (r * r - hhh - 2 * v) % _P
    return x3, (r * (v - x3) - s1 * hhh) % _P, z1 * z2 * h % _P


def _add_affine(left: _Jacobian, right: _Affine) -> _Jacobian:
    """`_add` with Z = 1 on the right: a third cheaper, and the bulk of the work."""
    x1, y1, z1 = left
    if not z1:
        return right[0], right[1], 1
    zz = z1 * z1 % _P
    h, r = (right[0] * zz - x1) % _P, (right[1] * zz * z1 - y1) % _P
    if not h:
        return _double(left) if not r else _INFINITY
    hh = h * h % _P
    hhh, v = h * hh % _P, x1 * hh % _P
    x3 = (r * r - hhh - 2 * v) % _P
    return x3, (r * (v - x3) - y1 * hhh) % _P, z1 * h % _P


def _affine(point: _Jacobian) -> _Affine:
    return _affines([point])[0]


def _affines(points: list[_Jacobian]) -> list[_Affine]:
    """The points with Z = 1, by one inversion for all (Montgomery's trick). None may be at infinity."""
    products, running = [], 1
    for _, _, z in points:
        products.append(running)
        running = running * z % _P
    inverse = pow(running, -1, _P)
    found: list[_Affine] = []
    for (x, y, z), before in zip(reversed(points), reversed(products), strict=True):
        own = inverse * before % _P
        inverse = inverse * z % _P
        found.append((x * own * own % _P, y * own * own * own % _P))
    return found[::-1]


def _has_x(point: _Jacobian, x: int) -> bool:
    return bool(point[2]) and (point[0] - x * point[2] * point[2]) % _P == 0


@lru_cache(maxsize=_COMBED_KEYS)
def _comb(point: _Affine) -> list[list[_Affine]]:
    """Row i holds 1…15 times 16^i·point, so that its multiples need additions only. Made at first use."""
    rows: list[_Jacobian] = []
    base: _Jacobian = (*point, 1)
    columns = (1 << _COMB_BITS) - 1
    for _ in range(0, 252, _COMB_BITS):
        multiple = base
        for _ in range(columns):
            rows.append(multiple)
            multiple = _add(multiple, base)
        base = multiple
    points = _affines(rows)
    return [points[at : at + columns] for at in range(0, len(points), columns)]


def _times_generator(factor: int) -> _Jacobian:
    return _by_comb(factor, _generator_comb())


def _times_key(factor: int, point: _Affine) -> _Jacobian:
    """A voter signs every checkpoint: after some of them its key is worth what the generator is worth."""
    used = next(_uses(point))
    return _multiply(factor, point) if used < _WORTH_A_COMB else _by_comb(factor, _comb(point))


@lru_cache(maxsize=_KNOWN_KEYS)
def _uses(_: _Affine) -> Iterator[int]:
    """Counts the verifications by a key."""
    return count()


@cache
def _generator_comb() -> list[list[_Affine]]:
    return _comb(_GENERATOR)


def _by_comb(factor: int, comb: list[list[_Affine]]) -> _Jacobian:
    total = _INFINITY
    for row in comb:
        digit = factor & ((1 << _COMB_BITS) - 1)
        if digit:
            total = _add_affine(total, row[digit - 1])
        factor >>= _COMB_BITS
    return total


def _multiply(factor: int, point: _Affine) -> _Jacobian:
    """factor·point by width-5 non-adjacent form: 252 doublings, about 42 additions."""
    odd: list[_Jacobian] = [(*point, 1)]
    twice = _double(odd[0])
    for _ in range((1 << (_NAF_WIDTH - 2)) - 1):
        odd.append(_add(odd[-1], twice))
    multiples = _affines(odd)
    total = _INFINITY
    for digit in reversed(_non_adjacent(factor)):
        if total[2]:
            total = _double(total)
        if digit > 0:
            total = _add_affine(total, multiples[digit >> 1])
        elif digit < 0:
            x, y = multiples[-digit >> 1]
            total = _add_affine(total, (x, _P - y))
    return total


def _non_adjacent(factor: int) -> list[int]:
    """Signed odd digits below 2⁴ in absolute value, lowest first, at most one in five not 0."""
    digits = []
    while factor:
        digit = 0
        if factor & 1:
            digit = factor & ((1 << _NAF_WIDTH) - 1)
            if digit >> (_NAF_WIDTH - 1):
                digit -= 1 << _NAF_WIDTH
            factor -= digit
        digits.append(digit)
        factor >>= 1
    return digits
