"""A directive as FHIR, read back, says the same: every rule that documents allow, in R4 and R5, as valid resources."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from fhir.resources.consent import Consent as ConsentR5
from fhir.resources.R4B.consent import Consent as ConsentR4
from hypothesis import given, settings
from hypothesis import strategies as st

from medsync_client.consents import Consent, WireActor, WirePeriod, WireRule
from medsync_node.fhir import directive_text, references
from medsync_node.fhir.export import consent_resource
from medsync_node.fhir.lineage import current
from medsync_protocol.rule import ACTIONS

CLASSES: dict[str, Any] = {"R4": ConsentR4, "R5": ConsentR5}
MEMBERS = st.sampled_from(["ab" * 32, "cd" * 32])
MOMENTS = st.integers(1, 4_000_000_000_000)  # from 1970 on: a start there is an open one


def some(items: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A list as documents have it: ascending, without repeats, never empty; or None for any."""
    return st.none() | st.lists(items, min_size=1, max_size=3, unique=True).map(lambda found: tuple(sorted(found)))


def _period(ends: tuple[int | None, int | None]) -> bool:
    start, end = ends
    return ends != (None, None) and (start is None or end is None or start < end)


periods = st.none() | st.tuples(MOMENTS | st.none(), MOMENTS | st.none()).filter(_period).map(
    lambda ends: WirePeriod(start=ends[0], end=ends[1])
)
units = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters="/|%"), min_size=1, max_size=8)
actors = (
    st.builds(WireActor, group=st.sampled_from(["g1", "ward/7"]))
    | st.builds(WireActor, member=MEMBERS)
    | st.builds(WireActor, member=MEMBERS, unit=units)
    | st.builds(WireActor, member=MEMBERS, unit=units, user=units)
    | st.builds(WireActor, member=MEMBERS, user=units)
)


def dimensions() -> dict[str, st.SearchStrategy[Any]]:
    return {
        "actors": st.none() | st.lists(actors, min_size=1, max_size=2, unique_by=repr).map(tuple),
        "purposes": some(st.sampled_from(["TREAT", "HRESCH", "BTG"])), "types": some(st.sampled_from(["Observation", "Patient"])),
        "labels": some(st.sampled_from(["R", "PSY", "urn:house|vip"])), "actions": some(st.sampled_from(sorted(ACTIONS))),
        "data_period": periods, "during": periods,
    }  # fmt: skip


@st.composite
def rules(draw: st.DrawFn) -> WireRule:
    effect = draw(st.sampled_from(["permit", "deny"]))
    other = "deny" if effect == "permit" else "permit"

    def inside(one: str) -> st.SearchStrategy[WireRule]:
        obligations = some(st.sampled_from(["redact", "no reuse"])) if one == "permit" else st.none()
        return st.builds(WireRule, effect=st.just(one), obligations=obligations, **dimensions())

    exceptions = draw(st.none() | st.lists(inside(other), min_size=1, max_size=2).map(tuple))
    return draw(inside(effect)).model_copy(update={"exceptions": exceptions})


@st.composite
def consents(draw: st.DrawFn) -> Consent:
    start = draw(MOMENTS)
    until = draw(st.none() | st.integers(start + 1, start + 10**12))
    return Consent(
        id="12" * 32, subject="34" * 16, signer="56" * 32, basis=draw(st.sampled_from(["attested", "patient-signed"])), number=1,
        base=draw(st.sampled_from([None, "permit", "deny"])), rules=draw(st.lists(rules(), max_size=3).map(tuple)), valid_from=start,
        until=until, supersedes=(), evidence=None, signed_at=start, status="active", permits=True, denies=True,
    )  # fmt: skip


@pytest.mark.parametrize("release", ["R4", "R5"])
@settings(max_examples=60, deadline=None)
@given(consent=consents())
def test_what_is_exported_reads_back_as_the_same_rules(release: str, consent: Consent) -> None:
    resource = consent_resource(consent, release, id_=consent.id, version=consent.id, name_of=lambda member: "City")
    CLASSES[release].model_validate(copy.deepcopy(resource))
    found = directive_text(resource, subject=consent.subject, recipient=references.recipient)
    assert (found.base, found.rules, found.valid_from, found.until) == (consent.base, consent.rules, consent.valid_from, consent.until)


PCF = "https://profiles.ihe.net/ITI/PCF/StructureDefinition/IHE.PCF.consent"


def exported(*rules: WireRule) -> dict[str, Any]:
    consent = Consent(
        id="12" * 32, subject="34" * 16, signer="56" * 32, basis="attested", number=1, base=None, rules=rules, valid_from=1,
        until=None, supersedes=(), evidence="shelf 4", signed_at=1, status="active", permits=True, denies=False,
    )  # fmt: skip
    return consent_resource(consent, "R4", id_=consent.id, version=consent.id)


def test_the_narrowest_profile_of_pcf_is_claimed() -> None:
    def profile(**dimensions: Any) -> list[str]:
        return [one.removeprefix(PCF) for one in exported(WireRule(effect="permit", **dimensions))["meta"].get("profile", ())]

    assert profile(purposes=("TREAT",)) == ["Basic"]
    assert profile(purposes=("HRESCH",)) == ["Intermediate"]
    assert profile(labels=("PSY",), exceptions=(WireRule(effect="deny", labels=("R",)),)) == ["Advanced"]
    assert profile(labels=("urn:house|vip",)) == profile(types=("Patient",)) == profile(obligations=("redact",)) == []
    resource = exported(WireRule(effect="permit", purposes=("TREAT",)))
    assert {"policy", "organization", "performer", "sourceReference", "dateTime"} <= set(resource) and "policyRule" not in resource
    assert resource["provision"]["type"] == "permit"


def test_a_rule_of_ours_within_a_foreign_consent_is_refused() -> None:
    resource = exported(WireRule(effect="permit", purposes=("TREAT",), obligations=("redact",)))
    del resource["policy"]
    resource["policyRule"] = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "OPTOUT"}]}
    with pytest.raises(Exception, match="modifierExtension"):
        directive_text(resource, subject="51cf")


def versions(*pairs: tuple[str, tuple[str, ...], str]) -> list[Consent]:
    return [
        Consent(
            id=name * 64, subject="34" * 16, signer="56" * 32, basis="attested", number=1, base=None, rules=(), valid_from=1,
            until=None, supersedes=tuple(one * 64 for one in before), evidence=None, signed_at=1, status="active", permits=True,
            denies=False, reason=reason,
        )
        for name, before, reason in pairs
    ]  # fmt: skip


def test_updates_keep_their_id_and_concurrent_ones_stand_apart() -> None:
    def ids(*pairs: tuple[str, tuple[str, ...], str]) -> dict[str, str]:
        return {id_[0]: consent.id[0] for id_, consent in current(versions(*pairs)).items()}

    assert ids(("a", (), "superseded"), ("b", ("a",), "superseded"), ("c", ("b",), "")) == {"a": "c"}
    assert ids(("a", (), "superseded"), ("b", ("a",), ""), ("c", ("a",), "")) == {"a": "a", "b": "b", "c": "c"}
    assert ids(("a", (), ""), ("b", ("a",), "")) == {"a": "a", "b": "b"}  # what supersedes without authority replaces nothing
    assert ids(("a", (), ""), ("b", ("a", "c"), ""), ("c", (), "superseded")) == {"a": "a", "b": "b", "c": "c"}
