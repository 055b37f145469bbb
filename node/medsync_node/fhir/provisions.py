"""One provision of a FHIR Consent, R4 or R5, as a rule: every dimension, its actors and its exceptions.

What stands around provisions is `consent.py`'s. Nothing is guessed: an element that would go unheard is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from medsync_client.consents import EffectName, WireActor, WirePeriod, WireRule
from medsync_protocol.errors import Refused
from medsync_protocol.rule import MAX_EXCEPTIONS, MAX_LIST

from medsync_node.fhir import codings, dates, marks
from medsync_node.fhir.references import reference
from medsync_node.fhir.refusal import NotComputed, too_many, unsupported

FindRecipient = Callable[[str], WireActor]
"""A provision's actor, as `Type/id` or `system|value`, as a recipient. Raises Refused for one it doesn't know."""

OPPOSITE: Final[Mapping[EffectName, EffectName]] = {"permit": "deny", "deny": "permit"}
_PASSED_OVER: Final = frozenset({"id", "extension"})
_UNSUPPORTED: Final[Mapping[str, str]] = {
    "code": "clinical codes", "data": "single resources", "documentType": "document types", "expression": "an expression",
}  # fmt: skip
_COMMON: Final = frozenset(
    {"period", "actor", "action", "securityLabel", "purpose", "dataPeriod", "provision"}
)
ELEMENTS: Final = {"R4": _COMMON | {"type", "class"}, "R5": _COMMON | {"resourceType"}}
TYPES: Final = {"R4": "class", "R5": "resourceType"}


@dataclass(frozen=True, slots=True)
class Provisions:
    """How the provisions of one Consent are read. `marked`: it names a policy of ours, so each says its own effect."""

    release: str
    recipient: FindRecipient
    offset: int
    marked: bool = False

    @property
    def _own(self) -> frozenset[str]:
        return frozenset({"modifierExtension"}) if self.marked else frozenset()

    def exception(self, provision: Any, where: str, above: EffectName) -> WireRule:
        """An R4 provision below the policy rule, which names its effect."""
        self.known(provision, where)
        effect = provision.get("type")
        if effect not in OPPOSITE:
            raise NotComputed(f"{where} has no type", element=where, code="no_type", advice="give its type: permit or deny")
        if effect == above == "deny" and not self.marked:
            raise NotComputed(
                f"{where} denies what the policy rule denies anyway: is it a limit?", element=where, code="same_effect",
                advice="drop it, or let the policy rule be OPTIN",
            )  # fmt: skip
        return self.rule(provision, where, effect)

    def rule(self, provision: Any, where: str, effect: EffectName, *, nested: bool = False) -> WireRule:
        """Every dimension that a provision names. Raises NotComputed for what no rule can say."""
        self.known(provision, where)
        fields: dict[str, Any] = {}
        types = TYPES[self.release]
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
        if "modifierExtension" in provision:
            fields.update(self._marks(provision, where, effect))
        if not fields and not self.marked:
            raise NotComputed(
                f"{where} names nothing, so it would undo or repeat all that it is an exception to", element=where, code="empty_provision",
                advice="say what it is about",
            )  # fmt: skip
        return WireRule(effect=effect, **fields)

    def own_effect(self, provision: Any, where: str, negated: EffectName) -> EffectName:
        """What an R5 provision says: the opposite of the decision, or what it is marked with."""
        self.known(provision, where)
        found = [value for url, value in self._marked(provision, where) if url == marks.EFFECT]
        if not found:
            return OPPOSITE[negated]
        if len(found) > 1 or found[0] not in OPPOSITE:
            raise unsupported(f"{where}.modifierExtension")
        return "permit" if found[0] == "permit" else "deny"

    def _marked(self, provision: Any, where: str) -> list[tuple[str, str]]:
        """(url, value) of modifier extensions, which are ours. Raises NotComputed for others."""
        found = []
        given = provision.get("modifierExtension", []) if self.marked else []
        for one in given if isinstance(given, list) else [given]:
            url = one.get("url") if isinstance(one, dict) else None
            value = one.get("valueCode" if url == marks.EFFECT else "valueString") if isinstance(one, dict) else None
            if url not in (marks.EFFECT, marks.OBLIGATION) or not isinstance(value, str) or len(one) != 2:
                raise unsupported(f"{where}.modifierExtension")
            found.append((url, value))
        return found

    def _marks(self, provision: Any, where: str, effect: EffectName) -> dict[str, Any]:
        obligations = tuple(sorted({value for url, value in self._marked(provision, where) if url == marks.OBLIGATION}))
        if obligations and effect == "deny":
            raise unsupported(f"{where}.modifierExtension")
        return {"obligations": obligations} if obligations else {}

    def _during(self, value: Any, where: str) -> WirePeriod | None:
        bounds = dates.validity(value, f"{where}.period", self.offset)
        return None if bounds.start is None and bounds.end is None else bounds

    def _exceptions(self, value: Any, where: str, effect: EffectName, nested: bool) -> tuple[WireRule, ...]:
        if nested:
            raise NotComputed(
                f"{where} nests provisions deeper than exceptions of exceptions", element=where, code="too_deep",
                advice="write the innermost as provisions of their own",
            )  # fmt: skip
        inner = codings.listed(value, f"{where}.provision")
        if len(inner) > MAX_EXCEPTIONS:
            raise too_many(f"{where}.provision", MAX_EXCEPTIONS)
        found = []
        for index, one in enumerate(inner):
            place = f"{where}.provision[{index}]"
            self.known(one, place)
            if self.release == "R4" and one.get("type") != OPPOSITE[effect]:
                code = "same_effect" if "type" in one else "no_type"
                raise NotComputed(
                    f"{place} does not say {OPPOSITE[effect]}, as an exception to {effect} would", element=place, code=code,
                    advice="give its type: permit or deny, the other of its parent's",
                )  # fmt: skip
            found.append(self.rule(one, place, OPPOSITE[effect], nested=True))
        return tuple(found)

    def _actors(self, value: Any, where: str) -> tuple[WireActor, ...]:
        found = []
        given = codings.listed(value, where)
        if len(given) > MAX_LIST:
            raise too_many(where, MAX_LIST)
        for index, one in enumerate(given):
            if not isinstance(one, dict) or "modifierExtension" in one:
                raise unsupported(where)
            roles = {code for system, code in codings.codings(one.get("role"), f"{where}.role") if system in codings.ROLE_SYSTEMS}  # fmt: skip
            if not roles or not roles <= codings.RECIPIENT_ROLES:
                raise NotComputed(
                    f"{where} names an actor who is no recipient", element=where, code="actor_role",
                    advice=f"only recipients can be computed: role {' or '.join(sorted(codings.RECIPIENT_ROLES))}",
                )  # fmt: skip
            found.append(self._recipient(one.get("reference"), f"{where}[{index}].reference"))
        return tuple(found)

    def _recipient(self, value: Any, where: str) -> WireActor:
        try:
            return self.recipient(reference(value, where))
        except NotComputed as error:
            error.element = error.element or where
            raise
        except Refused as error:
            raise NotComputed(str(error), element=where, code=error.code, advice=error.advice) from error

    def known(self, provision: Any, where: str) -> None:
        """Raises Refused for an element that would go unheard."""
        if not isinstance(provision, dict):
            raise NotComputed(f"{where} is no provision", element=where, code="malformed", advice="validate the resource first")
        for element in sorted(set(provision) - ELEMENTS[self.release] - _PASSED_OVER - self._own):
            raise unsupported(f"{where}.{element}", f"{where}.{element} ({_UNSUPPORTED.get(element, 'an element')})")
