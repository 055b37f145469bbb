"""Codes of FHIR Consent provisions as a rule's: purposes, actions, resource types, labels. Unknown ones are refused."""

from __future__ import annotations

from typing import Any, Final

from medsync_node.fhir.refusal import NotComputed
from medsync_protocol.purposes import is_known
from medsync_protocol.rule import ACTIONS, MAX_CODE

_V3: Final = "http://terminology.hl7.org/CodeSystem/v3-"
_OLD_V3: Final = "http://hl7.org/fhir/v3/"  # as STU3 wrote them; seen in converted resources

PURPOSE_SYSTEMS: Final = frozenset(
    {f"{_V3}ActReason", f"{_OLD_V3}ActReason", "urn:oid:2.16.840.1.113883.5.8"}
)
ACTION_SYSTEMS: Final = frozenset(
    {"http://terminology.hl7.org/CodeSystem/consentaction", "http://hl7.org/fhir/consentaction"}
)
TYPE_SYSTEMS: Final = frozenset({"http://hl7.org/fhir/resource-types", "http://hl7.org/fhir/fhir-types"})
LABEL_SYSTEMS: Final = frozenset(
    {f"{_V3}Confidentiality", f"{_V3}ActCode", f"{_OLD_V3}Confidentiality", f"{_OLD_V3}ActCode"}
)
"""Systems whose codes stand for themselves in labels; others are written system|code."""
POLICY_SYSTEMS: Final = frozenset({f"{_V3}ActCode", f"{_OLD_V3}ActCode"})
ROLE_SYSTEMS: Final = frozenset({f"{_V3}ParticipationType", f"{_OLD_V3}ParticipationType"})
RECIPIENT_ROLES: Final = frozenset({"PRCP", "IRCP"})
"""v3 ParticipationType: (primary) information recipient. Other roles (custodian, author…) don't say who receives."""


def listed(value: Any, where: str) -> list[Any]:
    """A non-empty FHIR list. Raises Refused."""
    if not isinstance(value, list) or not value:
        raise NotComputed(
            f"{where} is an empty list, or none", element=where, code="empty_list", advice="leave it out to mean any"
        )
    return value


def _coding(value: Any, where: str) -> tuple[str, str]:
    if not isinstance(value, dict) or not isinstance(value.get("code"), str) or not value["code"]:
        raise NotComputed(
            f"{where} has no code", element=where, code="no_code", advice="a text alone can't be computed: code it"
        )
    system = value.get("system", "")
    return (system if isinstance(system, str) else ""), value["code"]


def codings(concept: Any, where: str) -> list[tuple[str, str]]:
    """(system, code) of a CodeableConcept, which has one at least. Raises Refused."""
    if not isinstance(concept, dict) or "coding" not in concept:
        raise NotComputed(
            f"{where} has no code", element=where, code="no_code", advice="a text alone can't be computed: code it"
        )
    return [_coding(one, where) for one in listed(concept["coding"], where)]


def purposes(value: Any, where: str) -> tuple[str, ...]:
    """HL7 purposes of use."""
    found = []
    for one in listed(value, where):
        system, code = _coding(one, where)
        if system not in PURPOSE_SYSTEMS or not is_known(code):
            raise NotComputed(
                f"{where}: {code!r} is no purpose of use that this version knows", element=where, code="unknown_purpose",
                advice="use a code of HL7's PurposeOfUse (v3-ActReason)",
            )  # fmt: skip
        found.append(code)
    return _once(found)


def actions(value: Any, where: str) -> tuple[str, ...]:
    """HL7 consent actions."""
    found = []
    for concept in listed(value, where):
        codes = [
            code for system, code in codings(concept, where) if system in ACTION_SYSTEMS and code in ACTIONS
        ]
        if not codes:
            raise NotComputed(
                f"{where} names an action that this version doesn't know", element=where, code="unknown_action",
                advice=f"use one of {sorted(ACTIONS)}",
            )  # fmt: skip
        found += codes
    return _once(found)


def resource_types(value: Any, where: str) -> tuple[str, ...]:
    """FHIR resource types."""
    found = []
    for one in listed(value, where):
        system, code = _coding(one, where)
        if system not in TYPE_SYSTEMS:
            raise NotComputed(
                f"{where} names content that is no FHIR resource type", element=where, code="content_class",
                advice="only resource types can be computed: say which types are meant",
            )  # fmt: skip
        found.append(code)
    return _once(found)


def labels(value: Any, where: str) -> tuple[str, ...]:
    """Security labels: an HL7 v3 code by itself, another one with its system."""
    found = []
    for one in listed(value, where):
        system, code = _coding(one, where)
        text = code if system in LABEL_SYSTEMS else f"{system}|{code}"
        if len(text) > MAX_CODE:
            raise NotComputed(f"{where} is too long", element=where, code="too_many", advice=f"at most {MAX_CODE} characters")
        found.append(text)
    return _once(found)


def _once(codes: list[str]) -> tuple[str, ...]:
    return tuple(sorted(set(codes)))
