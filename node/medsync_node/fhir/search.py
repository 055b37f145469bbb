"""FHIR search parameters: which are known, and dates with their prefixes. Unknown ones are refused, never passed over.

Source: FHIR R4 and R5, Search: prefixes eq, ge, gt, le, lt; a partial date is all that it names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from medsync_node.fhir import dates
from medsync_node.fhir.refusal import NotComputed

MAX_COUNT: Final = 1000  # resources of one page
DEFAULT_COUNT: Final = 100
_RESULT: Final = frozenset({"_count", "_format", "_cursor"})
_PREFIXES: Final = ("eq", "ge", "gt", "le", "lt")


def parameters(given: Iterable[tuple[str, str]], known: Iterable[str]) -> dict[str, list[str]]:
    """Values by name. Raises NotComputed for a parameter that isn't known, or has no value."""
    found: dict[str, list[str]] = {}
    allowed = _RESULT | set(known)
    for name, value in given:
        if name not in allowed:
            raise NotComputed(
                "a search parameter that this node doesn't know", code="unknown_parameter",
                advice=f"use {', '.join(sorted(allowed))}",
            )  # fmt: skip
        if not value:
            raise NotComputed(f"the search parameter {name} is empty", code="unknown_parameter", advice="leave it out")
        found.setdefault(name, []).append(value)
    for value in found.get("_format", []):
        if "json" not in value:
            raise NotComputed("only JSON is spoken here", code="format", advice="ask for application/fhir+json")
    return found


def one(found: Mapping[str, Sequence[str]], name: str) -> str | None:
    """The value of a parameter that is given once at most."""
    values = found.get(name, ())
    if len(values) > 1:
        raise NotComputed(f"{name} is given twice", code="unknown_parameter", advice="give it once")
    return values[0] if values else None


def count(found: Mapping[str, Sequence[str]]) -> int:
    """How many resources a page may have."""
    text = one(found, "_count")
    if text is None:
        return DEFAULT_COUNT
    if not text.isdecimal() or not 1 <= int(text[:5]) <= MAX_COUNT:
        raise NotComputed("_count is no number of resources", code="unknown_parameter", advice=f"1 to {MAX_COUNT}")
    return int(text)


def token(value: str) -> tuple[str | None, str]:
    """(system or None for any, code) of `system|code` or `code`."""
    system, bar, code = value.rpartition("|")
    return (system if bar else None), code


def span(values: Iterable[str], where: str) -> tuple[int | None, int | None]:
    """[since, until) in ms that dates with prefixes leave open; None for an open side. Bare dates are UTC."""
    since: int | None = None
    until: int | None = None
    for value in values:
        prefix, text = (value[:2], value[2:]) if value[:2] in _PREFIXES else ("eq", value)
        first, after = dates.interval(text, where, 0)
        if prefix in ("eq", "ge", "gt"):
            low = after if prefix == "gt" else first
            since = low if since is None else max(since, low)
        if prefix in ("eq", "le", "lt"):
            high = first if prefix == "lt" else after
            until = high if until is None else min(until, high)
    return since, until
