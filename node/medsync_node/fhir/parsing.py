"""From a request's bytes to a JSON object, within bounds that are told before anything is read of it."""

from __future__ import annotations

import json
from typing import Any, Final, NoReturn

from medsync_node.fhir.refusal import NotComputed

MAX_DEPTH: Final = 32  # HL7's deepest Consent example has 9; the parser's own limit is the stack's
MAX_VALUES: Final = 20_000  # a Consent at every bound of a directive has fewer


def parse(body: bytes, resource_type: str) -> dict[str, Any]:
    """The resource in a body. Raises NotComputed for what is no such resource, or too deep or too much of one."""
    _bounded(body)
    try:
        found = json.loads(body, object_pairs_hook=_once, parse_constant=_no_number)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise NotComputed("the body is no JSON", code="malformed", advice="send one resource as application/fhir+json") from error
    if not isinstance(found, dict) or found.get("resourceType") != resource_type:
        raise NotComputed(f"the body is no {resource_type}", code="malformed", advice=f"send a {resource_type} resource")
    return found


def _bounded(body: bytes) -> None:
    """One pass without recursion: how deep it nests and how many values it has, outside strings."""
    depth = values = at = 0
    while at < len(body):
        byte = body[at]
        if byte == 0x22:  # a string: to its closing quotation mark
            at = _after_string(body, at)
            continue
        if byte in b"{[":
            depth += 1
            values += 1
        elif byte in b"}]":
            depth -= 1
        elif byte == 0x2C:
            values += 1
        if depth > MAX_DEPTH:
            raise NotComputed("the resource nests too deep", code="too_deep", advice=f"at most {MAX_DEPTH} levels")
        if values > MAX_VALUES:
            raise NotComputed("the resource has too many values", code="too_many", advice=f"at most {MAX_VALUES}")
        at += 1


def _after_string(body: bytes, at: int) -> int:
    end = at
    while True:
        end = body.find(b'"', end + 1)
        if end < 0:
            return len(body)
        slashes = end - len(body[at:end].rstrip(b"\\")) - at
        if slashes % 2 == 0:
            return end + 1


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotComputed("an object names an element twice", code="malformed", advice="name each once")
    return found


def _no_number(text: str) -> NoReturn:
    raise NotComputed(f"{text} is no number in FHIR", code="malformed", advice="leave it out")
