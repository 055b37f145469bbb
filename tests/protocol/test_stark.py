"""Signatures over the STARK curve and Poseidon against starknet-py and its C++ library."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsync_protocol.errors import BadSignature, Malformed
from medsync_protocol.poseidon import (
    FIELD_PRIME, felt_bytes, felt_of, poseidon_hash, short_string, short_text, split_digest, want_felt, want_uint,
)  # fmt: skip
from medsync_protocol.stark import (
    CURVE_ORDER, in_signature_range, is_public_key, public_key, secret_from_seed, sign, verify,
)  # fmt: skip
from tests.protocol.strategies import felts

secrets = st.integers(1, CURVE_ORDER - 1)
messages = st.integers(1, 2**251 - 1)  # what starknet-py signs


@settings(max_examples=8)
@given(messages, secrets)
def test_keys_and_signatures_are_starknet_pys(message: int, secret: int) -> None:
    from starknet_py.hash.utils import message_signature, private_to_stark_key, verify_message_signature

    key, signature = public_key(secret), sign(message, secret)
    assert key == private_to_stark_key(secret)
    assert signature == tuple(message_signature(message, secret))
    assert verify_message_signature(message, list(signature), key)
    verify(message, key, *signature)


@settings(max_examples=30)
@given(st.lists(felts, max_size=9))
def test_poseidon_is_starknet_pys(values: list[int]) -> None:
    from starknet_py.hash.hash_method import HashMethod

    assert poseidon_hash(values) == HashMethod.POSEIDON.hash_many(values)


@settings(max_examples=20)
@given(messages, secrets, secrets)
def test_a_signature_is_for_one_message_and_key(message: int, secret: int, other: int) -> None:
    r, s = sign(message, secret)
    key = public_key(secret)
    for attempt in [(message + 1, key, r, s), (message, key, r, (s + 1) % CURVE_ORDER), (message, key, (r + 1) % CURVE_ORDER, s)]:
        with pytest.raises(BadSignature):
            verify(*attempt)
    if public_key(other) != key:
        with pytest.raises(BadSignature):
            verify(message, public_key(other), r, s)


def test_the_mirrored_signature_verifies_too_so_its_bytes_are_no_identity() -> None:
    r, s = sign(5, 7)
    verify(5, public_key(7), r, CURVE_ORDER - s)


@settings(max_examples=40)
@given(st.integers(-1, 2**260), st.integers(-1, 2**260), st.integers(-1, 2**260))
def test_any_numbers_are_a_bad_signature(key: int, r: int, s: int) -> None:
    with pytest.raises(BadSignature):
        verify(5, key, r, s)


@pytest.mark.parametrize("value", [0, -1, CURVE_ORDER, CURVE_ORDER + 1, 2**256])
def test_the_range_of_r_and_s_is_checked_before_anything_else(value: int) -> None:
    assert not in_signature_range(value)
    r, s = sign(5, 7)
    for pair in ((value, s), (r, value), (r + CURVE_ORDER, s), (r, s + CURVE_ORDER)):
        with pytest.raises(BadSignature):
            verify(5, public_key(7), *pair)


def test_a_key_that_is_no_point_can_sign_nothing() -> None:
    off_curve = next(x for x in range(1, 50) if not is_public_key(x))
    with pytest.raises(BadSignature):
        verify(5, off_curve, *sign(5, 7))
    assert not any(is_public_key(x) for x in (0, -1, FIELD_PRIME, FIELD_PRIME + public_key(7)))


def test_secrets_come_from_enough_seed_and_stay_in_range() -> None:
    assert secret_from_seed(bytes(48)) == 1
    assert 1 <= secret_from_seed(b"\xff" * 48) < CURVE_ORDER
    with pytest.raises(Malformed):
        secret_from_seed(bytes(47))
    for secret in (0, -1, CURVE_ORDER):
        for use in (lambda secret: sign(5, secret), public_key):
            with pytest.raises(Malformed):
                use(secret)


@given(st.integers(-5, 2**300))
def test_only_felts_are_felts(value: int) -> None:
    if 0 <= value < FIELD_PRIME:
        assert felt_of(felt_bytes(want_felt(value))) == value
    else:
        with pytest.raises(Malformed):
            want_felt(value)


@given(st.binary(max_size=40))
def test_a_felt_has_32_bytes_below_the_prime(data: bytes) -> None:
    if len(data) == 32 and int.from_bytes(data, "big") < FIELD_PRIME:
        assert felt_bytes(felt_of(data)) == data
    else:
        with pytest.raises(Malformed):
            felt_of(data)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=31).filter(lambda t: t[0] != "\0"))
def test_short_strings_come_back(text: str) -> None:
    assert short_text(short_string(text)) == text


def test_edges_of_small_encodings() -> None:
    for text in ("x" * 32, "ü"):
        with pytest.raises(Malformed):
            short_string(text)
    for felt in (10, 2**250, 255):
        with pytest.raises(Malformed):
            short_text(felt)
    assert split_digest(bytes(15) + b"\x01" + bytes(15) + b"\x02") == (2, 1)
    with pytest.raises(Malformed):
        split_digest(bytes(31))
    for value in (-1, 256, True):
        with pytest.raises(Malformed):
            want_uint(value, 8)
