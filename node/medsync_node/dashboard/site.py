"""The dashboard's own application: who may come in, forms that are ours, pages by path, failures as pages.

Links are made by the API's own route; what they open is sessions.py's.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import trio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from medsync_client import contexts
from medsync_client.errors import BadRequest, ClientError, NodeFault, NotFound, Unauthorised, Unreachable
from medsync_client.wire import Problem
from medsync_node.dashboard import live, static_files, unsent
from medsync_node.dashboard.backend import Backend
from medsync_node.dashboard.pages import (
    access,
    anchors,
    audit,
    consents,
    members,
    membership,
    operations,
    overview,
    patient,
    patients,
    reviews,
    rewards,
    subjects,
)
from medsync_node.dashboard.rendering import HEADERS, page, short
from medsync_node.dashboard.sessions import Door, Session, Sessions
from medsync_node.dashboard.visit import ROOT, Visit, foreign_form, is_of_session, is_ours, read_form

if TYPE_CHECKING:
    from medsync_node.node import Node

Page = Callable[[Visit], Awaitable[Response]]

OF_PATIENTS: Final = patient.PAGES
OF_STAFF: Final[tuple[tuple[str, str, Page], ...]] = (
    *overview.PAGES, *consents.PAGES, *access.PAGES, *reviews.PAGES, *patients.PAGES, *subjects.PAGES, *members.PAGES, *membership.PAGES, *operations.PAGES, *anchors.PAGES,
    *rewards.PAGES, *audit.PAGES,
)  # fmt: skip
LIVE_PART: Final = "now"  # id of what asks again by itself when something happened: nobody need be at the screen
STATUSES: Final = {"scope_missing": 403, "read_only": 403, "foreign_form": 403, "not_permitted": 403}
"""Codes of refusals that are about who asks."""
STATUS_OF: Final[dict[type[ClientError], int]] = {BadRequest: 422, NotFound: 404, Unauthorised: 401}


def now_ms() -> int:
    """Milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000


class Site:
    """What the routes share."""

    def __init__(self, node: Node, api: ASGIApp, door: Door, *, read_only: bool, stopping: trio.Event) -> None:
        self._node, self._door, self._stopping = node, door, stopping
        self._backend = Backend(api, read_only=read_only)
        self._cookie = f"medsync_{node.identity.device.hex()[:8]}"  # one for each node: ports of one machine share cookies

    def routes(self) -> list[Route]:
        """All paths."""
        return [
            Route("/", self._root, methods=["GET"]),
            Route("/enter", self._enter, methods=["GET", "POST"]),
            Route("/leave", self._page(_leave(self._door.sessions), None), methods=["POST"]),
            Route("/static/{name}", static_files.serve, methods=["GET"]),
            Route(static_files.ICON, static_files.serve_icon, methods=["GET", "HEAD"]),
            Route("/live", self._live, methods=["GET"]),
            *(Route(path, self._page(shown, False), methods=[method]) for method, path, shown in OF_STAFF),
            *(Route(path, self._page(shown, True), methods=[method]) for method, path, shown in OF_PATIENTS),
        ]

    def _session(self, request: Request) -> Session | None:
        by_itself = request.headers.get("hx-trigger") == LIVE_PART or request.url.path.endswith("/live")
        return self._door.sessions.find(now_ms(), request.cookies.get(self._cookie, ""), used=not by_itself)

    def _page(self, shown: Page, of_patients: bool | None) -> Callable[[Request], Awaitable[Response]]:
        """A page for whoever is signed in; `of_patients` None: for both kinds of people."""

        async def answer(request: Request) -> Response:
            session = self._session(request)
            if session is None:
                return await self._ended(request)
            if of_patients is not None and (session.grant.patient is not None) != of_patients:
                problem = Problem(
                    code="other_page", message="this page is not for this sign-in", advice="go back to the first page"
                )
                return self._failed(session, 403, problem)
            visit = Visit(
                request=request, session=session, backend=self._backend, node_name=self._node.identity.name, now=now_ms(),
            )  # fmt: skip
            try:
                if request.method == "POST":
                    visit.form = read_form(await request.body())
                    if not is_of_session(request, visit.form, session):
                        return self._foreign(request, visit)
                visit.called = await _called(visit)
                return await shown(visit)
            except ClientError as error:
                problem = Problem(code=error.code, message=str(error), advice=error.advice)
                return self._failed(session, status_of(error), problem, visit)

        return answer

    async def _ended(self, request: Request) -> Response:
        """Nobody is signed in, or not any more: what was sent is kept on the page, and what was asked for is linked."""
        if request.headers.get("hx-request") == "true":  # htmx shows no failures: the browser loads the page itself
            return Response(status_code=401, headers={**HEADERS, "HX-Redirect": _asked_for(request)})
        if request.method != "POST":
            return self._sign_in(401, back=_asked_for(request))
        try:
            form = read_form(await request.body()) if is_ours(request) else {}
        except BadRequest:
            form = {}
        if not form or request.url.path == "/leave":
            return self._sign_in(401)
        return unsent.show(
            unsent.unsent(request, form), session=None, node_name=self._node.identity.name, read_only=self._backend.read_only
        )

    def _foreign(self, request: Request, visit: Visit) -> Response:
        """A form that this session was not shown: one of ours, of an earlier sign-in, is shown again; others are refused."""
        if not is_ours(request) or request.url.path == "/leave":
            raise foreign_form()
        return unsent.show(
            unsent.unsent(request, visit.form), session=visit.session, node_name=visit.node_name, read_only=self._backend.read_only
        )

    async def _root(self, request: Request) -> Response:
        session = self._session(request)
        if session is None:
            return self._sign_in(401)
        return RedirectResponse(ROOT + ("/overview" if session.grant.patient is None else "/me"), 303)

    async def _enter(self, request: Request) -> Response:
        if request.method == "GET":
            return self._sign_in(200, code=request.query_params.get("code", ""))
        try:
            code = read_form(await request.body()).get("code", "")
        except BadRequest:
            return self._sign_in(422)
        entered = self._door.sessions.enter(now_ms(), code)
        if entered is None:
            return self._sign_in(401, used=True)
        _, cookie = entered
        answer = RedirectResponse(ROOT + "/", 303)
        answer.set_cookie(
            self._cookie, cookie, httponly=True, samesite="strict", secure=request.url.scheme == "https", path=ROOT
        )
        return answer

    async def _live(self, request: Request) -> Response:
        session = self._session(request)
        if session is None or "events" not in session.grant.scopes:
            return Response(status_code=403)
        sessions = self._door.sessions
        return live.stream(self._node, self._stopping, lambda: sessions.stands(now_ms(), session))

    def _sign_in(self, status: int, code: str = "", used: bool = False, back: str = "") -> Response:
        return page(
            "sign_in.html", status, session=None, node_name=self._node.identity.name, context="", code=code, used=used, back=back
        )

    def _failed(self, session: Session, status: int, problem: Problem, visit: Visit | None = None) -> Response:
        """A context that its name was found for stays in the menu; of one that there isn't, nothing is."""
        context, called = ("", "") if visit is None or not visit.called else (visit.context, visit.called)
        return page(
            "problem.html", status, session=session, node_name=self._node.identity.name, context=context, called=called, query={},
            path="" if visit is None else visit.request.url.path, read_only=self._backend.read_only, problem=problem,
        )  # fmt: skip


def _asked_for(request: Request) -> str:
    return ROOT + request.url.path + (f"?{request.url.query}" if request.url.query else "")


async def _called(visit: Visit) -> str:
    """The name of the path's context, as it stands in the path where this session may not know more; empty: there is none."""
    if not visit.context:
        return ""
    call = contexts.context(visit.context)
    found = await visit.ask_if_allowed(call)
    return found.name if found is not None else "" if visit.may(call.method, call.path) else short(visit.context)


def _leave(sessions: Sessions) -> Page:
    async def leave(visit: Visit) -> Response:
        sessions.end(visit.session)
        return visit.go("/enter")

    return leave


def status_of(error: ClientError) -> int:
    """The page's HTTP status for what the API answered."""
    if error.code in STATUSES:
        return STATUSES[error.code]
    if isinstance(error, NodeFault | Unreachable):
        return 502
    return STATUS_OF.get(type(error), 409)


class Mounted:
    """The API with the dashboard under /dashboard beside it."""

    def __init__(self, api: ASGIApp, dashboard: ASGIApp) -> None:
        self._app, self._dashboard = api, dashboard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        path: str = scope.get("path", "")
        if scope["type"] == "http" and (path in (ROOT, static_files.ICON) or path.startswith(ROOT + "/")):
            inner = {**scope, "path": path.removeprefix(ROOT) or "/", "raw_path": None, "root_path": ""}
            await self._dashboard(inner, receive, send)
            return
        await self._app(scope, receive, send)


def mount(node: Node, api: ASGIApp, door: Door, *, read_only: bool, stopping: trio.Event) -> ASGIApp:
    """The API's application with the pages beside it."""
    site = Site(node, api, door, read_only=read_only, stopping=stopping)
    return Mounted(api, Starlette(routes=site.routes()))
