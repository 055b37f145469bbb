"""The Parameters of `$decide`, in and out: what is asked, and the decision with its obligations and receipt."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Final

from medsync_client.accesses import AccessAnswer, AccessRequest, Ended

from medsync_node.fhir import codings, dates, references
from medsync_node.fhir.export import instant
from medsync_node.fhir.refusal import NotComputed

_ONCE: Final = frozenset({"patient", "custodian", "action", "dataPeriod", "unit", "user"})
_REPEATED: Final = frozenset({"purpose", "type", "label"})
MAX_PARAMETERS: Final = 256  # of one question: a request has at most 64 of each list


def question(resource: Mapping[str, Any]) -> AccessRequest:
    """What a Parameters resource asks. Raises NotComputed."""
    found = _read(resource)
    if "patient" not in found:
        raise NotComputed("nobody is named", element="parameter", code="no_patient", advice="give patient as valueReference")
    if "purpose" not in found:
        raise NotComputed("no purpose is named", element="parameter", code="empty_list", advice="give purpose as valueCoding")
    patient = references.subject_of(_named(*found["patient"][0]))
    purposes = tuple(code for one in found["purpose"] for code in codings.purposes([_coding(*one)], one[1]))
    period = found.get("dataPeriod")
    labels = [code for one in found.get("label", ()) for code in codings.labels([_coding(*one)], one[1])]
    return AccessRequest(
        subject=patient, purposes=purposes,
        custodian=_custodian(found), action=_text(found, "action") or "access",
        types=tuple(_string(*one) for one in found["type"]) if "type" in found else None,
        labels=tuple(labels) if labels else None,
        data_period=None if period is None else dates.of_data(period[0][0].get("valuePeriod"), period[0][1], 0, permit=False),
        unit=_text(found, "unit"), user=_text(found, "user"),
    )  # fmt: skip


def _read(resource: Mapping[str, Any]) -> dict[str, list[tuple[dict[str, Any], str]]]:
    """Parameters by name, each with its place."""
    given = codings.listed(resource.get("parameter"), "parameter")
    if len(given) > MAX_PARAMETERS:
        raise NotComputed("too many parameters", element="parameter", code="too_many", advice=f"at most {MAX_PARAMETERS}")
    found: dict[str, list[tuple[dict[str, Any], str]]] = {}
    for index, one in enumerate(given):
        where = f"parameter[{index}]"
        name = one.get("name") if isinstance(one, dict) else None
        if name not in _ONCE | _REPEATED:
            raise NotComputed(
                f"{where} is none that $decide takes", element=where, code="unknown_parameter",
                advice=f"use {', '.join(sorted(_ONCE | _REPEATED))}",
            )  # fmt: skip
        if name in _ONCE and name in found:
            raise NotComputed(f"{where} repeats {name}", element=where, code="unknown_parameter", advice="give it once")
        found.setdefault(name, []).append((one, where))
    return found


def _named(one: Mapping[str, Any], where: str) -> str:
    if isinstance(one.get("valueString"), str):
        return str(one["valueString"])
    return references.reference(one.get("valueReference"), where)


def _custodian(found: Mapping[str, list[tuple[dict[str, Any], str]]]) -> str | None:
    if "custodian" not in found:
        return None
    one, where = found["custodian"][0]
    if isinstance(one.get("valueString"), str):
        return str(one["valueString"])
    return references.recipient(references.reference(one.get("valueReference"), where)).member


def _coding(one: Mapping[str, Any], where: str) -> dict[str, Any]:
    value = one.get("valueCoding")
    if isinstance(value, dict):
        return value
    return {"system": next(iter(sorted(codings.PURPOSE_SYSTEMS))), "code": one.get("valueCode")}


def _string(one: Mapping[str, Any], where: str) -> str:
    value = one.get("valueCode", one.get("valueString"))
    if not isinstance(value, str):
        raise NotComputed(f"{where} has no valueCode", element=where, code="no_code", advice="give valueCode")
    return value


def _text(found: Mapping[str, list[tuple[dict[str, Any], str]]], name: str) -> str | None:
    return _string(*found[name][0]) if name in found else None


def answer(answered: AccessAnswer, consents: Mapping[str, str], event: str | None) -> dict[str, Any]:
    """The Parameters of an answer. `consents`: directive id → its resource's; `event`: the AuditEvent of the asker's half."""
    named = sorted({consents.get(rule.split(":")[0], rule.split(":")[0]) for rule in answered.rules})
    found: list[dict[str, Any]] = [
        {"name": "decision", "valueCode": "permit" if answered.answer == "PERMIT" else "deny"},
        {"name": "answer", "valueCode": answered.answer},
        *({"name": "obligation", "valueString": text} for text in answered.obligations),
        *({"name": "consent", "valueReference": {"reference": f"Consent/{one}"}} for one in named),
        *(_ended(one, consents.get(one.consent, one.consent)) for one in answered.ended),
        {"name": "custodian", "valueReference": references.organisation(answered.custodian)},
        {"name": "time", "valueInstant": instant(answered.time)},
    ]
    if answered.reason:
        found.append({"name": "reason", "valueString": answered.reason})
    if answered.receipt is not None and answered.receipt_id is not None:
        found.append({"name": "receiptId", "valueString": answered.receipt_id})
        found.append({"name": "receipt", "valueBase64Binary": b64encode(bytes.fromhex(answered.receipt)).decode()})
    if event is not None:
        found.append({"name": "auditEvent", "valueReference": {"reference": f"AuditEvent/{event}"}})
    return {"resourceType": "Parameters", "parameter": found}


def _ended(one: Ended, resource: str) -> dict[str, Any]:
    return {"name": "ended", "part": [
        {"name": "consent", "valueReference": {"reference": f"Consent/{resource}"}}, {"name": "why", "valueCode": one.why},
        {"name": "by", "valueString": one.document}, {"name": "signed", "valueInstant": instant(one.signed_at)},
    ]}  # fmt: skip
