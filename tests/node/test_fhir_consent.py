"""FHIR Consents, R4 and R5: what computes says what it says, what doesn't is refused with the reason."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import pytest
from fhir.resources.consent import Consent as ConsentR5
from fhir.resources.R4B.consent import Consent as ConsentR4
from medsync_client.consents import DirectiveText, WireActor, WirePeriod, WireRule
from medsync_client.documents import rule_of
from medsync_node.fhir import directive_text, patient_reference, release_of
from medsync_node.fhir.dates import interval, of_data, period
from medsync_protocol.errors import Refused
from medsync_protocol.ids import MemberId
from medsync_protocol.rule import problems

DATA = files("medsync_node") / "demo" / "data" / "fhir"
V3 = "http://terminology.hl7.org/CodeSystem/v3-"
ORG = WireActor(member="Organization/f001")


def example(release: str, name: str) -> dict[str, Any]:
    found = json.loads((DATA / release / f"{name}.json").read_bytes())
    assert isinstance(found, dict)
    return found


def read(resource: dict[str, Any], **more: Any) -> DirectiveText:
    return directive_text(resource, subject="51cf", **more)


def refusal(resource: dict[str, Any], **more: Any) -> str:
    with pytest.raises(Refused) as caught:
        read(resource, **more)
    assert caught.value.advice
    return caught.value.code


def millis(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp() * 1000)  # type: ignore[arg-type,misc]


# -- HL7's examples -----------------------------------------------------------------------------------------------

EXAMPLES = sorted((r, p.name.removesuffix(".json")) for r in ("r4", "r5") for p in (DATA / r).iterdir())


@pytest.mark.parametrize(("release", "name"), EXAMPLES)
def test_the_vendored_examples_are_valid_fhir(release: str, name: str) -> None:
    resource = example(release, name)
    assert release_of(resource) == release.upper()
    (ConsentR4 if release == "r4" else ConsentR5).model_validate(resource)
    assert patient_reference(resource).startswith("Patient/")


def test_the_notice_names_packages_versions_and_licence() -> None:
    notice = (DATA / "NOTICE").read_text()
    for word in ("hl7.fhir.r4.examples, version 4.0.1", "hl7.fhir.r5.examples, version 5.0.0", "CC0-1.0"):
        assert word in notice


COMPUTED = {
    ("r4", "notOrg"): DirectiveText(
        subject="51cf", base="permit", valid_from=millis(2015, 11, 18),
        rules=(WireRule(effect="deny", actors=(ORG,), actions=("access", "correct")),),
    ),
    ("r4", "smartonfhir"): DirectiveText(
        subject="51cf", base=None, valid_from=millis(2016, 6, 23, 7, 2, 33), until=millis(2016, 6, 23, 7, 32, 34),
        rules=(WireRule(effect="permit", types=("MedicationRequest",), actions=("access",)),),
    ),
    ("r5", "notOrg"): DirectiveText(
        subject="51cf", base="permit", valid_from=millis(2018, 12, 24),
        rules=(WireRule(effect="deny", actors=(ORG,), actions=("access", "correct")),),
    ),
    ("r5", "basic"): DirectiveText(
        subject="51cf", base="deny", valid_from=millis(2018, 12, 28),
        rules=(WireRule(effect="permit", during=WirePeriod(end=millis(2019, 1, 2))),),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("release", "name"), sorted(COMPUTED))
def test_an_example_says(release: str, name: str) -> None:
    found = read(example(release, name))
    assert found.evidence is not None and len(found.evidence) <= 256
    assert found.model_copy(update={"evidence": None}) == COMPUTED[release, name]


def test_the_longest_example_is_one_permit_with_its_exceptions() -> None:
    found = read(example("r5", "pkb"))
    assert found.base == "deny"
    (rule,) = found.rules
    assert (rule.effect, rule.actors, rule.labels) == ("permit", (ORG,), ("N",))
    assert rule.exceptions is not None and len(rule.exceptions) == 11
    assert {one.effect for one in rule.exceptions} == {"deny"}
    assert {label for one in rule.exceptions for label in one.labels or ()} == {"N", "PSY", "SEX", "SPI"}


@pytest.mark.parametrize(
    ("release", "name", "code"),
    [
        ("r4", "notThis", "unsupported"),  # a single resource
        ("r4", "grantor", "no_type"),
        ("r4", "notTime", "no_type"),  # its narrative says "not in", basic's "only in", their shape is one
        ("r5", "Out", "actor_role"),  # the custodian is no recipient
        ("r5", "notThem", "actor"),  # nobody said which member's user this practitioner is
    ],
)
def test_an_example_is_refused(release: str, name: str, code: str) -> None:
    assert refusal(example(release, name)) == code


def test_a_practitioner_computes_once_somebody_says_who_that_is() -> None:
    nurse = WireActor(member="city", unit="ward 4", user="carla")
    found = read(example("r5", "notThem"), recipient={"Practitioner/f204": nurse}.__getitem__)
    assert found.rules[0].actors == (nurse,)


@pytest.mark.parametrize(("release", "name"), sorted({*COMPUTED, ("r5", "pkb")}))
def test_what_computes_is_a_rule_without_problems(release: str, name: str) -> None:
    for rule in read(example(release, name)).rules:
        assert list(problems(rule_of(rule, lambda named: MemberId(named.encode().ljust(32))), "rule")) == []


# -- R4, made here ------------------------------------------------------------------------------------------------


def coding(system: str, code: str) -> dict[str, Any]:
    return {"system": system, "code": code}


def concept(system: str, code: str) -> dict[str, Any]:
    return {"coding": [coding(system, code)]}


def r4(rule: str = "OPTIN", provision: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    resource = {
        "resourceType": "Consent", "status": "active", "patient": {"reference": "Patient/1"},
        "scope": concept("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy"),
        "category": [concept("http://loinc.org", "59284-0")], "policyRule": concept(f"{V3}ActCode", rule),
    }  # fmt: skip
    if provision is not None:
        resource["provision"] = provision
    made = {name: value for name, value in {**resource, **changes}.items() if value is not None}
    ConsentR4.model_validate(copy.deepcopy(made))
    return made


def actor(reference: str = "Organization/lab", role: str = "PRCP") -> dict[str, Any]:
    return {"role": concept(f"{V3}ParticipationType", role), "reference": {"reference": reference}}


def test_opt_in_and_opt_out_alone_are_base_decisions() -> None:
    assert read(r4("OPTIN")) == read(r4("OPTIN")).model_copy(update={"base": "permit", "rules": ()})
    assert read(r4("OPTOUT")).base == "deny"


def test_every_dimension_of_a_provision_is_mapped() -> None:
    root = {
        "type": "permit", "period": {"start": "2027-01", "end": "2027"}, "actor": [actor(), actor("Organization/city")],
        "action": [concept("http://terminology.hl7.org/CodeSystem/consentaction", "disclose")],
        "securityLabel": [coding(f"{V3}Confidentiality", "R"), coding("urn:house", "vip")],
        "purpose": [coding(f"{V3}ActReason", "HRESCH"), coding(f"{V3}ActReason", "TREAT")],
        "class": [coding("http://hl7.org/fhir/resource-types", "Observation")],
        "dataPeriod": {"start": "2020-02-29", "end": "2020-02-29T10:00:00.5+02:00"},
        "provision": [{"type": "deny", "purpose": [coding(f"{V3}ActReason", "HMARKT")]}],
    }  # fmt: skip
    found = read(r4("OPTOUT", root))
    assert (found.base, found.valid_from, found.until) == ("deny", None, None)
    assert found.rules == (
        WireRule(
            effect="permit",
            actors=(WireActor(member="Organization/lab"), WireActor(member="Organization/city")),
            purposes=("HRESCH", "TREAT"), types=("Observation",), labels=("R", "urn:house|vip"), actions=("disclose",),
            during=WirePeriod(start=millis(2027, 1, 1), end=millis(2028, 1, 1)),
            data_period=WirePeriod(start=millis(2020, 2, 29), end=millis(2020, 2, 29, 8) + 501),
            exceptions=(WireRule(effect="deny", purposes=("HMARKT",)),),
        ),
    )  # fmt: skip


def test_an_untyped_root_frames_its_typed_provisions() -> None:
    nested = [{"type": "deny", "actor": [actor()]}]
    found = read(r4("OPTIN", {"period": {"end": "2030-06-30"}, "provision": nested}), offset=-300)
    assert found.base == "permit"
    assert found.until == millis(2030, 7, 1, 5)
    assert [rule.effect for rule in found.rules] == ["deny"]


def test_what_permits_under_an_opt_in_is_all_that_is_permitted() -> None:
    found = read(r4("OPTIN", {"type": "permit", "actor": [actor()]}))
    assert (found.base, [rule.effect for rule in found.rules]) == (None, ["permit"])


REFUSED_R4: list[tuple[str, Callable[[], dict[str, Any]]]] = [
    ("policy_rule", lambda: r4("EMRGONLY")),
    ("policy_rule", lambda: r4(policyRule=None, provision={"type": "deny"})),
    ("no_code", lambda: r4(policyRule={"text": "as agreed"})),
    ("narrative_only", lambda: r4(policyRule=None)),
    ("unsupported", lambda: r4(policyRule=None, policy=[{"uri": "urn:policy"}])),
    ("unsupported", lambda: r4(policy=[{"uri": "urn:policy"}])),
    ("status", lambda: r4(status="draft")),
    ("status", lambda: r4(status="entered-in-error")),
    ("scope", lambda: r4(scope=concept("http://terminology.hl7.org/CodeSystem/consentscope", "research"))),
    ("not_verified", lambda: r4(verification=[{"verified": False}])),
    ("unsupported", lambda: r4(modifierExtension=[{"url": "urn:x", "valueBoolean": True}])),
    ("unsupported", lambda: r4(implicitRules="urn:rules")),
    ("no_type", lambda: r4("OPTIN", {"period": {"end": "2030"}})),
    ("no_type", lambda: r4("OPTIN", {"actor": [actor()], "provision": [{"type": "deny", "actor": [actor()]}]})),
    ("no_type", lambda: r4("OPTIN", {"provision": [{"actor": [actor()]}]})),
    ("same_effect", lambda: r4("OPTOUT", {"type": "deny", "actor": [actor()]})),
    ("same_effect", lambda: r4("OPTOUT", {"type": "permit", "actor": [actor()], "provision": [{"type": "permit"}]})),
    ("empty_provision", lambda: r4("OPTIN", {"type": "deny"})),
    ("actor_role", lambda: r4("OPTIN", {"type": "deny", "actor": [actor(role="CST")]})),
    ("actor", lambda: r4("OPTIN", {"type": "deny", "actor": [actor("Practitioner/1")]})),
    ("no_reference", lambda: r4("OPTIN", {"type": "deny", "actor": [{**actor(), "reference": {"display": "Lab"}}]})),
    ("unknown_purpose", lambda: r4("OPTIN", {"type": "deny", "purpose": [coding(f"{V3}ActReason", "WHIM")]})),
    ("unknown_purpose", lambda: r4("OPTIN", {"type": "deny", "purpose": [coding("urn:other", "TREAT")]})),
    ("unknown_action", lambda: r4("OPTIN", {"type": "deny", "action": [concept("urn:other", "access")]})),
    ("content_class", lambda: r4("OPTIN", {"type": "deny", "class": [coding("urn:ietf:bcp:13", "text/plain")]})),
    ("unsupported", lambda: r4("OPTIN", {"type": "deny", "code": [concept("http://loinc.org", "1-8")]})),
    ("unsupported", lambda: r4("OPTIN", {"type": "deny", "modifierExtension": [{"url": "urn:x", "valueBoolean": True}]})),
    ("until_before_from", lambda: r4("OPTIN", {"type": "deny", "period": {"start": "2028", "end": "2027"}})),
    ("over", lambda: r4("OPTIN", {"type": "deny", "period": {"end": "1960"}})),
    ("too_deep", lambda: r4("OPTIN", {"type": "deny", "actor": [actor()], "provision": [
        {"type": "permit", "actor": [actor()], "provision": [{"type": "deny", "actor": [actor()]}]}]})),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "make"), REFUSED_R4, ids=[f"{i}-{c}" for i, (c, _) in enumerate(REFUSED_R4)]
)
def test_r4_is_refused_where_it_cannot_be_computed(code: str, make: Callable[[], dict[str, Any]]) -> None:
    assert refusal(make()) == code


# -- R5, made here ------------------------------------------------------------------------------------------------


def r5(decision: str | None = "deny", *provisions: dict[str, Any], **changes: Any) -> dict[str, Any]:
    resource = {
        "resourceType": "Consent", "status": "active", "subject": {"reference": "Patient/1"}, "decision": decision,
        "provision": list(provisions) or None,
    }  # fmt: skip
    made = {name: value for name, value in {**resource, **changes}.items() if value is not None}
    ConsentR5.model_validate(copy.deepcopy(made))
    return made


def test_each_level_negates_the_one_above() -> None:
    inner = {"purpose": [coding(f"{V3}ActReason", "HMARKT")]}
    found = read(r5("deny", {"actor": [actor()], "provision": [inner]}, {"purpose": inner["purpose"]}))
    assert found.base == "deny"
    assert [rule.effect for rule in found.rules] == ["permit", "permit"]
    assert found.rules[0].exceptions == (WireRule(effect="deny", purposes=("HMARKT",)),)


def test_the_period_of_the_consent_bounds_it() -> None:
    found = read(r5("permit", period={"start": "2027-03-01", "end": "2027-03-31"}, date="2027-01-01"))
    assert (found.valid_from, found.until) == (millis(2027, 3, 1), millis(2027, 4, 1))


def test_an_actor_is_also_found_by_its_identifier() -> None:
    named = {**actor(), "reference": {"identifier": {"system": "urn:oid:1", "value": "7"}}}
    found = read(
        r5("permit", {"actor": [named]}), recipient={"urn:oid:1|7": WireActor(member="lab")}.__getitem__
    )
    assert found.rules[0].actors == (WireActor(member="lab"),)


REFUSED_R5: list[tuple[str, Callable[[], dict[str, Any]]]] = [
    ("narrative_only", lambda: r5(None)),
    ("no_decision", lambda: r5(None, {"actor": [actor()]})),
    ("unsupported", lambda: r5("deny", policyBasis={"url": "urn:policy"})),
    ("unsupported", lambda: r5("deny", {"documentType": [coding("urn:ietf:bcp:13", "text/plain")]})),
    ("unsupported", lambda: r5("deny", {"expression": {"language": "text/fhirpath", "expression": "true"}})),
    ("empty_provision", lambda: r5("deny", {"id": "x"})),
    ("no_patient", lambda: r5("deny", subject={"reference": "Group/1"})),
    ("too_deep", lambda: r5("deny", {"actor": [actor()], "provision": [{"actor": [actor()], "provision": [{"actor": [actor()]}]}]})),
    ("no_code", lambda: r5("deny", {"actor": [{"reference": {"reference": "Organization/lab"}}]})),
    ("too_many", lambda: r5("deny", *[{"actor": [actor()]}] * 65)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "make"), REFUSED_R5, ids=[f"{i}-{c}" for i, (c, _) in enumerate(REFUSED_R5)]
)
def test_r5_is_refused_where_it_cannot_be_computed(code: str, make: Callable[[], dict[str, Any]]) -> None:
    assert refusal(make()) == code


@pytest.mark.parametrize(
    ("code", "resource"),
    [
        ("not_a_consent", {"resourceType": "Patient"}),
        ("not_a_consent", {}),
        ("fhir_release", {"resourceType": "Consent", "status": "active"}),
        ("fhir_release", {"resourceType": "Consent", "scope": {}, "decision": "deny"}),
        ("empty_list", {**r5("deny"), "provision": []}),
        ("malformed", {**r5("deny"), "provision": ["x"]}),
        ("empty_list", {**r5("deny"), "provision": [{"actor": []}]}),
        ("malformed", {**r5("deny"), "provision": [{"period": "2027"}]}),
        ("empty_list", {**r5("deny"), "provision": [{"period": {}}]}),
        ("date", {**r5("deny"), "date": "yesterday"}),
    ],
)
def test_what_is_no_consent_is_refused(code: str, resource: dict[str, Any]) -> None:
    assert refusal(resource) == code


# -- dates --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "offset", "first", "after"),
    [
        ("2027", 0, (2027, 1, 1), (2028, 1, 1)),
        ("2027-12", 0, (2027, 12, 1), (2028, 1, 1)),
        ("2028-02", 0, (2028, 2, 1), (2028, 3, 1)),
        ("2027-06-30", 0, (2027, 6, 30), (2027, 7, 1)),
        ("2027-06-30", 120, (2027, 6, 29, 22), (2027, 6, 30, 22)),
        ("2027-06-30T23:59:59Z", 120, (2027, 6, 30, 23, 59, 59), (2027, 7, 1)),
        ("2027-06-30T23:59:59-05:00", 0, (2027, 7, 1, 4, 59, 59), (2027, 7, 1, 5)),
    ],
)
def test_a_partial_date_is_all_that_it_names(
    text: str, offset: int, first: tuple[int, ...], after: tuple[int, ...]
) -> None:
    assert interval(text, "it", offset) == (millis(*first), millis(*after))


def test_an_end_at_the_end_of_time_is_a_number() -> None:
    assert (
        period({"end": "9999-12-31"}, "it", 0)[1]
        == (datetime(9999, 12, 31).toordinal() - 719162) * 86_400_000
    )


@pytest.mark.parametrize(
    "text", ["2027-02-30", "27-01-01", "2027-1-1", "2027-01-01T10:00", "2027-01-01T10:00:00", "2027-01-01T25:00:00Z",
             "2027-01-01T10:00:00+15:00", "2027-01-01T10:00:00+01:75", "0000", 2027, None, " 2027"],
)  # fmt: skip
def test_a_date_that_is_none_is_refused(text: Any) -> None:
    with pytest.raises(Refused) as caught:
        interval(text, "it", 0)
    assert caught.value.code == "date"


def test_data_from_before_1970_never_widens_access() -> None:
    span = {"start": "1960", "end": "1980"}
    assert of_data(span, "it", 0, permit=True).start == 0
    assert of_data(span, "it", 0, permit=False).start is None
