"""Consents in a person's words, the same on the command line and on pages: rules as sentences, and whether they count.

What they mean is the protocol's; nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from medsync_protocol import duo

if TYPE_CHECKING:
    from medsync_client.consents import WireActor, WirePeriod, WireRule

PURPOSES: Final[Mapping[str, str]] = {
    "PurposeOfUse": "any purpose", "TREAT": "treatment", "ETREAT": "emergency treatment", "BTG": "breaking the glass",
    "CAREMGT": "care management", "CLINTRCH": "clinical trials", "COVERAGE": "coverage", "DSRCH": "disease-specific research",
    "BIORCH": "biomedical research", "HLEGAL": "legal matters", "HMARKT": "marketing", "HOPERAT": "running the institution",
    "HPAYMT": "payment", "HRESCH": "research", "PATRQT": "the patient's own request", "POARCH": "research on populations",
    "PUBHLTH": "public health", "FAMRQT": "the family's request", "HQUALIMP": "quality improvement",
}  # fmt: skip
"""The codes of HL7's PurposeOfUse that are met most; others are shown as they are."""
ACTIONS: Final[Mapping[str, str]] = {
    "access": "look at", "collect": "collect", "use": "use", "disclose": "pass on", "correct": "correct",
}  # fmt: skip
STANDINGS: Final[Mapping[str, str]] = {
    "active": "active", "not-counted": "not counted", "expired": "expired", "not-yet": "not yet valid", "contested": "contested",
}  # fmt: skip
"""Whether a consent counts now."""


def moment(millis: int | None) -> str:
    """Milliseconds as a time in UTC."""
    return "–" if millis is None else datetime.fromtimestamp(millis / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def purpose(code: str) -> str:
    """A purpose by its words and code."""
    return f"{PURPOSES[code]} ({code})" if code in PURPOSES else code


def standing(status: str, reason: str) -> str:
    """Whether a consent counts now; where it doesn't, why."""
    return reason if status == "not-counted" and reason else STANDINGS.get(status, status)


def _listed(items: Iterable[str], last: str = "or") -> str:
    *first, final = items
    return f"{', '.join(first)} {last} {final}" if first else final


def _period(period: WirePeriod) -> str:
    parts = [f"from {moment(period.start)}"] if period.start is not None else []
    return " ".join([*parts, f"until {moment(period.end)}"] if period.end is not None else parts) or "of any time"


def _actor(actor: WireActor, names: Mapping[str, str]) -> str:
    if actor.group is not None:
        return f"the group {actor.group}"
    whole = names.get(actor.member or "", (actor.member or "")[:12])
    within = [part for part in (actor.user, actor.unit) if part]
    return f"{', '.join(within)} at {whole}" if within else whole


def sentence(rule: WireRule, names: Mapping[str, str]) -> str:
    """A rule as one sentence without its full stop; `names` by member id. What a rule leaves open is left out."""
    text = _clause(rule, names)
    return text if rule.actors else text[:1].upper() + text[1:]


def _clause(rule: WireRule, names: Mapping[str, str]) -> str:
    who = _listed(_actor(one, names) for one in rule.actors) if rule.actors else "anybody"
    may = "may" if rule.effect == "permit" else "may not"
    does = _listed(ACTIONS.get(one, one) for one in rule.actions) if rule.actions else "use"
    parts = [f"{who} {may} {does} {_data(rule)}"]
    if rule.purposes:
        parts.append(f"for {_listed(map(purpose, rule.purposes))}")
    if rule.data_period is not None:
        parts.append(f"recorded {_period(rule.data_period)}")
    if rule.during is not None:
        parts.append(f"asked for {_period(rule.during)}")
    text = " ".join(parts)
    if rule.obligations:
        text += f", provided that: {_listed((duo.in_words(one) or one for one in rule.obligations), 'and')}"
    if rule.exceptions:
        text += "; except that " + "; and ".join(_clause(one, names) for one in rule.exceptions)
    return text


def _data(rule: WireRule) -> str:
    kind = f"data of the kinds {_listed(rule.types)}" if rule.types else "the data"
    return f"{kind} labelled {_listed(rule.labels)}" if rule.labels else kind
