"""From a FHIR Consent, R4 or R5, to what a directive says. Nothing is guessed: what can't be computed is refused.

How provisions are read (HL7 FHIR R4 and R5, Consent, and the decision in protocol/decisions/0003-fhir-consent.md):

- R5: `decision` is the base; a provision negates it, a nested provision negates that one again.
- R4: `policyRule` OPTIN or OPTOUT is the base. A root provision with a `type` is one exception to it. One without is a
  frame: its period bounds the whole consent, its nested provisions are the exceptions. An untyped root that names
  anything else, or that nests nothing, can be read as a limit to the base or as an exception to it, with opposite
  results (HL7's own examples do both): it is refused.
- R4: a provision that permits under OPTIN can only be meant as a limit: what no provision permits is then not permitted.
  One that denies under OPTOUT is refused, as is an exception that says the same as what it is an exception to.
- Nothing is nested below exceptions to exceptions.

The custodian attests the result: who signed the paper, and that it was verified, is the custodian's to know.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from medsync_client.consents import DirectiveText, EffectName, WireRule
from medsync_protocol.rule import MAX_RULES

from medsync_node.fhir import codings, dates, marks
from medsync_node.fhir.provisions import ELEMENTS, OPPOSITE, FindRecipient, Provisions
from medsync_node.fhir.references import by_reference
from medsync_node.fhir.references import reference as reference_of
from medsync_node.fhir.refusal import NotComputed, too_many, unsupported

_BASES: Final[Mapping[str, EffectName]] = {
    "OPTIN": "permit", "OPTINR": "permit", "OPTOUT": "deny", "OPTOUTE": "deny",
}  # fmt: skip
_NO_CONSENTS: Final[Mapping[str, str]] = {
    "AuditEvent": "the log tells what happened here, or what a party wrote: `access:batch` takes halves of accesses",
    "Provenance": "it says who made a resource, not who may use data: name it as the evidence of a consent",
    "Permission": "its rules combine as it says itself, which no directive can: state them as a Consent",
}  # fmt: skip
"""Resources that are taken for consents, and what to do with them."""
_ANYWHERE: Final = frozenset({
    "resourceType", "id", "meta", "implicitRules", "language", "text", "contained", "extension", "modifierExtension",
    "identifier", "status", "category", "sourceAttachment", "sourceReference", "verification", "provision", "fhir_comments",
})  # fmt: skip
_KNOWN: Final = {
    "R4": _ANYWHERE | {"scope", "patient", "dateTime", "performer", "organization", "policy", "policyRule"},
    "R5": _ANYWHERE
    | {"subject", "date", "period", "grantor", "grantee", "manager", "controller", "regulatoryBasis", "policyBasis", "policyText"}
    | {"decision"},
}  # fmt: skip
"""A Consent's elements. Others are refused: a misspelt one would go unheard."""


def release_of(resource: Mapping[str, Any]) -> str:
    """ "R4" or "R5", by the elements that only one of them has. Raises Refused."""
    kind = resource.get("resourceType")
    if kind != "Consent":
        advice = _NO_CONSENTS.get(kind, "give a Consent resource as JSON") if isinstance(kind, str) else "give a resource"
        raise NotComputed("this is no FHIR Consent", element="resourceType", code="not_a_consent", advice=advice)
    r4 = bool({"scope", "patient", "policyRule", "policy"} & set(resource)) or isinstance(
        resource.get("provision"), dict
    )
    r5 = bool({"subject", "decision", "controller", "regulatoryBasis"} & set(resource)) or isinstance(resource.get("provision"), list)  # fmt: skip
    if r4 == r5:
        raise NotComputed(
            "the Consent is of neither FHIR R4 nor R5",
            element="", code="fhir_release",
            advice="convert it to one of them",
        )
    return "R4" if r4 else "R5"


def patient_reference(resource: Mapping[str, Any]) -> str:
    """Whose consent it is, as `Patient/id` or `system|value`, for the caller to find the pseudonym. Raises Refused."""
    element = "patient" if release_of(resource) == "R4" else "subject"
    named = resource.get(element)
    reference = reference_of(named, element)
    if isinstance(named, dict) and "reference" in named and "Patient" not in reference.split("/"):
        raise NotComputed(
            "the Consent's subject is no patient",
            element=element, code="no_patient",
            advice="only consents of patients are computed",
        )
    return reference


def directive_text(
    resource: Mapping[str, Any], *, subject: str, recipient: FindRecipient = by_reference, offset: int = 0
) -> DirectiveText:
    """What the Consent says. `subject`: pseudonym or card; `offset`: minutes east of UTC for dates without a time.

    Raises Refused, its code and advice saying why it can't be computed.
    """
    release = release_of(resource)
    reading = _Reading(recipient, offset)
    _check_frame(resource, release)
    patient_reference(resource)
    fields = reading.r4(resource) if release == "R4" else reading.r5(resource)
    given_in = "dateTime" if release == "R4" else "date"
    given = resource.get(given_in)
    if fields.get("valid_from") is None and given is not None:
        fields["valid_from"] = max(dates.interval(given, given_in, offset)[0], 0)
    return DirectiveText(subject=subject, evidence=_evidence(resource, release), **fields)


def _evidence(resource: Mapping[str, Any], release: str) -> str:
    """What ties a directive to the resource, without saying anything of it."""
    text = json.dumps(resource, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"FHIR {release} Consent sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _check_frame(resource: Mapping[str, Any], release: str) -> None:
    if resource.get("status") != "active":
        raise NotComputed(
            "the Consent is not active",
            element="status", code="status",
            advice="import active ones; revoke with `consent revoke`",
        )
    for element in sorted(set(resource) - _KNOWN[release]):
        if not (element.startswith("_") and element[1:] in _KNOWN[release]):
            raise NotComputed(
                f"{element} is no element of a Consent in {release}", element=element, code="unknown_element",
                advice="drop it, or correct its name",
            )  # fmt: skip
    for element in ("implicitRules", "modifierExtension"):
        if element in resource:
            raise unsupported(element)
    if release == "R4":
        scope = [code for _, code in codings.codings(resource.get("scope"), "scope")]
        if scope != ["patient-privacy"]:
            raise NotComputed(
                "the Consent's scope is not patient-privacy", element="scope", code="scope",
                advice="consents to treatment or research participation say nothing of data",
            )  # fmt: skip
    checks = resource.get("verification", [])
    if isinstance(checks, list) and any(isinstance(c, dict) and c.get("verified") is False for c in checks):
        raise NotComputed("the Consent was not verified", element="verification", code="not_verified", advice="verify it first")


@dataclass(frozen=True, slots=True)
class _Reading:
    """One Consent being read."""

    recipient: FindRecipient
    offset: int

    def r4(self, resource: Mapping[str, Any]) -> dict[str, Any]:
        root = resource.get("provision")
        if "policy" in resource:
            return self._r4_marked(_policy_uri(resource), root)
        if "policyRule" not in resource:
            raise _no_policy(resource)
        base = _base(resource["policyRule"])
        if root is None:
            return {"base": base, "rules": ()}
        provisions = Provisions("R4", self.recipient, self.offset)
        provisions.known(root, "provision")
        if "type" in root:
            return _r4_rules(base, [provisions.exception(root, "provision", base)])
        unsaid = sorted(ELEMENTS["R4"] & set(root) - {"period", "provision"})
        if unsaid or "provision" not in root:
            raise NotComputed(
                f"provision{''.join(f'.{one}' for one in unsaid[:1])} has no type: is it a limit to the policy rule, or "
                "an exception to it?", element="provision.type", code="no_type", advice="give provision.type: permit or deny",
            )  # fmt: skip
        nested = _bounded(root["provision"], "provision.provision")
        rules = [provisions.exception(one, f"provision.provision[{i}]", base) for i, one in enumerate(nested)]
        return {**_r4_rules(base, rules), **self._bounds(root.get("period"), "provision.period")}

    def _r4_marked(self, base: EffectName | None, root: Any) -> dict[str, Any]:
        """As this product writes them: the root is one rule within the consent's period, or a frame around several."""
        if root is None:
            return {"base": base, "rules": ()}
        provisions = Provisions("R4", self.recipient, self.offset, marked=True)
        provisions.known(root, "provision")
        bounds = self._bounds(root.get("period"), "provision.period")
        if "type" in root:
            only = {name: value for name, value in root.items() if name != "period"}
            return {"base": base, "rules": (provisions.exception(only, "provision", base or "deny"),), **bounds}
        unsaid = sorted(set(root) - {"period", "provision", "id", "extension"})
        if unsaid:
            raise NotComputed(
                f"provision.{unsaid[0]} stands in a frame", element=f"provision.{unsaid[0]}", code="no_type",
                advice="give provision.type: permit or deny",
            )  # fmt: skip
        nested = _bounded(root["provision"], "provision.provision") if "provision" in root else []
        rules = [provisions.exception(one, f"provision.provision[{i}]", base or "deny") for i, one in enumerate(nested)]
        return {"base": base, "rules": tuple(rules), **bounds}

    def r5(self, resource: Mapping[str, Any]) -> dict[str, Any]:
        base: Any = resource.get("decision")
        if base is None and "provision" not in resource:
            raise _narrative_only()
        if base not in OPPOSITE:
            raise NotComputed(
                "the Consent has no decision, so its provisions negate nothing", element="decision", code="no_decision",
                advice="give decision: permit or deny",
            )  # fmt: skip
        marked = "policyBasis" in resource
        stated = _policy_basis(resource, base) if marked else base
        provisions = Provisions("R5", self.recipient, self.offset, marked=marked)
        nested = _bounded(resource["provision"], "provision") if "provision" in resource else []
        rules = []
        for index, one in enumerate(nested):
            where = f"provision[{index}]"
            rules.append(provisions.rule(one, where, provisions.own_effect(one, where, base)))
        return {"base": stated, "rules": tuple(rules), **self._bounds(resource.get("period"), "period")}

    def _bounds(self, value: Any, where: str) -> dict[str, int | None]:
        if value is None:
            return {}
        bounds = dates.validity(value, where, self.offset)
        return {"valid_from": bounds.start, "until": bounds.end}


def _bounded(value: Any, where: str) -> list[Any]:
    """Provisions, not more than a directive has rules: told before any of them is read."""
    given = codings.listed(value, where)
    if len(given) > MAX_RULES:
        raise too_many(where, MAX_RULES)
    return given


def _r4_rules(base: EffectName, rules: list[WireRule]) -> dict[str, Any]:
    """Where provisions permit under an opt-in, they are all that is permitted."""
    limited = any(rule.effect == base for rule in rules)
    return {"base": None if limited else base, "rules": tuple(rules)}


def _policy_uri(resource: Mapping[str, Any]) -> EffectName | None:
    """The base decision that a policy of ours names. Raises NotComputed for any other policy."""
    named = [str(one.get("uri")) if isinstance(one, dict) else "" for one in codings.listed(resource["policy"], "policy")]
    if len(named) != 1 or named[0] not in marks.POLICIES or set(resource["policy"][0]) != {"uri"}:
        raise unsupported("policy", "a policy named by its address")
    if "policyRule" in resource:
        raise unsupported("policyRule", "a policy rule beside a policy")
    return marks.POLICIES[named[0]]


def _policy_basis(resource: Mapping[str, Any], decision: EffectName) -> EffectName | None:
    named = resource["policyBasis"]
    if not isinstance(named, dict) or set(named) != {"url"} or named["url"] not in marks.POLICIES:
        raise unsupported("policyBasis", "a policy named by its address")
    base = marks.POLICIES[named["url"]]
    if base not in (None, decision):
        raise unsupported("decision", "a decision other than that of the policy")
    return base


def _base(rule: Any) -> EffectName:
    known = {_BASES[code] for system, code in codings.codings(rule, "policyRule") if system in codings.POLICY_SYSTEMS and code in _BASES}  # fmt: skip
    if len(known) != 1:
        raise NotComputed(
            "policyRule is neither opt-in nor opt-out", element="policyRule", code="policy_rule",
            advice="use OPTIN or OPTOUT of v3-ActCode, and provisions for the rest",
        )  # fmt: skip
    return known.pop()


def _no_policy(resource: Mapping[str, Any]) -> NotComputed:
    if "provision" in resource:
        return NotComputed(
            "the Consent has no policyRule, so its provisions are exceptions to nothing", element="policyRule", code="policy_rule",
            advice="give policyRule: OPTIN or OPTOUT",
        )  # fmt: skip
    return _narrative_only()


def _narrative_only() -> NotComputed:
    return NotComputed(
        "the Consent is text for people only: no base and no provision", element="", code="narrative_only",
        advice="state it as rules, or keep the paper and attest a directive of your own",
    )  # fmt: skip
