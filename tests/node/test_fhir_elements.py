"""Refusals of FHIR Consents say which element they are for; resources beyond the bounds are refused before they are read."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir.resources.parameters import Parameters
from medsync_client.accesses import AccessAnswer, Ended
from medsync_node.fhir import NotComputed, deciding, directive_text
from medsync_node.fhir.audit_event import event_id, place_of
from medsync_node.fhir.parsing import MAX_DEPTH, parse
from tests.node.test_fhir_consent import V3, actor, coding, r4, r5


def refused(resource: dict[str, Any]) -> tuple[str, str]:
    with pytest.raises(NotComputed) as caught:
        directive_text(resource, subject="51cf")
    return caught.value.code, caught.value.element


@pytest.mark.parametrize(
    ("resource", "code", "element"),
    [
        (r4("OPTIN", {"type": "deny", "purpose": [coding("urn:other", "TREAT")]}), "unknown_purpose", "provision.purpose"),
        (r4("OPTIN", {"actor": [actor()]}), "no_type", "provision.type"),
        (r4("OPTIN", {"type": "deny", "actor": [actor(), actor("Practitioner/1")]}), "actor", "provision.actor[1].reference"),
        (r4("OPTIN", {"provision": [{"type": "deny", "actor": [actor()]}, {"actor": [actor()]}]}), "no_type", "provision.provision[1]"),
        (r4(status="draft"), "status", "status"),
        (r5("deny", {"period": {"start": "2028", "end": "2027"}}), "until_before_from", "provision[0].period"),
        (r5("deny", date="2027") | {"desicion": "permit"}, "unknown_element", "desicion"),
        (r5("deny", policyBasis={"url": "urn:policy"}), "unsupported", "policyBasis"),
        (r4(policyRule=None, policy=[{"uri": "urn:policy"}]), "unsupported", "policy"),
        ({**r5("deny"), "provision": [{"actor": [actor()]}] * 10_000}, "too_many", "provision"),
        ({**r5("deny"), "provision": [{"actor": [actor()] * 65}]}, "too_many", "provision[0].actor"),
        (r5("permit", {"securityLabel": [coding(f"{V3}Confidentiality", "R" * 200)]}), "too_many", "provision[0].securityLabel"),
    ],
)  # fmt: skip
def test_a_refusal_names_the_element(resource: dict[str, Any], code: str, element: str) -> None:
    assert refused(resource) == (code, element)


def test_nesting_and_size_are_refused_without_reading_on() -> None:
    for body, code in (
        (b'{"resourceType": "Consent", "provision": ' + b"[" * 1000 + b"]" * 1000 + b"}", "too_deep"),
        (b'{"a":' * 100_000, "too_deep"),
        (b"[" + b"1," * 5_000_000 + b"1]", "too_many"),
        (b'{"resourceType": "Consent", "status": "active", "status": "draft"}', "malformed"),
        (b'{"resourceType": "Consent", "x": NaN}', "malformed"),
        (b"\xff", "malformed"),
        (b"[]", "malformed"),
        (b'{"resourceType": "Patient"}', "malformed"),
    ):
        with pytest.raises(NotComputed) as caught:
            parse(body, "Consent")
        assert caught.value.code == code


@given(st.text())
def test_what_stands_in_strings_does_not_count_as_nesting(text: str) -> None:
    body = json.dumps({"resourceType": "Consent", "x": [text, "[" * (MAX_DEPTH + 1), '\\"{' * 40]}, ensure_ascii=False)
    assert parse(body.encode(errors="replace"), "Consent")["x"][1] == "[" * (MAX_DEPTH + 1)


@given(st.binary(min_size=32, max_size=32), st.integers(0, 2**32 - 1), st.integers(0, 4095))
def test_an_events_id_tells_where_it_stands_and_is_an_id_of_fhir(op: bytes, seq: int, index: int) -> None:
    text = event_id(op.hex(), seq, index)
    assert re.fullmatch(r"[A-Za-z0-9\-.]{1,64}", text) and place_of(text) == (op, seq, index)


@given(st.from_regex(r"[a-z2-7]{51,53}\.[0-9a-fA-FxX_+-]{0,13}", fullmatch=True))
def test_an_event_has_one_id(text: str) -> None:
    found = place_of(text)
    assert found is None or event_id(found[0].hex(), *found[1:]) == text


def test_an_answer_names_what_took_a_consent_back() -> None:
    ended = Ended(consent="aa" * 32, why="revoked", document="bb" * 32, signed_at=0, recorded=1)
    given = AccessAnswer(answer="NO_CONSENT", reason="", custodian="cc" * 32, time=5, ended=(ended,))
    found = deciding.answer(given, {"aa" * 32: "dd" * 32}, None)
    assert Parameters.model_validate(found).parameter
    [part] = [one["part"] for one in found["parameter"] if one["name"] == "ended"]
    told = {one["name"]: next(value for name, value in one.items() if name != "name") for one in part}
    assert told == {
        "consent": {"reference": f"Consent/{'dd' * 32}"}, "why": "revoked", "by": "bb" * 32, "signed": "1970-01-01T00:00:00.000Z",
    }  # fmt: skip
