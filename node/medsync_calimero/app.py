"""Assembles the surface: every route of the table over one node, events, authentication, and words for what is not served."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import trio
from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from medsync_calimero.answers import Answered, CallError, answered
from medsync_calimero.asking import Asked, read_body
from medsync_calimero.auth import Auth, needed_for
from medsync_calimero.blobs import MAX_BLOB, Blobs
from medsync_calimero.book import FILE, Book
from medsync_calimero.compat import NOT_SERVED, ROUTES, SPOKEN, Route
from medsync_calimero.consent_calls import ConsentCalls
from medsync_calimero.context_calls import ContextCalls
from medsync_calimero.events import Events
from medsync_calimero.group_calls import GroupCalls
from medsync_calimero.groups import Groups
from medsync_calimero.home_calls import HomeCalls
from medsync_calimero.invitations import Invitations
from medsync_calimero.member_calls import MemberCalls
from medsync_calimero.rpc import Rpc, bearer
from medsync_node.applications import installed_apps
from medsync_protocol.errors import MedSyncError

if TYPE_CHECKING:
    from medsync_node.node import Node

Handler = Callable[[Asked], Awaitable[Any]]
POLICY: Final = "forward_only"  # Calimero's own rule of removal
METHODS: Final = ["GET", "POST", "PUT", "DELETE", "PATCH"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`embedded`: tokens are asked for; `admin`: (user, password) of the first administrator; `policy` of new groups."""

    embedded: bool = False
    admin: tuple[str, str] | None = None
    policy: str = POLICY


@asynccontextmanager
async def open_door(node: Node, options: Options) -> AsyncIterator[ASGIApp]:
    """The surface over a running node, with what keeps it up to date; ends with the block."""
    home = None if node.home is None else node.home.path
    book = Book(None if home is None else home / FILE)
    groups = Groups(node)
    invitations = Invitations(groups, book)
    events = Events(groups, invitations)
    auth = Auth(book, node.identity.storage_key, lambda: node.now() // 1000, options.admin) if options.embedded else None
    async with trio.open_nursery() as nursery:
        await nursery.start(events.run)
        yield make_app(groups, book, invitations, events, auth, options.policy, home)
        nursery.cancel_scope.cancel()


def make_app(
    groups: Groups, book: Book, invitations: Invitations, events: Events, auth: Auth | None, policy: str, home: Path | None
) -> FastAPI:
    """The routes."""
    about = HomeCalls(groups, book, dict(installed_apps()))
    contexts = ContextCalls(groups, about, ConsentCalls(groups.node), policy)
    blobs = Blobs(groups, book, None if home is None else home / "blobs")
    parts = (about, invitations, GroupCalls(groups, about, policy), MemberCalls(groups, invitations), contexts, blobs)
    app = FastAPI(title="MedSync, speaking merod", version=SPOKEN, docs_url=None, redoc_url=None, openapi_url="/openapi.json")
    for route in ROUTES:
        handler = next(getattr(part, route.handler) for part in parts if hasattr(part, route.handler))
        _add(app, route, handler)
    for path, reason in NOT_SERVED:
        app.add_api_route(path, _not_served(reason), methods=METHODS, response_model=None, include_in_schema=False)
    app.include_router(Rpc(contexts, events, auth).routes())
    if auth is not None:
        _add_auth(app, auth)
    _install_errors(app)
    return app


def _add(app: FastAPI, route: Route, handler: Handler) -> None:
    async def endpoint(request: Request) -> Response:
        raw = await _read(request, MAX_BLOB if route.handler == "put_blob" else 1 << 20)
        asked = Asked(request.path_params, request.query_params, read_body(route, raw), raw)
        found = await handler(asked)
        if route.handler == "get_blob":
            return Response(found, media_type="application/octet-stream")
        if route.handler == "head_blob":
            return Response(headers=found)
        return JSONResponse(found if route.whole else {"data": found})

    words = (handler.__doc__ or route.handler).strip()
    app.add_api_route(
        route.path, endpoint, methods=[route.method], response_model=None, name=route.handler, summary=words,
        operation_id=f"{route.method.lower()}_{route.path}", openapi_extra=_schema(route),
    )  # fmt: skip


def _schema(route: Route) -> dict[str, Any]:
    fields: dict[str, Any] = {name: {} for name in route.answer}
    inside: dict[str, Any] = {"type": "object", "properties": fields} if fields else {}
    whole = inside if route.whole else {"type": "object", "properties": {"data": inside}, "required": ["data"]}
    found: dict[str, Any] = {"responses": {"200": {"description": "done", "content": {"application/json": {"schema": whole}}}}}
    if route.request is not None:
        names = [name.rstrip("?") for name in route.request]
        body = {
            "type": "object", "properties": {name: {} for name in names},
            "required": [name for name in route.request if not name.endswith("?")],
        }  # fmt: skip
        found["requestBody"] = {"content": {"application/json": {"schema": body}}}
    return found


async def _read(request: Request, limit: int) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise Answered(413, f"the body is longer than {limit} bytes")
        parts.append(part)
    return b"".join(parts)


def _not_served(reason: str) -> Callable[..., Awaitable[Response]]:
    async def endpoint() -> Response:
        return JSONResponse({"error": reason}, 501)

    return endpoint


def _add_auth(app: FastAPI, auth: Auth) -> None:
    async def body(request: Request) -> Mapping[str, Any]:
        try:
            found = await request.json()
        except ValueError as error:
            raise Answered(400, "the body is no JSON") from error
        if not isinstance(found, dict):
            raise Answered(400, "the body is no JSON object")
        return found

    @app.post("/auth/token")
    async def token(request: Request) -> dict[str, Any]:
        return {"data": await auth.log_in(await body(request))}

    @app.post("/auth/refresh")
    async def refresh(request: Request) -> dict[str, Any]:
        return {"data": auth.refresh(await body(request))}

    @app.api_route("/auth/validate", methods=["HEAD", "GET"])
    async def validate(request: Request) -> Response:
        auth.permissions(bearer(request.headers.get("authorization")) or "")
        return Response()

    @app.middleware("http")
    async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        needed = needed_for(request.url.path)
        if needed is not None:
            given = bearer(request.headers.get("authorization")) or request.query_params.get("token")
            try:
                auth.require(given, needed)
            except Answered as error:
                return JSONResponse({"error": error.sentence}, error.status)
        return await call_next(request)


def _install_errors(app: FastAPI) -> None:
    async def plain(request: Request, error: Exception) -> Response:
        assert isinstance(error, Answered)
        return JSONResponse({"error": error.sentence}, error.status)

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, MedSyncError)
        found = answered(error)
        return JSONResponse({"error": found.sentence}, found.status)

    async def failed(request: Request, error: Exception) -> Response:
        return JSONResponse({"error": str(error)}, 400)

    app.add_exception_handler(Answered, plain)
    app.add_exception_handler(MedSyncError, ours)
    app.add_exception_handler(CallError, failed)
