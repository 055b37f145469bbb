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
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from medsync_client.consents import DirectiveText, EffectName, WireActor, WirePeriod, WireRule
from medsync_protocol.errors import Refused
from medsync_protocol.rule import MAX_EXCEPTIONS, MAX_RULES

from medsync_node.fhir import codings, dates

FindRecipient = Callable[[str], WireActor]
"""A provision's actor, as `Type/id` or `system|value`, as a recipient. Raises Refused for one it doesn't know."""

_BASES: Final[Mapping[str, EffectName]] = {
    "OPTIN": "permit", "OPTINR": "permit", "OPTOUT": "deny", "OPTOUTE": "deny",
}  # fmt: skip
_OPPOSITE: Final[Mapping[EffectName, EffectName]] = {"permit": "deny", "deny": "permit"}
_PASSED_OVER: Final = frozenset({"id", "extension"})
_UNSUPPORTED: Final[Mapping[str, str]] = {
    "code": "clinical codes", "data": "single resources", "documentType": "document types", "expression": "an expression",
}  # fmt: skip
_COMMON: Final = frozenset(
    {"period", "actor", "action", "securityLabel", "purpose", "dataPeriod", "provision"}
)
_ELEMENTS: Final = {"R4": _COMMON | {"type", "class"}, "R5": _COMMON | {"resourceType"}}
_TYPES: Final = {"R4": "class", "R5": "resourceType"}


def release_of(resource: Mapping[str, Any]) -> str:
    """ "R4" or "R5", by the elements that only one of them has. Raises Refused."""
    if resource.get("resourceType") != "Consent":
        raise Refused(
            "this is no FHIR Consent", code="not_a_consent", advice="give a Consent resource as JSON"
        )
    r4 = bool({"scope", "patient", "policyRule", "policy"} & set(resource)) or isinstance(
        resource.get("provision"), dict
    )
    r5 = bool({"subject", "decision", "controller", "regulatoryBasis"} & set(resource)) or isinstance(resource.get("provision"), list)  # fmt: skip
    if r4 == r5:
        raise Refused(
            "the Consent is of neither FHIR R4 nor R5",
            code="fhir_release",
            advice="convert it to one of them",
        )
    return "R4" if r4 else "R5"


def patient_reference(resource: Mapping[str, Any]) -> str:
    """Whose consent it is, as `Patient/id` or `system|value`, for the caller to find the pseudonym. Raises Refused."""
    named = resource.get("patient" if release_of(resource) == "R4" else "subject")
    reference = _reference(named, "the patient")
    if isinstance(named, dict) and "reference" in named and "Patient" not in reference.split("/"):
        raise Refused(
            "the Consent's subject is no patient",
            code="no_patient",
            advice="only consents of patients are computed",
        )
    return reference


def by_reference(reference: str) -> WireActor:
    """An organisation named by its reference: whoever takes the text resolves the name. Raises Refused for others."""
    if not reference.startswith("Organization/"):
        raise Refused(
            "an actor is no organisation", code="actor",
            advice="say which member, unit or user it is, as in --actor Practitioner/f204=city:cardiology",
        )  # fmt: skip
    return WireActor(member=reference)


def directive_text(
    resource: Mapping[str, Any], *, subject: str, recipient: FindRecipient = by_reference, offset: int = 0
) -> DirectiveText:
    """What the Consent says. `subject`: pseudonym or card; `offset`: minutes east of UTC for dates without a time.

    Raises Refused, its code and advice saying why it can't be computed.
    """
    release = release_of(resource)
    reading = _Reading(release, recipient, offset)
    _check_frame(resource, release)
    patient_reference(resource)
    fields = reading.r4(resource) if release == "R4" else reading.r5(resource)
    given = resource.get("dateTime" if release == "R4" else "date")
    if fields.get("valid_from") is None and given is not None:
        fields["valid_from"] = max(dates.interval(given, "the date of the Consent", offset)[0], 0)
    if len(fields["rules"]) > MAX_RULES:
        raise Refused(
            "too many provisions", code="too_many", advice=f"split the Consent: at most {MAX_RULES}"
        )
    return DirectiveText(subject=subject, evidence=_evidence(resource, release), **fields)


def _evidence(resource: Mapping[str, Any], release: str) -> str:
    """What ties a directive to the resource, without saying anything of it."""
    text = json.dumps(resource, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"FHIR {release} Consent sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _check_frame(resource: Mapping[str, Any], release: str) -> None:
    if resource.get("status") != "active":
        raise Refused(
            "the Consent is not active",
            code="status",
            advice="import active ones; revoke with `consent revoke`",
        )
    for element in ("implicitRules", "modifierExtension"):
        if element in resource:
            raise _unsupported(element)
    if release == "R4":
        scope = [code for _, code in codings.codings(resource.get("scope"), "scope")]
        if scope != ["patient-privacy"]:
            raise Refused(
                "the Consent's scope is not patient-privacy", code="scope",
                advice="consents to treatment or research participation say nothing of data",
            )  # fmt: skip
    checks = resource.get("verification", [])
    if isinstance(checks, list) and any(isinstance(c, dict) and c.get("verified") is False for c in checks):
        raise Refused("the Consent was not verified", code="not_verified", advice="verify it first")


def _unsupported(what: str) -> Refused:
    return Refused(
        f"{what} can't be computed",
        code="unsupported",
        advice="state the rule without it, or keep it on paper",
    )


@dataclass(frozen=True, slots=True)
class _Reading:
    """One Consent being read."""

    release: str
    recipient: FindRecipient
    offset: int

    def r4(self, resource: Mapping[str, Any]) -> dict[str, Any]:
        root = resource.get("provision")
        if "policyRule" not in resource:
            raise _no_policy(resource)
        if "policy" in resource:
            raise _unsupported("a policy named by its address")
        base = _base(resource["policyRule"])
        if root is None:
            return {"base": base, "rules": ()}
        self._known(root, "provision")
        if "type" in root:
            return self._r4_rules(base, [self._exception(root, "provision", base)])
        unsaid = sorted(_ELEMENTS["R4"] & set(root) - {"period", "provision"})
        if unsaid or "provision" not in root:
            raise Refused(
                f"provision{''.join(f'.{one}' for one in unsaid[:1])} has no type: is it a limit to the policy rule, or "
                "an exception to it?", code="no_type", advice="give provision.type: permit or deny",
            )  # fmt: skip
        nested = codings.listed(root["provision"], "provision.provision")
        rules = [self._exception(one, f"provision.provision[{i}]", base) for i, one in enumerate(nested)]
        return {**self._r4_rules(base, rules), **self._bounds(root.get("period"), "provision.period")}

    @staticmethod
    def _r4_rules(base: EffectName, rules: list[WireRule]) -> dict[str, Any]:
        """Where provisions permit under an opt-in, they are all that is permitted."""
        limited = any(rule.effect == base for rule in rules)
        return {"base": None if limited else base, "rules": tuple(rules)}

    def r5(self, resource: Mapping[str, Any]) -> dict[str, Any]:
        base = resource.get("decision")
        if base is None and "provision" not in resource:
            raise _narrative_only()
        if base not in _OPPOSITE:
            raise Refused(
                "the Consent has no decision, so its provisions negate nothing", code="no_decision",
                advice="give decision: permit or deny",
            )  # fmt: skip
        if "policyBasis" in resource:
            raise _unsupported("a policy named by its address")
        nested = codings.listed(resource["provision"], "provision") if "provision" in resource else []
        rules = [
            self._rule(one, f"provision[{i}]", "deny" if base == "permit" else "permit")
            for i, one in enumerate(nested)
        ]
        return {"base": base, "rules": tuple(rules), **self._bounds(resource.get("period"), "period")}

    def _bounds(self, value: Any, where: str) -> dict[str, int | None]:
        if value is None:
            return {}
        bounds = dates.validity(value, where, self.offset)
        return {"valid_from": bounds.start, "until": bounds.end}

    def _exception(self, provision: Any, where: str, above: EffectName) -> WireRule:
        """An R4 provision below the policy rule, which names its effect."""
        self._known(provision, where)
        effect = provision.get("type")
        if effect not in _OPPOSITE:
            raise Refused(f"{where} has no type", code="no_type", advice="give its type: permit or deny")
        if effect == above == "deny":
            raise Refused(
                f"{where} denies what the policy rule denies anyway: is it a limit?", code="same_effect",
                advice="drop it, or let the policy rule be OPTIN",
            )  # fmt: skip
        return self._rule(provision, where, effect)

    def _rule(self, provision: Any, where: str, effect: EffectName, *, nested: bool = False) -> WireRule:
        self._known(provision, where)
        fields: dict[str, Any] = {}
        types = _TYPES[self.release]
        if "period" in provision:
            fields["during"] = self._during(provision["period"], where)
        if "dataPeriod" in provision:
            permit = effect == "permit"
            fields["data_period"] = dates.of_data(provision["dataPeriod"], f"{where}.dataPeriod", self.offset, permit=permit)  # fmt: skip
        if "actor" in provision:
            fields["actors"] = self._actors(provision["actor"], f"{where}.actor")
        if "purpose" in provision:
            fields["purposes"] = codings.purposes(provision["purpose"], f"{where}.purpose")
        if "action" in provision:
            fields["actions"] = codings.actions(provision["action"], f"{where}.action")
        if "securityLabel" in provision:
            fields["labels"] = codings.labels(provision["securityLabel"], f"{where}.securityLabel")
        if types in provision:
            fields["types"] = codings.resource_types(provision[types], f"{where}.{types}")
        if "provision" in provision:
            fields["exceptions"] = self._exceptions(provision["provision"], where, effect, nested)
        if not fields:
            raise Refused(
                f"{where} names nothing, so it would undo or repeat all that it is an exception to", code="empty_provision",
                advice="say what it is about",
            )  # fmt: skip
        return WireRule(effect=effect, **fields)

    def _during(self, value: Any, where: str) -> WirePeriod | None:
        bounds = dates.validity(value, f"{where}.period", self.offset)
        return None if bounds.start is None and bounds.end is None else bounds

    def _exceptions(self, value: Any, where: str, effect: EffectName, nested: bool) -> tuple[WireRule, ...]:
        if nested:
            raise Refused(
                f"{where} nests provisions deeper than exceptions of exceptions", code="too_deep",
                advice="write the innermost as provisions of their own",
            )  # fmt: skip
        inner = codings.listed(value, f"{where}.provision")
        if len(inner) > MAX_EXCEPTIONS:
            raise Refused(f"{where} has too many exceptions", code="too_many", advice="split the Consent")
        found = []
        for index, one in enumerate(inner):
            place = f"{where}.provision[{index}]"
            self._known(one, place)
            if self.release == "R4" and one.get("type") != _OPPOSITE[effect]:
                code = "same_effect" if "type" in one else "no_type"
                raise Refused(
                    f"{place} does not say {_OPPOSITE[effect]}, as an exception to {effect} would", code=code,
                    advice="give its type: permit or deny, the other of its parent's",
                )  # fmt: skip
            found.append(self._rule(one, place, _OPPOSITE[effect], nested=True))
        return tuple(found)

    def _actors(self, value: Any, where: str) -> tuple[WireActor, ...]:
        found = []
        for one in codings.listed(value, where):
            if not isinstance(one, dict) or "modifierExtension" in one:
                raise _unsupported(where)
            roles = {code for system, code in codings.codings(one.get("role"), f"{where}.role") if system in codings.ROLE_SYSTEMS}  # fmt: skip
            if not roles or not roles <= codings.RECIPIENT_ROLES:
                raise Refused(
                    f"{where} names an actor who is no recipient", code="actor_role",
                    advice=f"only recipients can be computed: role {' or '.join(sorted(codings.RECIPIENT_ROLES))}",
                )  # fmt: skip
            found.append(self.recipient(_reference(one.get("reference"), where)))
        return tuple(found)

    def _known(self, provision: Any, where: str) -> None:
        """Raises Refused for an element that would go unheard."""
        if not isinstance(provision, dict):
            raise Refused(f"{where} is no provision", code="malformed", advice="validate the resource first")
        for element in sorted(set(provision) - _ELEMENTS[self.release] - _PASSED_OVER):
            raise _unsupported(f"{where}.{element} ({_UNSUPPORTED.get(element, 'an element')})")


def _reference(value: Any, where: str) -> str:
    """`Type/id`, or `system|value` of an identifier. Raises Refused."""
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str) and value["reference"]:
            return str(value["reference"])
        named = value.get("identifier")
        if isinstance(named, dict) and isinstance(named.get("value"), str):
            return f"{named.get('system', '')}|{named['value']}"
    raise Refused(
        f"{where} is not named by a reference", code="no_reference", advice="a display text can't be computed"
    )


def _base(rule: Any) -> EffectName:
    known = {_BASES[code] for system, code in codings.codings(rule, "policyRule") if system in codings.POLICY_SYSTEMS and code in _BASES}  # fmt: skip
    if len(known) != 1:
        raise Refused(
            "policyRule is neither opt-in nor opt-out", code="policy_rule",
            advice="use OPTIN or OPTOUT of v3-ActCode, and provisions for the rest",
        )  # fmt: skip
    return known.pop()


def _no_policy(resource: Mapping[str, Any]) -> Refused:
    if "policy" in resource:
        return _unsupported("a policy named by its address")
    if "provision" in resource:
        return Refused(
            "the Consent has no policyRule, so its provisions are exceptions to nothing", code="policy_rule",
            advice="give policyRule: OPTIN or OPTOUT",
        )  # fmt: skip
    return _narrative_only()


def _narrative_only() -> Refused:
    return Refused(
        "the Consent is text for people only: no base and no provision", code="narrative_only",
        advice="state it as rules, or keep the paper and attest a directive of your own",
    )  # fmt: skip
