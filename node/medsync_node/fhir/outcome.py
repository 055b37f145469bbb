"""OperationOutcome: what went wrong, as FHIR says it, with the element's FHIRPath expression."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from medsync_client.wire import Problem

_ISSUES: Final[Mapping[int, str]] = {
    400: "invalid", 401: "login", 403: "forbidden", 404: "not-found", 405: "not-supported", 408: "timeout", 409: "business-rule",
    412: "conflict", 413: "too-long", 415: "not-supported", 422: "processing", 429: "throttled", 503: "transient",
}  # fmt: skip
_BY_CODE: Final[Mapping[str, str]] = {
    "unsupported": "not-supported", "too_many": "too-costly", "too_deep": "too-costly", "malformed": "structure",
    "unknown_element": "structure", "empty_list": "structure", "date": "value", "unknown_purpose": "code-invalid",
    "unknown_action": "code-invalid", "content_class": "code-invalid",
}  # fmt: skip
SYSTEM: Final = "urn:medsync:problem"


def outcome(status: int, problem: Problem, element: str | None = None) -> dict[str, Any]:
    """The resource for a problem answered with `status`."""
    issue: dict[str, Any] = {
        "severity": "error",
        "code": _BY_CODE.get(problem.code) or _ISSUES.get(status, "exception"),
        "details": {"coding": [{"system": SYSTEM, "code": problem.code}], "text": problem.message},
    }
    if problem.advice:
        issue["diagnostics"] = problem.advice
    if element is not None:
        issue["expression"] = [element]
    return {"resourceType": "OperationOutcome", "issue": [issue]}
