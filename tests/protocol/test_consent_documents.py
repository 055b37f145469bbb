"""The forms of consent documents: encodings that come back byte for byte, and refusals that say what is wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsync_protocol.access import (
    Answer,
    Half,
    access_parties,
    decode_access,
    decode_request,
    encode_access,
    encode_request,
    half_of,
)
from medsync_protocol.codec import pack, unpack
from medsync_protocol.directive import (
    Directive,
    decode_directive,
    decode_revocation,
    directive_id,
    encode_directive,
    open_directive,
    open_revocation,
    sign_directive,
)
from medsync_protocol.errors import BadSignature, Invalid, Malformed, Refused
from medsync_protocol.ids import ContextId, Instant
from medsync_protocol.rule import Effect, Period, group_actor, member_actor
from medsync_protocol.subject import (
    CARD_PREFIX,
    card_text,
    decode_record,
    encode_link,
    encode_record,
    make_link,
    open_link,
    read_card,
    validate_record,
)
from tests.consent_world import (
    ANN,
    CITY,
    CONTEXT,
    LAB,
    MERCY,
    NETWORK,
    NOW,
    RECORD,
    deny,
    directive,
    key,
    permit,
    request,
    revocation,
    seed,
)

FULL = directive(
    permit(
        actors=tuple(sorted((member_actor(LAB), member_actor(CITY, b"ward", b"eve"), group_actor(b"g")))),
        purposes=("HRESCH", "TREAT"),
        types=("Condition", "Observation"),
        labels=("N",),
        data_period=Period(Instant(1), None),
        actions=("access",),
        during=Period(None, Instant(2)),
        obligations=("delete-after-use",),
        exceptions=(deny(labels=("PSY",)),),
    ),
    base=Effect.DENY,
    until=NOW,
)
BARE = decode_directive(directive(permit()).document)


def test_documents_come_back_byte_for_byte() -> None:
    opened, signed = open_directive(FULL.payload, NETWORK, CONTEXT)
    assert encode_directive(opened) == FULL.document == signed.document
    taken, _ = open_revocation(revocation(series="ann", all_before=2).payload, NETWORK, CONTEXT)
    assert taken.all_before == 2
    assert decode_record(encode_record(RECORD)) == RECORD
    link = make_link(NETWORK, CONTEXT, (CITY[:16], ANN), signer=key("ann"), seed=seed("ann"))  # type: ignore[arg-type]
    assert open_link(encode_link(link), NETWORK, CONTEXT) == link
    asked = request(
        types=("Observation",), labels=("N",), data_period=Period(Instant(1), Instant(2)), user=b"eve"
    )
    assert decode_request(encode_request(asked)) == asked
    half = half_of(asked, Half.REQUESTED, CITY, Answer.PERMIT, receipt=bytes(32), time=Instant(NOW))
    assert decode_access(encode_access(half)) == half
    assert access_parties(encode_access(half)) == (LAB, CITY)


def test_signing_is_deterministic() -> None:
    assert sign_directive(BARE, seed("ann")) == sign_directive(BARE, seed("ann"))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"rules": ()}, "empty_list"),
        ({"rules": (permit(purposes=()),)}, "empty_list"),
        ({"rules": (permit(actors=()),)}, "empty_list"),
        ({"rules": (permit(exceptions=()),)}, "empty_list"),
        ({"rules": (permit(purposes=("RESEARCHY",)),)}, "unknown_purpose"),
        ({"rules": (permit(exceptions=(deny(purposes=("X",)),)),)}, "unknown_purpose"),
        ({"rules": (permit(actions=("steal",)),)}, "unknown_action"),
        ({"rules": (permit(types=("B", "A")),)}, "not_ascending"),
        ({"rules": (permit(types=("A", "A")),)}, "not_ascending"),
        ({"rules": (permit(data_period=Period(Instant(2), Instant(2))),)}, "until_before_from"),
        ({"rules": (permit(exceptions=(permit(),)),)}, "same_effect"),
        ({"rules": (deny(obligations=("x",)),)}, "obligation_on_deny"),
        ({"rules": (permit(exceptions=(deny(exceptions=(permit(),)),)),)}, "too_deep"),
        ({"rules": tuple(permit() for _ in range(65))}, "too_many"),
        ({"valid_from": 10, "until": 10}, "until_before_from"),
        ({"valid_from": 10, "until": 9}, "until_before_from"),
        ({"number": 0}, "number"),
        ({"supersedes": (bytes(32), bytes(32))}, "not_ascending"),
        ({"signer": key("guardian")}, "wrong_key"),
    ],
)
def test_a_bad_directive_is_refused_before_signing_and_malformed_from_a_peer(
    change: dict[str, Any], code: str
) -> None:
    bad: Directive = replace(BARE, **change)
    with pytest.raises(Refused) as refused:
        sign_directive(bad, seed("ann"))
    assert refused.value.code == code
    assert refused.value.advice
    if code != "wrong_key":
        with pytest.raises(Malformed):
            decode_directive(encode_directive(bad))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"homes": ()}, "homes"),
        ({"homes": tuple(sorted(key(str(n)) for n in range(4)))}, "homes"),
        ({"custodians": ()}, "empty_list"),
        ({"custodians": (CITY,)}, "founder"),
        ({"revision": 1}, "previous"),
        ({"previous": bytes(32)}, "previous"),
        ({"homes": (MERCY, MERCY)}, "not_ascending"),
        ({"delegate_keys": RECORD.patient_keys}, "two_roles"),
    ],
)
def test_a_bad_record_is_refused(change: dict[str, Any], code: str) -> None:
    bad = replace(RECORD, **change)
    with pytest.raises(Refused) as refused:
        validate_record(bad)
    assert refused.value.code == code
    with pytest.raises(Malformed):
        decode_record(encode_record(bad))


def test_a_signature_from_another_context_says_so() -> None:
    with pytest.raises(Malformed, match="another network or context"):
        open_directive(directive(permit()).payload, NETWORK, ContextId(b"X" * 32))


def test_a_bent_document_does_not_verify() -> None:
    bent = replace(BARE, until=Instant(NOW + 1))
    payload = pack([encode_directive(bent), directive(permit()).signature])
    with pytest.raises(BadSignature):
        open_directive(payload, NETWORK, CONTEXT)
    signature = directive(permit()).signature
    with pytest.raises(Invalid):
        open_revocation(pack([directive(permit()).document, signature]), NETWORK, CONTEXT)


def test_a_revocation_names_something() -> None:
    for change in ({}, {"series": "ann"}, {"all_before": 3}):
        with pytest.raises(Refused):
            revocation(**change)


def test_equal_directives_with_other_salt_have_other_ids() -> None:
    assert directive_id(directive(permit()).document) != directive_id(directive(permit(), mark="x").document)


def test_a_card_brings_context_and_pseudonym() -> None:
    text = card_text(CONTEXT, ANN)
    assert text.startswith(CARD_PREFIX)
    assert read_card(text + "\n") == (CONTEXT, ANN)


@pytest.mark.parametrize("index", range(len(CARD_PREFIX), len(card_text(CONTEXT, ANN))))
def test_a_mistyped_card_is_refused_with_advice(index: int) -> None:
    text = card_text(CONTEXT, ANN)
    other = "A" if text[index] != "A" else "B"
    with pytest.raises(Refused) as refused:
        read_card(text[:index] + other + text[index + 1 :])
    assert refused.value.advice


@pytest.mark.parametrize("text", ["", "card", CARD_PREFIX, CARD_PREFIX + "!!", CARD_PREFIX + "é"])
def test_what_is_no_card_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        read_card(text)


@pytest.mark.parametrize(
    "change", [{"purposes": ()}, {"purposes": ("X",)}, {"action": "steal"}, {"types": ()}, {"labels": ()}]
)
def test_a_bad_request_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        request(**change)


def test_a_request_whose_first_actor_is_someone_else_is_malformed() -> None:
    bad = replace(request(), actors=(member_actor(CITY),))
    with pytest.raises(Malformed):
        decode_request(encode_request(bad))


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.binary(max_size=40)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=16),
    max_leaves=30,
)
DECODERS: list[Any] = [
    decode_directive,
    decode_revocation,
    decode_record,
    decode_request,
    decode_access,
    lambda data: open_directive(data, NETWORK, CONTEXT),
    lambda data: open_link(data, NETWORK, CONTEXT),
]
SAMPLES = [
    FULL.document,
    revocation(series="ann", all_before=2).document,
    encode_record(RECORD),
    encode_request(request()),
    encode_access(half_of(request(), Half.REFUSED, CITY, Answer.DENY, receipt=b"", time=Instant(NOW))),
    FULL.payload,
    encode_link(make_link(NETWORK, CONTEXT, (CITY[:16], ANN))),  # type: ignore[arg-type]
]


@given(st.sampled_from(DECODERS), VALUES.map(pack) | st.binary(max_size=200))
def test_nothing_but_invalid_leaves_a_decoder(decode: Any, data: bytes) -> None:
    try:
        decode(data)
    except Invalid:
        return


@given(st.integers(0, len(SAMPLES) - 1), st.data())
def test_samples_with_one_field_replaced_raise_nothing_but_invalid(which: int, data: st.DataObject) -> None:
    fields = list(unpack(SAMPLES[which]))
    index = data.draw(st.integers(0, len(fields) - 1))
    fields[index] = data.draw(VALUES)
    try:
        DECODERS[which](pack(fields))
    except Invalid:
        return


def test_samples_decode() -> None:
    for decode, sample in zip(DECODERS, SAMPLES, strict=True):
        decode(sample)
