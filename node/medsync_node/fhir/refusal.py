"""Why a FHIR resource is refused, and which of its elements it is refused for."""

from __future__ import annotations

from medsync_protocol.errors import Refused


class NotComputed(Refused):
    """A resource that can't be taken as it is. `element`: where, from its root on, as `provision.actor`; "" is the root."""

    def __init__(self, message: str, *, code: str, advice: str, element: str = "") -> None:
        super().__init__(message, code=code, advice=advice)
        self.element = element


def unsupported(element: str, what: str = "") -> NotComputed:
    """An element that says something which no rule can say."""
    return NotComputed(
        f"{what or element} can't be computed", element=element, code="unsupported",
        advice="state the rule without it, or keep it on paper",
    )  # fmt: skip


def too_many(element: str, most: int) -> NotComputed:
    """A list longer than a directive can hold."""
    return NotComputed(
        f"too many entries in {element}", element=element, code="too_many",
        advice=f"split the Consent: at most {most}",
    )  # fmt: skip
