"""Signatures, boxes and ciphertexts open for whom they are meant, and nothing else leaves but Invalid."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsync_protocol.crypto import (
    aead_open, aead_seal, box_to, derive, open_box, seal, sealing_public, shared_key, sign, signing_public, unseal, verify,
)  # fmt: skip
from medsync_protocol.errors import BadSignature, Invalid, Malformed
from medsync_protocol.identity import Identity, check_certificate
from medsync_protocol.ids import ContextId
from tests.protocol.strategies import damaged

SEED, OTHER = b"a" * 32, b"b" * 32
DOMAIN = b"medsync/test/1"


def test_a_signature_holds_for_its_key_domain_and_message_only() -> None:
    signature = sign(SEED, DOMAIN, b"message")
    verify(signing_public(SEED), DOMAIN, b"message", signature)
    for public, domain, message in [
        (signing_public(OTHER), DOMAIN, b"message"), (signing_public(SEED), b"medsync/test/2", b"message"),
        (signing_public(SEED), DOMAIN, b"messages"), (signing_public(SEED), DOMAIN + b"m", b"essage"),
    ]:  # fmt: skip
        with pytest.raises(BadSignature):
            verify(public, domain, message, signature)


@given(st.binary(max_size=70), st.binary(max_size=70))
def test_any_bytes_for_key_and_signature_are_a_bad_signature(public: bytes, signature: bytes) -> None:
    with pytest.raises(BadSignature):
        verify(public, DOMAIN, b"message", signature)


def test_parts_of_a_derivation_cannot_slide_into_each_other() -> None:
    made = [derive(SEED, "l", b"ab", b"c"), derive(SEED, "l", b"a", b"bc"), derive(SEED, "l", b"abc"), derive(SEED, "la", b"bc")]
    assert len(set(made)) == len(made)


@given(st.data(), st.binary(max_size=60))
def test_a_box_opens_for_its_recipient_and_damaged_for_nobody(data: st.DataObject, plain: bytes) -> None:
    boxed = box_to(sealing_public(SEED), plain, ephemeral=b"e" * 32, nonce=b"n" * 24)
    assert open_box(SEED, boxed) == plain
    with pytest.raises(Malformed):
        open_box(OTHER, boxed)
    damage = data.draw(damaged(boxed).filter(lambda bytes_: bytes_ != boxed))
    with pytest.raises(Malformed):
        open_box(SEED, damage)


@pytest.mark.parametrize("public", [bytes(32), b"\x01" + bytes(31), b"", b"short", b"x" * 33])
def test_points_of_low_order_and_wrong_lengths_share_no_key(public: bytes) -> None:
    with pytest.raises(Malformed):
        shared_key(SEED, public)


@given(st.binary(max_size=60))
def test_arbitrary_bytes_do_not_open(data: bytes) -> None:
    for attempt in (
        lambda: open_box(SEED, data), lambda: unseal(SEED, data), lambda: aead_open(SEED, bytes(24), data, b""),
        lambda: aead_open(SEED, data, bytes(32), b""),
    ):  # fmt: skip
        with pytest.raises(Invalid):
            attempt()


def test_a_ciphertext_is_bound_to_key_nonce_and_place() -> None:
    sealed = aead_seal(SEED, b"n" * 24, b"plain", b"place")
    assert aead_open(SEED, b"n" * 24, sealed, b"place") == b"plain"
    for key, nonce, place in [(OTHER, b"n" * 24, b"place"), (SEED, b"m" * 24, b"place"), (SEED, b"n" * 24, b"palace")]:
        with pytest.raises(Malformed):
            aead_open(key, nonce, sealed, place)
    assert unseal(SEED, seal(SEED, b"plain", nonce=b"n" * 24, associated=b"x"), b"x") == b"plain"


def test_a_certificate_is_for_one_device_of_one_member() -> None:
    ann = Identity(member_seed=SEED, device_seed=OTHER, name="Ann")
    other = Identity(member_seed=OTHER, device_seed=SEED, name="Bea")
    check_certificate(ann.member, ann.device, ann.certificate())
    for member, device in [(other.member, ann.device), (ann.member, other.device)]:
        with pytest.raises(BadSignature):
            check_certificate(member, device, ann.certificate())


def test_no_two_contexts_share_a_stark_key_and_no_seed_is_printed() -> None:
    ann = Identity(member_seed=SEED, device_seed=OTHER, name="Ann")
    assert ann.stark_secret(ContextId(b"1" * 32)) != ann.stark_secret(ContextId(b"2" * 32))
    assert SEED.decode() not in repr(ann) and OTHER.decode() not in repr(ann)
