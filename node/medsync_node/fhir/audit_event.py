"""Entries of the access log as FHIR AuditEvents, R4 in the shapes of IHE BALP and R5.

A custodian's half is a PrivacyDisclosure at its source, a requester's at its recipient, a receipt an AuthZconsent, a look
at the log a PatientRead. Source of the shapes: IHE ITI BALP 1.1.3. Members are named as organisations, by identifier;
their network address is that name too: the log knows no others.
"""

from __future__ import annotations

from base64 import b32decode, b32encode
from binascii import Error as Base32Error
from dataclasses import dataclass
from typing import Any, Final

from medsync_client.accesses import AccessRow, AnswerName

from medsync_node.fhir import marks
from medsync_node.fhir.export import instant
from medsync_node.fhir.references import of_actor, organisation, patient
from medsync_client.consents import WireActor

_DCM: Final = "http://dicom.nema.org/resources/ontology/DCM"
_THO: Final = "http://terminology.hl7.org/CodeSystem/"
_BALP: Final = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."
_AUTHZ: Final = "https://profiles.ihe.net/ITI/BALP/CodeSystem/AuthZsubType"
_ID_BYTES: Final = 32
INDEX_BITS: Final = 12  # PROTOCOL §2: an operation has at most 4,096 entries
_PLACE_DIGITS: Final = 11  # what is left of a FHIR id's 64 characters: 2**32 operations of a chain

Coding = tuple[str, str, str]
_EXPORT: Final = (_DCM, "110106", "Export")
_IMPORT: Final = (_DCM, "110107", "Import")
_ALERT: Final = (_DCM, "110113", "Security Alert")
_OVERRIDE: Final = (_DCM, "110127", "Emergency Override Started")
_REST: Final = (f"{_THO}audit-event-type", "rest", "Restful Operation")
_READ: Final = ("http://hl7.org/fhir/restful-interaction", "read", "read")
_DISCLOSE: Final = (f"{_THO}iso-21089-lifecycle", "disclose", "Disclose Record Lifecycle Event")
_DECIDED: Final = (_AUTHZ, "AuthZ-Consent", "Authorization Decision using Roles and Consent")
_SOURCE: Final = (_DCM, "110153", "Source Role ID")
_DESTINATION: Final = (_DCM, "110152", "Destination Role ID")
_APPLICATION: Final = (_DCM, "110150", "Application")
_RECIPIENT: Final = (f"{_THO}v3-ParticipationType", "IRCP", "information recipient")
_PROVIDER: Final = (f"{_THO}v3-RoleClass", "PROV", "healthcare provider")
_AUTHSERVER: Final = (f"{_THO}extra-security-role-type", "authserver", "authorization server")
_PERSON: Final = (f"{_THO}audit-entity-type", "1", "Person")
_OBJECT: Final = (f"{_THO}audit-entity-type", "2", "System Object")
_PATIENT_ROLE: Final = (f"{_THO}object-role", "1", "Patient")
_DOMAIN: Final = (f"{_THO}object-role", "4", "Domain Resource")
_CONSENT: Final = ("http://hl7.org/fhir/resource-types", "Consent", "Consent")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A receipt of the log, as an AuthZconsent needs it. Ids in hex; `user` and `unit` None where none was named."""

    op: str
    seq: int
    index: int
    subject: str
    requester: str
    requester_name: str
    unit: str | None
    user: str | None
    custodian: str
    custodian_name: str
    purposes: tuple[str, ...]
    outcome: AnswerName
    reason: str
    consents: tuple[str, ...]
    receipt: str
    time: int


def event_id(op: str, seq: int, index: int) -> str:
    """The resource's id: of an operation by its id in hex, its place in its chain and the entry's in it. 64 characters at most.

    The place is in it so that an event is found without an index of operations by their ids.
    """
    return f"{b32encode(bytes.fromhex(op)).decode().rstrip('=').lower()}.{seq << INDEX_BITS | index:x}"


def place_of(id_: str) -> tuple[bytes, int, int] | None:
    """(operation id, its seq, entry) of a resource's id; None for what is none of ours."""
    text, dot, place = id_.partition(".")
    if not dot or len(place) > _PLACE_DIGITS:
        return None
    try:
        op, number = b32decode(text.upper() + "=" * (-len(text) % 8)), int(place, 16)
    except (Base32Error, ValueError):
        return None
    if len(op) != _ID_BYTES or number < 0:
        return None
    seq, index = number >> INDEX_BITS, number & (1 << INDEX_BITS) - 1
    return (op, seq, index) if event_id(op.hex(), seq, index) == id_ else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Event:
    """What both releases say, each in its own elements."""

    id: str
    profile: str | None
    type: Coding
    subtype: Coding
    action: str
    time: int
    outcome: AnswerName
    reason: str
    purposes: tuple[str, ...]
    subject: str
    observer: dict[str, Any]
    agents: tuple[tuple[Coding, dict[str, Any], bool, str | None], ...]
    entities: tuple[tuple[Coding, Coding | None, dict[str, Any]], ...]


def access_event(row: AccessRow, seq: int, release: str) -> dict[str, Any]:
    """One half of an access; `seq` of its operation."""
    requester = organisation(row.requester, row.requester_name)
    custodian = organisation(row.custodian, row.custodian_name)
    user = (_RECIPIENT, _user(row), True, None)
    common: dict[str, Any] = {
        "id": event_id(row.op, seq, row.index), "time": row.time, "outcome": row.outcome, "purposes": row.purposes,
        "subject": row.subject,
    }  # fmt: skip
    data = (_OBJECT, _DOMAIN, _object("receipt" if row.receipt else "access", row.receipt or row.match))
    flow = ((_SOURCE, custodian, False, row.custodian), (_DESTINATION, requester, False, row.requester), user)
    match row.half:
        case "disclosed":
            event = _Event(
                **common, profile="PrivacyDisclosure.Source", type=_EXPORT, subtype=_DISCLOSE, action="R",
                observer=custodian, agents=flow, entities=(data,), reason="",
            )  # fmt: skip
        case "requested" if row.outcome == "PERMIT":
            event = _Event(
                **common, profile="PrivacyDisclosure.Recipient", type=_IMPORT, subtype=_DISCLOSE, action="C",
                observer=requester, agents=flow, entities=(data,), reason="",
            )  # fmt: skip
        case "refused" | "requested":
            event = _Event(
                **common, profile=None, type=_ALERT, subtype=_DECIDED, action="E",
                observer=custodian if row.half == "refused" else requester, agents=flow, entities=(data,), reason=row.outcome,
            )  # fmt: skip
        case "break-glass":
            event = _Event(
                **common, profile=None, type=_ALERT, subtype=_OVERRIDE, action="E", observer=requester, agents=flow,
                entities=(data,), reason="",
            )  # fmt: skip
        case "log-read":
            here = ((_DESTINATION, requester, False, row.requester), (_SOURCE, requester, False, row.requester), user)
            event = _Event(
                **common, profile="PatientRead", type=_REST, subtype=_READ, action="R", observer=requester,
                agents=here, entities=((_OBJECT, _DOMAIN, {"display": "AuditEvents of the patient"}),), reason="",
            )  # fmt: skip
    return (_r4 if release == "R4" else _r5)(event)


def decision_event(decided: Decided, release: str) -> dict[str, Any]:
    """A decision, with the consents that made it. One that rests on none claims no profile: AuthZconsent wants one."""
    requester = organisation(decided.requester, decided.requester_name)
    custodian = organisation(decided.custodian, decided.custodian_name)
    consents = tuple((_CONSENT, None, {"reference": f"Consent/{one}"}) for one in decided.consents)
    event = _Event(
        id=event_id(decided.op, decided.seq, decided.index), profile="AuthZconsent" if consents else None, type=_ALERT,
        subtype=_DECIDED, action="E", time=decided.time, outcome=decided.outcome,
        reason="" if decided.outcome == "PERMIT" else f"{decided.outcome}: {decided.reason}".rstrip(": "),
        purposes=decided.purposes, subject=decided.subject, observer=custodian,
        agents=(
            (_AUTHSERVER, custodian, False, None), (_APPLICATION, requester, False, decided.requester),
            (_RECIPIENT, _user(decided), True, None), (_PROVIDER, requester, False, None),
        ),
        entities=consents or ((_OBJECT, _DOMAIN, _object("receipt", decided.receipt)),),
    )  # fmt: skip
    return (_r4 if release == "R4" else _r5)(event)


def _user(row: AccessRow | Decided) -> dict[str, Any]:
    return of_actor(WireActor(member=row.requester, unit=row.unit, user=row.user))


def _object(kind: str, value: str) -> dict[str, Any]:
    return {"identifier": {"system": f"urn:medsync:{kind}", "value": value}}


def _coding(coding: Coding) -> dict[str, str]:
    system, code, display = coding
    return {"system": system, "code": code, "display": display}


def _purposes(codes: tuple[str, ...]) -> list[dict[str, Any]]:
    return [{"coding": [{"system": f"{_THO}v3-ActReason", "code": code}]} for code in codes]


def _meta(event: _Event, *, profiled: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"lastUpdated": instant(event.time)}
    return found | ({"profile": [_BALP + event.profile]} if profiled and event.profile else {})


def _outcome(event: _Event) -> str:
    """HL7's audit-event-outcome: 0 success, 4 minor failure (no answer could be given), 8 serious failure (refused)."""
    return {"PERMIT": "0", "INDETERMINATE": "4"}.get(event.outcome, "8")


def _r4(event: _Event) -> dict[str, Any]:
    agents = []
    for type_, who, requestor, address in event.agents:
        agent: dict[str, Any] = {"type": {"coding": [_coding(type_)]}, "who": who, "requestor": requestor}
        if address is not None:
            agent["network"] = {"address": f"{marks.MEMBER}:{address}", "type": "5"}
        agents.append(agent)
    person = {"type": _coding(_PERSON), "role": _coding(_PATIENT_ROLE), "what": patient(event.subject)}
    others = [
        {"type": _coding(type_), "what": what, **({} if role is None else {"role": _coding(role)})}
        for type_, role, what in event.entities
    ]
    found: dict[str, Any] = {
        "resourceType": "AuditEvent", "id": event.id, "meta": _meta(event, profiled=True), "type": _coding(event.type),
        "subtype": [_coding(event.subtype)], "action": event.action, "recorded": instant(event.time),
        "outcome": _outcome(event), "purposeOfEvent": _purposes(event.purposes), "agent": agents,
        "source": {
            "observer": event.observer,
            "type": [{"system": f"{_THO}security-source-type", "code": "4", "display": "Application Server"}],
        },
        "entity": [person, *others],
    }  # fmt: skip
    return {**found, "outcomeDesc": event.reason} if event.reason else found


def _r5(event: _Event) -> dict[str, Any]:
    agents = []
    for type_, who, requestor, address in event.agents:
        agent: dict[str, Any] = {"type": {"coding": [_coding(type_)]}, "who": who, "requestor": requestor}
        if address is not None:
            agent["networkUri"] = f"{marks.MEMBER}:{address}"
        agents.append(agent)
    code = _outcome(event)
    outcome: dict[str, Any] = {"code": {"system": f"{_THO}audit-event-outcome", "code": code}}
    if event.reason:
        outcome["detail"] = [{"text": event.reason}]
    return {
        "resourceType": "AuditEvent", "id": event.id, "meta": _meta(event, profiled=False),
        "category": [{"coding": [_coding(event.type)]}], "code": {"coding": [_coding(event.subtype)]},
        "action": event.action, "severity": "informational" if code == "0" else "warning",
        "recorded": instant(event.time), "outcome": outcome, "authorization": _purposes(event.purposes),
        "agent": agents, "patient": patient(event.subject),
        "source": {
            "observer": event.observer,
            "type": [{"coding": [{"system": f"{_THO}security-source-type", "code": "4", "display": "Application Server"}]}],
        },
        "entity": [
            {"what": patient(event.subject), "role": {"coding": [_coding(_PATIENT_ROLE)]}},
            *({"what": what, **({} if role is None else {"role": {"coding": [_coding(role)]}})} for _, role, what in event.entities),
        ],
    }  # fmt: skip
