"""A directive as a FHIR Consent, R4 in the shapes of IHE PCF and R5; reading it back (`consent.py`) gives the same rules.

R4 names a policy of ours for its base decision; a single rule is the root provision, several stand in an untyped frame. R5
states the decision, and marks what doesn't negate it (`marks.py`). Source of the shapes: IHE ITI PCF 1.1.0, consentBasic,
consentIntermediate and consentAdvanced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from medsync_client.consents import Consent, EffectName, WirePeriod, WireRule

from medsync_node.fhir import marks
from medsync_node.fhir.provisions import OPPOSITE, TYPES
from medsync_node.fhir.references import of_actor, organisation, patient

_V3: Final = "http://terminology.hl7.org/CodeSystem/v3-"
_PCF: Final = "https://profiles.ihe.net/ITI/PCF/StructureDefinition/IHE.PCF.consent"
_CONFIDENTIALITY: Final = frozenset("LMNRUV")
_BASIC_PURPOSES: Final = frozenset({"TREAT", "HPAYMT", "HOPERAT", "BTG"})
_ADVANCED_LABELS: Final = frozenset({"R", "N", "ETH", "ETHUD", "OPIOIDUD", "PSY", "SEX", "HIV"})
_TYPE_SYSTEMS: Final = {"R4": "http://hl7.org/fhir/resource-types", "R5": "http://hl7.org/fhir/fhir-types"}
_YEAR_10000: Final = 253_402_300_800_000  # FHIR's dates end before it

NameOf = Callable[[str], str]
"""A member's name by its id in hex; "" for none."""


def instant(millis: int) -> str:
    """FHIR's `instant` and `dateTime` with milliseconds, in UTC."""
    return datetime.fromtimestamp(millis // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{millis % 1000:03}Z"


def consent_resource(
    consent: Consent, release: str, *, id_: str, version: str, name_of: NameOf = lambda member: ""
) -> dict[str, Any]:
    """A directive as this node counts it. `id_`: the resource's; `version`: the directive's own id."""
    status = "active" if consent.status in ("active", "not-yet", "contested") else "inactive"
    found: dict[str, Any] = {
        "resourceType": "Consent", "id": id_,
        "meta": {"versionId": version, "lastUpdated": instant(consent.signed_at)},
        "identifier": [{"system": marks.DIRECTIVE, "value": consent.id}],
        "status": status, "category": [_concept("http://loinc.org", "59284-0")],
    }  # fmt: skip
    return found | (_r4 if release == "R4" else _r5)(consent, name_of)


def _signer(consent: Consent, name_of: NameOf) -> dict[str, Any]:
    signed = consent.basis == "patient-signed"
    return patient(consent.subject) if signed else organisation(consent.signer, name_of(consent.signer))


def _source(consent: Consent) -> dict[str, Any]:
    found: dict[str, Any] = {"identifier": {"system": marks.DIRECTIVE, "value": consent.id}}
    return {**found, "display": consent.evidence} if consent.evidence else found


def _r4(consent: Consent, name_of: NameOf) -> dict[str, Any]:
    root: dict[str, Any] = {"period": _validity(consent)}
    if len(consent.rules) == 1 and consent.rules[0].during is None:
        root |= {"type": consent.rules[0].effect, **_provision(consent.rules[0], "R4")}
    elif consent.rules:
        root["provision"] = [{"type": rule.effect, **_provision(rule, "R4")} for rule in consent.rules]
    found = {
        "scope": _concept("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy"),
        "patient": patient(consent.subject), "dateTime": instant(consent.signed_at),
        "performer": [_signer(consent, name_of)],
        "organization": [_signer(consent, name_of)] if consent.basis == "attested" else None,
        "sourceReference": _source(consent), "policy": [{"uri": marks.POLICY_OF[consent.base]}], "provision": root,
    }  # fmt: skip
    resource = {name: value for name, value in found.items() if value is not None}
    profile = _profile(consent) if consent.basis == "attested" else None
    if profile is not None:
        meta = {"versionId": consent.id, "lastUpdated": instant(consent.signed_at), "profile": [_PCF + profile]}
        resource["meta"] = meta
    return resource


def _profile(consent: Consent) -> str | None:
    """The narrowest of PCF's profiles that the R4 shape meets; None where it meets none."""
    if len(consent.rules) != 1 or consent.rules[0].during is not None:
        return None
    root = consent.rules[0]
    inside = root.exceptions or ()
    if root.obligations or any(rule.actions or rule.types for rule in (root, *inside)):
        return None
    labels = {label for rule in (root, *inside) for label in rule.labels or ()}
    if labels:
        return "Advanced" if labels <= _ADVANCED_LABELS else None
    basic = set(root.purposes or ()) <= _BASIC_PURPOSES and not inside and root.data_period is None
    return "Basic" if basic else "Intermediate"


def _r5(consent: Consent, name_of: NameOf) -> dict[str, Any]:
    decision: EffectName = consent.base or "deny"
    marked = consent.base is None or any(rule.effect == decision or _needs_marks(rule) for rule in consent.rules)
    provisions = []
    for rule in consent.rules:
        made = _provision(rule, "R5")
        if rule.effect != OPPOSITE[decision]:
            mark = {"url": marks.EFFECT, "valueCode": rule.effect}
            made["modifierExtension"] = [mark, *made.get("modifierExtension", [])]
        provisions.append(made)
    found = {
        "subject": patient(consent.subject), "date": instant(consent.signed_at)[:10], "period": _validity(consent),
        "grantor": [_signer(consent, name_of)], "sourceReference": [_source(consent)],
        "policyBasis": {"url": marks.POLICY_OF[consent.base]} if marked else None, "decision": decision,
        "provision": provisions or None,
    }  # fmt: skip
    return {name: value for name, value in found.items() if value is not None}


def _needs_marks(rule: WireRule) -> bool:
    """Whether a rule, or an exception of it, has obligations or names no dimension: HL7's reading has no place for that."""
    named = rule.model_dump(exclude_none=True).keys() - {"effect"}
    return bool(rule.obligations) or not named or any(_needs_marks(one) for one in rule.exceptions or ())


def _provision(rule: WireRule, release: str) -> dict[str, Any]:
    types = rule.types
    found = {
        "period": _period(rule.during), "actor": _each(rule.actors, _actor),
        "action": _each(rule.actions, lambda code: _concept("http://terminology.hl7.org/CodeSystem/consentaction", code)),
        "securityLabel": _each(rule.labels, _label),
        "purpose": _each(rule.purposes, lambda code: _coding(f"{_V3}ActReason", code)),
        TYPES[release]: _each(types, lambda code: _coding(_TYPE_SYSTEMS[release], code)),
        "dataPeriod": _data_period(rule),
        "modifierExtension": _each(rule.obligations, lambda text: {"url": marks.OBLIGATION, "valueString": text}),
        "provision": _each(rule.exceptions, lambda one: _exception(one, release)),
    }  # fmt: skip
    return {name: value for name, value in found.items() if value is not None}


def _exception(rule: WireRule, release: str) -> dict[str, Any]:
    made = _provision(rule, release)
    return {"type": rule.effect, **made} if release == "R4" else made


def _each(items: Iterable[Any] | None, make: Callable[[Any], Mapping[str, Any]]) -> list[Mapping[str, Any]] | None:
    return None if items is None else [make(one) for one in items]


def _actor(actor: Any) -> dict[str, Any]:
    return {"role": _concept(f"{_V3}ParticipationType", "IRCP"), "reference": of_actor(actor)}


def _label(text: str) -> dict[str, str]:
    system, bar, code = text.partition("|")
    if bar:
        return _coding(system, code)
    return _coding(f"{_V3}Confidentiality" if text in _CONFIDENTIALITY else f"{_V3}ActCode", text)


def _coding(system: str, code: str) -> dict[str, str]:
    return {"system": system, "code": code} if system else {"code": code}


def _concept(system: str, code: str) -> dict[str, Any]:
    return {"coding": [_coding(system, code)]}


def _validity(consent: Consent) -> dict[str, str]:
    found = _period(WirePeriod(start=consent.valid_from, end=consent.until))
    assert found is not None, "it begins"
    return found


def _data_period(rule: WireRule) -> dict[str, str] | None:
    """A permit for dated data alone, of any date, is told as since 1970: never more than it says."""
    if rule.data_period is None:
        return None
    return _period(rule.data_period) or ({"start": instant(0)} if rule.effect == "permit" else None)


def _period(period: WirePeriod | None) -> dict[str, str] | None:
    """FHIR's ends include what they name: the last millisecond before ours."""
    if period is None:
        return None
    found = {}
    if period.start is not None:
        found["start"] = instant(period.start)
    if period.end is not None and period.end <= _YEAR_10000:
        found["end"] = instant(period.end - 1)
    return found or None
