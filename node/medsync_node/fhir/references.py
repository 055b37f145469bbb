"""References in FHIR resources and what they name here: `Patient/PSEUDONYM`, `Organization/MEMBER`, identifiers."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote, unquote

from medsync_client.consents import WireActor

from medsync_node.fhir import marks
from medsync_node.fhir.refusal import NotComputed

_RECIPIENT_ADVICE: Final = "say which member, unit or user it is, as in --actor Practitioner/f204=city:cardiology"


def reference(value: Any, where: str) -> str:
    """`Type/id`, or `system|value` of an identifier. Raises NotComputed."""
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str) and value["reference"]:
            return str(value["reference"])
        named = value.get("identifier")
        if isinstance(named, dict) and isinstance(named.get("value"), str):
            return f"{named.get('system', '')}|{named['value']}"
    raise NotComputed(
        f"{where} is not named by a reference", element=where, code="no_reference",
        advice="a display text can't be computed",
    )  # fmt: skip


def by_reference(named: str) -> WireActor:
    """An organisation named by its reference: whoever takes the text resolves the name. Raises NotComputed for others."""
    if not named.startswith("Organization/"):
        raise NotComputed("an actor is no organisation", code="actor", advice=_RECIPIENT_ADVICE)
    return WireActor(member=named)


def recipient(named: str) -> WireActor:
    """An actor as a node's own resources name it: by identifier, or `Organization/` with a member's id or name.

    Raises NotComputed for others.
    """
    system, bar, value = named.partition("|")
    if bar and system == marks.GROUP:
        return WireActor(group=value)
    if bar and system == marks.MEMBER:
        member, unit, user = (*map(unquote, value.split("/")), "", "")[:3]
        return WireActor(member=member, unit=unit or None, user=user or None)
    if not bar and named.startswith("Organization/"):
        return WireActor(member=named.removeprefix("Organization/"))
    raise NotComputed("an actor is no organisation", code="actor", advice="name it as this node's own Consents do: see the documentation")


def of_actor(actor: WireActor) -> dict[str, Any]:
    """The Reference to a recipient."""
    if actor.group is not None:
        return {"identifier": {"system": marks.GROUP, "value": actor.group}}
    parts = [actor.member or "", actor.unit or "", actor.user or ""]
    while not parts[-1]:
        parts.pop()
    return {"identifier": {"system": marks.MEMBER, "value": "/".join(quote(part, safe="") for part in parts)}}


def organisation(member: str, name: str = "") -> dict[str, Any]:
    """The Reference to a member, by its id in hex."""
    found: dict[str, Any] = {"type": "Organization", "identifier": {"system": marks.MEMBER, "value": member}}
    return {**found, "display": name} if name else found


def patient(subject: str) -> dict[str, Any]:
    """The Reference to a subject."""
    return {"reference": f"Patient/{subject}"}


def subject_of(named: str) -> str:
    """The pseudonym or card in `Patient/…`, `urn:medsync:subject|…` or by itself."""
    return named.removeprefix(f"{marks.SUBJECT}|").removeprefix("Patient/")
