"""What every FHIR call shares: where it is served, answers as `application/fhir+json`, and refusals as OperationOutcome."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from medsync_client.wire import Problem, in_words
from medsync_node.api.problems import Failure, problem_of, status_of
from medsync_node.fhir.outcome import outcome
from medsync_node.fhir.refusal import NotComputed
from medsync_protocol.errors import MedSyncError

PREFIX: Final = "/fhir/"
MEDIA_TYPE: Final = "application/fhir+json"
_ELSEWHERE: Final = frozenset({"unknown_parameter", "format"})  # about the address, not about a resource's element
_UNREADABLE: Final = frozenset({"malformed"})


class FhirResponse(JSONResponse):
    """A resource."""

    media_type = MEDIA_TYPE


def answered(resource: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> FhirResponse:
    """The response that holds a resource."""
    return FhirResponse(resource, status, headers)


async def refusing(resource_type: str, call: Awaitable[Response]) -> Response:
    """The answer of a call; what it refuses comes as an OperationOutcome, with the element's FHIRPath where there is one."""
    try:
        return await call
    except NotComputed as error:
        status = 400 if error.code in _UNREADABLE | _ELSEWHERE else 422
        path = f"{resource_type}.{error.element}" if error.element else resource_type
        return answered(outcome(status, problem_of(error), None if error.code in _ELSEWHERE else path), status)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]  # the input may be a patient's
        problem = Problem(code="invalid_request", message=in_words(first["msg"]), advice="see the FHIR specification")
        return answered(outcome(422, problem, resource_type), 422)
    except Failure as error:
        return answered(outcome(error.status, error.problem), error.status)
    except MedSyncError as error:
        status = status_of(error)
        return answered(outcome(status, problem_of(error)), status)


def base_of(request: Request) -> str:
    """The address of the endpoint, relative to the server: links in answers begin with it."""
    named = request.path_params.get("context")
    release = request.url.path.split("/")[2]
    return f"{PREFIX}{release}" + (f"/contexts/{named}" if named is not None else "")


class AsOutcomes:
    """Turns the problems that guards answer beneath `/fhir/` into OperationOutcomes: whatever refuses, FHIR says it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        await self._app(scope, receive, _Rewriting(send))


class _Rewriting:
    """Holds a failure back until its body is there."""

    def __init__(self, send: Callable[[Message], Awaitable[None]]) -> None:
        self._send = send
        self._start: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] >= 400 and not _is_fhir(message):
            self._start = message
        elif self._start is None:
            await self._send(message)
        elif message["type"] == "http.response.body":
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._finish(self._start)

    async def _finish(self, start: Message) -> None:
        status = start["status"]
        try:
            problem = Problem.model_validate_json(self._body)
        except ValidationError:
            problem = Problem(code=f"http_{status}", message="the node could not answer this")
        body = json.dumps(outcome(status, problem)).encode()
        kept = [pair for pair in start["headers"] if pair[0].lower() not in (b"content-type", b"content-length")]
        headers = [*kept, (b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
        await self._send({**start, "headers": headers})
        await self._send({"type": "http.response.body", "body": body, "more_body": False})


def _is_fhir(message: Message) -> bool:
    return any(name.lower() == b"content-type" and value.startswith(MEDIA_TYPE.encode()) for name, value in message["headers"])
