"""What stands before the routes: how large a body may be, the token that TCP wants and its scopes and rate, read-only mode."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import trio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from medsync_client.wire import Problem
from medsync_node.api.problems import answer
from medsync_node.api.scopes import route_of
from medsync_node.token_book import Issued, TokenBook
from medsync_node.tokens import matches
from medsync_protocol.errors import OperatorError

MAX_BODY: Final = (
    256 * 1024
)  # bytes: the largest single document, a directive of 64 full rules, needs a tenth
MAX_BATCH_BODY: Final = 4 << 20  # 4,096 log entries as JSON
BODY_SECONDS: Final = 60.0  # for a body to come whole: a caller that stops sending holds nothing for longer
BATCH_SUFFIX: Final = ":batch"
WITHOUT_TOKEN: Final = frozenset({"/healthz", "/readyz", "/fhir/r4/metadata", "/fhir/r5/metadata", "/favicon.ico"})
"""Paths that say nothing but whether the node serves, and what: monitors and clients that look first have no token."""
PAGES: Final = ("/docs", "/openapi.json")
"""The API's own description: the same on every node."""
DASHBOARD: Final = "/dashboard"
"""Pages for people: they sign in by a link and have sessions instead of tokens, which the dashboard checks."""
TOKEN: Final = "medsync.token"
"""Where a route finds the issued token that a request came with; not there for the node's own and on the socket."""


STANDS: Final = "medsync.stands"
"""Beside it: a function that says whether that token is still in force."""


def is_dashboard(path: str) -> bool:
    """Whether a path is a page's."""
    return path == DASHBOARD or path.startswith(DASHBOARD + "/")


def wall_ms() -> int:
    """Milliseconds since 1970 UTC: tokens end by the wall clock."""
    return time.time_ns() // 1_000_000


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
    """Lets a request through that carries a token for it; the unix socket's app has no such guard.

    The node's own token may do everything, at any rate. Issued ones: what their scopes allow, at theirs.
    """

    def __init__(self, app: ASGIApp, token: str, book: TokenBook | None = None, now: Callable[[], int] = wall_ms) -> None:
        self._app, self._token, self._book, self._now = app, token, book, now
        self._buckets: dict[str, Bucket] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        path: str = scope["path"]
        if path in WITHOUT_TOKEN or path.startswith(PAGES) or is_dashboard(path):
            return None
        header = dict(scope["headers"]).get(b"authorization")
        if matches(header, self._token):
            return None
        kind, _, given = (header or b"").partition(b" ")
        try:
            issued = None if self._book is None or kind.lower() != b"bearer" else self._book.find(given.strip(), self._now())
        except OperatorError as error:
            return answer(503, Problem(code="tokens_unreadable", message=str(error), advice=error.advice))
        if issued is None:
            problem = Problem(
                code="unauthorised", message="this needs a bearer token that is in force",
                advice="send `Authorization: Bearer …` with what `medsync token create` printed",
            )  # fmt: skip
            return answer(401, problem, {"WWW-Authenticate": "Bearer"})
        wait = self._buckets.setdefault(issued.id, Bucket(issued.rate)).take(trio.current_time())
        if wait > 0:
            problem = Problem(
                code="too_many_requests", message=f"this token may make {issued.rate} requests a second",
                advice="slow down, send batches, or ask for a token with a higher rate",
            )  # fmt: skip
            return answer(429, problem, {"Retry-After": str(math.ceil(wait))})
        route = route_of(scope["method"], path)
        if route is None or route.scope not in issued.scopes:
            problem = Problem(
                code="scope_missing", message="no scope allows this: there is nothing at this path",
                advice="what there is, stands at /docs",
            ) if route is None else Problem(
                code="scope_missing", message=f"this token's scopes don't include this: the scope {route.scope} allows it",
                advice="`medsync token create` at the node makes one that has it",
            )  # fmt: skip
            return answer(403, problem)
        scope[TOKEN], scope[STANDS] = issued, partial(self._stands, issued)
        return None

    def _stands(self, issued: Issued) -> bool:
        """Whether a token that let a request in still would: what streams asks again."""
        try:
            return self._book is not None and self._book.standing(issued, self._now())
        except OperatorError:
            return False


class Bucket:
    """Requests that one token has left: `rate` a second, as many at once."""

    def __init__(self, rate: int) -> None:
        self._rate, self._left, self._at = rate, float(rate), -math.inf

    def take(self, now: float) -> float:
        """Use one; else the seconds until there is one again. `now` in seconds of a clock that never goes back."""
        self._left = min(float(self._rate), self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left >= 1:
            self._left -= 1
            return 0.0
        return (1 - self._left) / self._rate


class ReadOnly:
    """Refuses what would change the record; reading the access log is allowed and, as always, logged.

    The dashboard looks at the same table itself: signing in changes no record.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD") and not is_dashboard(scope["path"]):
            route = route_of(scope["method"], scope["path"])
            if route is None or route.writes:
                problem = Problem(
                    code="read_only", message="this node's API is read-only",
                    advice="`medsync config set api.read_only false`, then start the node again",
                )  # fmt: skip
                await answer(403, problem)(scope, receive, send)
                return
        await self._app(scope, receive, send)
