"""What stands before the routes: how large a body may be, and the bearer token that TCP wants."""

from __future__ import annotations

from typing import Final

import trio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from medsync_client.wire import Problem
from medsync_node.api.problems import answer
from medsync_node.tokens import matches

MAX_BODY: Final = (
    256 * 1024
)  # bytes: the largest single document, a directive of 64 full rules, needs a tenth
MAX_BATCH_BODY: Final = 4 << 20  # 4,096 log entries as JSON
BODY_SECONDS: Final = 60.0  # for a body to come whole: a caller that stops sending holds nothing for longer
BATCH_SUFFIX: Final = ":batch"
WITHOUT_TOKEN: Final = frozenset({"/healthz", "/readyz"})
"""Paths that say nothing but whether the node serves; monitors have no token."""
PAGES: Final = ("/docs", "/openapi.json")
"""The API's own description: the same on every node."""


class LimitBody:
    """Reads a request's body whole, up to the limit, before the route sees it; a longer one is answered by 413."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        limit = MAX_BATCH_BODY if scope["path"].endswith(BATCH_SUFFIX) else MAX_BODY
        body: bytes | None = b""
        with trio.move_on_after(BODY_SECONDS) as slow:
            body = await _read(scope, receive, limit)
        if slow.cancelled_caught:
            problem = Problem(
                code="too_slow", message="the request's body did not come", advice="send it again"
            )
            await answer(408, problem, {"Connection": "close"})(scope, receive, send)
            return
        if body is None:
            problem = Problem(
                code="body_too_large",
                message=f"the request is larger than {limit} bytes",
                advice="send it in parts",
            )
            await answer(413, problem, {"Connection": "close"})(scope, receive, send)
            return
        waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return waiting.pop() if waiting else await receive()

        await self._app(scope, replay, send)


async def _read(scope: Scope, receive: Receive, limit: int) -> bytes | None:
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    if not declared.isdigit() or int(declared) > limit:
        return None
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"".join(parts)  # the caller is gone: nobody reads the answer
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            return None
        if not message.get("more_body", False):
            return b"".join(parts)


class RequireToken:
    """Lets a request through that carries the token; the unix socket's app has no such guard."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "http" and not self._may(scope):
            problem = Problem(
                code="unauthorised", message="this needs the node's bearer token",
                advice="send `Authorization: Bearer …` with what the home's token file holds",
            )  # fmt: skip
            await answer(401, problem, {"WWW-Authenticate": "Bearer"})(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _may(self, scope: Scope) -> bool:
        path: str = scope["path"]
        if path in WITHOUT_TOKEN or path.startswith(PAGES):
            return True
        return matches(dict(scope["headers"]).get(b"authorization"), self._token)
