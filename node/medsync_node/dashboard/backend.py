"""The node's own API as the pages see it: the same calls, checks and words as over HTTP, with a session's scopes."""

from __future__ import annotations

from typing import TypeVar

import httpx
from pydantic import BaseModel
from starlette.types import ASGIApp

from medsync_client.calls import Call
from medsync_client.errors import Refused
from medsync_node.api.scopes import route_of
from medsync_node.dashboard.sessions import Grant

T = TypeVar("T", bound=BaseModel)


class Backend:
    """Calls of one node, in this process."""

    def __init__(self, api: ASGIApp, *, read_only: bool) -> None:
        self.api, self.read_only = api, read_only
        transport = httpx.ASGITransport(api, raise_app_exceptions=False)
        self._http = httpx.AsyncClient(transport=transport, base_url="http://node", trust_env=False)

    def require(self, grant: Grant, method: str, path: str) -> None:
        """Raises Refused when these scopes, or read-only mode, don't allow a request."""
        route = route_of(method, path)
        if route is None or route.scope not in grant.scopes:
            needed = "no scope" if route is None else f"the scope {route.scope}"
            raise Refused(
                f"your sign-in doesn't include this: {needed} allows it", code="scope_missing",
                advice="ask for a link with that scope: `medsync open --scope …` at the node makes one",
            )  # fmt: skip
        if route.writes and self.read_only:
            raise Refused(
                "this node's API is read-only", code="read_only",
                advice="`medsync config set api.read_only false`, then start the node again",
            )  # fmt: skip

    def allows(self, grant: Grant, method: str, path: str) -> bool:
        """Whether a request would pass: pages offer only what can be done."""
        route = route_of(method, path)
        return route is not None and route.scope in grant.scopes and not (route.writes and self.read_only)

    async def send(self, grant: Grant, call: Call[T]) -> T:
        """Send a call. Raises ClientError: the API's own words."""
        self.require(grant, call.method, call.path)
        response = await self._http.request(
            call.method, call.path, content=call.content(), params=call.parameters(),
            headers={"Content-Type": "application/json"},
        )  # fmt: skip
        return call.read(response.status_code, response.content)
