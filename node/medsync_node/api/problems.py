"""From what went wrong to what the caller reads: an HTTP status and a Problem with code, message and advice (DESIGN §4).

The statuses are those that `medsync_client.errors` turns back. No message repeats what the caller sent, but for
names of members and contexts (finding.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request

from medsync_client.wire import Problem, in_words
from medsync_protocol.errors import (
    Invalid,
    MedSyncError,
    NotPermitted,
    OperatorError,
    Refused,
    UnknownSubject,
)
from medsync_protocol.ports import Unreachable

log = structlog.get_logger()

NOT_THERE: Final = frozenset({
    "unknown_context", "unknown_member", "unknown_subject", "unknown_directive", "unknown_checkpoint",
    "no_network", "not_registered", "unknown_device", "unknown_hold", "unknown_proposal", "unknown_operation",
})  # fmt: skip
"""Codes of rules that refuse because something isn't held, or not for this caller: both read the same."""

NO_MEANING: Final = frozenset({
    "actor", "actors", "arguments", "bad_card", "bad_invitation", "bad_signature", "basis", "card_version",
    "empty_list", "founder", "homes", "malformed", "not_ascending", "number", "obligation_on_deny", "other_subject",
    "previous", "same_effect", "same_subject", "series", "too_deep", "too_many", "two_roles", "unknown_action",
    "policy_parameter", "unknown_application", "unknown_method", "unknown_policy", "unknown_purpose", "until_before_from",
    "wrong_context", "wrong_key",
})  # fmt: skip
"""Codes of rules about a request's or document's form: it would be refused anywhere and at any time."""


FORBIDDEN: Final = frozenset(
    {"not_permitted", "not_a_voter", "not_custodian", "not_founder", "self_attested"}
)
"""Codes of rules that refuse this member, and would allow another."""

_BY_CODE: Final = {404: NOT_THERE, 422: NO_MEANING, 403: FORBIDDEN}


class Failure(Exception):
    """A problem with its status, where no error of the protocol fits."""

    def __init__(self, status: int, problem: Problem) -> None:
        super().__init__(problem.message)
        self.status, self.problem = status, problem


def not_found(code: str, message: str, advice: str = "") -> Failure:
    """404: not there, or nothing that this caller may know of."""
    return Failure(404, Problem(code=code, message=message, advice=advice))


def unprocessable(code: str, message: str, advice: str = "") -> Failure:
    """422: the request has no meaning."""
    return Failure(422, Problem(code=code, message=message, advice=advice))


def status_of(error: MedSyncError) -> int:
    """The status for an error that was raised on purpose."""
    match error:
        case UnknownSubject():
            return 404
        case NotPermitted():
            return 403
        case Refused(code=code):
            return next((status for status, codes in _BY_CODE.items() if code in codes), 409)
        case Invalid():
            return 422
        case OperatorError() | Unreachable():
            return 503
        case _:
            return 500


def problem_of(error: MedSyncError) -> Problem:
    """Code, message and advice of an error that was raised on purpose."""
    code = getattr(error, "code", "") or re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).lower()
    return Problem(code=code, message=str(error), advice=str(getattr(error, "advice", "")))


def answer(status: int, problem: Problem, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The response."""
    return JSONResponse(problem.model_dump(), status, headers)


def install(app: FastAPI) -> None:
    """Have every error answered as a Problem; a bug is logged and answered without its text."""
    app.add_exception_handler(MedSyncError, _on_purpose)
    app.add_exception_handler(Failure, _failure)
    app.add_exception_handler(RequestValidationError, _unreadable)
    app.add_exception_handler(ValidationError, _unreadable)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _bug)


async def _on_purpose(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, MedSyncError)
    return answer(status_of(error), problem_of(error))


async def _failure(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Failure)
    return answer(error.status, error.problem)


async def _unreadable(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError | ValidationError)
    first: Mapping[str, Any] = error.errors()[0] if error.errors() else {}
    where = ".".join(str(part) for part in first.get("loc", ()) if part != "body")
    message = f"{where or 'the request'}: {in_words(first.get('msg', 'cannot be read'))}"
    return answer(422, Problem(code="invalid_request", message=message, advice="see /docs for what it takes"))


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code, advice = {404: ("no_such_path", "see /docs"), 405: ("method_not_allowed", "see /docs")}.get(
        error.status_code, (f"http_{error.status_code}", "")
    )
    return answer(
        error.status_code, Problem(code=code, message=str(error.detail), advice=advice), error.headers
    )


async def _bug(request: Request, error: Exception) -> JSONResponse:
    route = request.scope.get("route")
    log.error("a request failed by a bug", route=getattr(route, "path", ""), exc_info=error)
    return answer(
        500, Problem(code="internal", message="the node failed to answer this", advice="see its log")
    )
