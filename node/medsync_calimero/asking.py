"""One request as handlers see it, its body read and its fields checked against the table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from medsync_calimero.answers import Answered
from medsync_calimero.compat import Route


@dataclass(frozen=True, slots=True)
class Asked:
    """`path`: what the braces of the route stand for; `body`: the JSON object; `raw`: the body where it is none."""

    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Mapping[str, Any]
    raw: bytes = b""


def read_body(route: Route, raw: bytes) -> dict[str, Any]:
    """The body's object. Raises Answered 400 for a missing field, or no JSON."""
    if route.request is None:
        return {}
    try:
        found = json.loads(raw) if raw.strip() else None
    except ValueError as error:
        raise Answered(400, "the body is no JSON") from error
    if found is None:
        found = {}
    if not isinstance(found, dict):
        raise Answered(400, "the body is no JSON object")
    for field in route.request:
        if not field.endswith("?") and found.get(field) is None:
            raise Answered(400, f"missing field `{field}`")
    return found


def text_in(value: object, what: str, *, longest: int = 256) -> str:
    """Raises Answered 400."""
    if not isinstance(value, str) or not value or len(value) > longest or not value.isprintable():
        raise Answered(400, f"{what} is a text of 1 to {longest} printable characters")
    return value


def number_in(value: object, what: str, *, highest: int = (1 << 32) - 1) -> int:
    """Raises Answered 400."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= highest:
        raise Answered(400, f"{what} is a number from 0 to {highest}")
    return value
