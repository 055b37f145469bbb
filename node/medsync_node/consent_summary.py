"""A consent as a record in the style of ISO/IEC TS 27560, as JSON-LD with terms of the W3C Data Privacy Vocabulary.

Purposes keep HL7's codes, by their address: DPV has no equal for them. What DPV can't say (exceptions, labels, periods of
data) stands in `medsync:rule`, whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from medsync_client.consents import Consent, WireActor, WireRule

from medsync_node.fhir.export import instant

CONFORMS: Final = "https://w3id.org/dpv/schema/iso-27560#record"
_CONTEXT: Final = {
    "dpv": "https://w3id.org/dpv#", "dct": "http://purl.org/dc/terms/", "xsd": "http://www.w3.org/2001/XMLSchema#",
    "medsync": "urn:medsync:term:",
}  # fmt: skip
_PURPOSES: Final = "http://terminology.hl7.org/CodeSystem/v3-ActReason#"
_TYPES: Final = "http://hl7.org/fhir/fhir-types#"
_PROCESSING: Final = {
    "collect": "dpv:Collect", "access": "dpv:Access", "use": "dpv:Use", "disclose": "dpv:Disclose", "correct": "dpv:Alter",
}  # fmt: skip


def summary(consent: Consent, custodians: tuple[str, ...], name_of: Callable[[str], str]) -> dict[str, Any]:
    """`custodians`: members in hex, the controllers; `name_of`: a member's name by its id."""
    record: dict[str, Any] = {
        "@context": _CONTEXT, "@id": f"urn:medsync:directive:{consent.id}", "@type": "dpv:ConsentRecord",
        "dct:identifier": consent.id, "dct:conformsTo": CONFORMS, "dct:created": _time(consent.signed_at),
        "dpv:hasDataSubject": {"@id": f"urn:medsync:subject:{consent.subject}", "@type": "dpv:Patient"},
        "dpv:hasDataController": [_party(member, name_of) for member in custodians],
        "dpv:hasConsentStatus": _status(consent),
        "dpv:isIndicatedBy": f"urn:medsync:key:{consent.signer}",
        "medsync:basis": consent.basis, "medsync:baseDecision": consent.base or "none",
        "medsync:validFrom": _time(consent.valid_from),
        "dpv:hasProcess": [_process(rule, name_of) for rule in consent.rules],
    }  # fmt: skip
    if consent.until is not None:
        record["medsync:validUntil"] = _time(consent.until)
    if consent.supersedes:
        record["dct:replaces"] = [{"@id": f"urn:medsync:directive:{one}"} for one in consent.supersedes]
    if consent.evidence:
        record["dct:source"] = consent.evidence
    return record


def _status(consent: Consent) -> str:
    """Where a consent stands; one that only denies was never consent to anything: it is refused."""
    if consent.reason == "revoked":
        return "dpv:ConsentWithdrawn"
    if consent.status == "expired":
        return "dpv:ConsentExpired"
    if consent.reason:
        return "dpv:ConsentInvalidated"
    permits = consent.base == "permit" or any(rule.effect == "permit" or rule.exceptions for rule in consent.rules)
    return "dpv:ConsentGiven" if permits else "dpv:ConsentRefused"


def _process(rule: WireRule, name_of: Callable[[str], str]) -> dict[str, Any]:
    found: dict[str, Any] = {"@type": "dpv:Process", "medsync:effect": rule.effect}
    if rule.purposes is not None:
        found["dpv:hasPurpose"] = [{"@id": _PURPOSES + code, "@type": "dpv:Purpose"} for code in rule.purposes]
    if rule.actors is not None:
        found["dpv:hasRecipient"] = [_recipient(actor, name_of) for actor in rule.actors]
    if rule.actions is not None:
        found["dpv:hasProcessing"] = [_PROCESSING[code] for code in rule.actions]
    if rule.types is not None:
        found["dpv:hasPersonalData"] = [{"@id": _TYPES + code, "@type": "dpv:PersonalData"} for code in rule.types]
    if rule.obligations is not None:
        found["dpv:hasObligation"] = list(rule.obligations)
    found["medsync:rule"] = {"@type": "@json", "@value": rule.model_dump(mode="json", exclude_none=True)}
    return found


def _recipient(actor: WireActor, name_of: Callable[[str], str]) -> dict[str, Any]:
    if actor.group is not None:
        return {"@id": f"urn:medsync:group:{actor.group}", "@type": "dpv:Recipient"}
    found = {**_party(actor.member or "", name_of), "@type": "dpv:Recipient"}
    within = {"medsync:unit": actor.unit, "medsync:user": actor.user}
    return found | {name: value for name, value in within.items() if value is not None}


def _party(member: str, name_of: Callable[[str], str]) -> dict[str, Any]:
    found = {"@id": f"urn:medsync:member:{member}"}
    return {**found, "dct:title": name_of(member)} if name_of(member) else found


def _time(millis: int) -> dict[str, str]:
    return {"@type": "xsd:dateTime", "@value": instant(millis)}
