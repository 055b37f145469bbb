"""Audit: this node's copy checked again, and the whole context exported, streamed as the API makes it."""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from medsync_client import audit as calls
from medsync_client import contexts
from medsync_node.dashboard.downloads import disposition
from medsync_node.dashboard.visit import Visit


async def audit(visit: Visit) -> Response:
    """What can be checked and exported."""
    return visit.show("audit.html", found=await visit.ask(contexts.context(visit.context)), report=None)


async def verify(visit: Visit) -> Response:
    """Everything held, read from disk and checked."""
    report = await visit.ask(calls.verify_audit(visit.context))
    return visit.show("audit.html", found=await visit.ask(contexts.context(visit.context)), report=report)


class _Passed(Response):
    """The API's own answer, as it streams, under a file's name."""

    def __init__(self, api: ASGIApp, path: str, name: str) -> None:
        super().__init__()
        self._api, self._path, self._name = api, path, name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Ask and pass on."""
        ours = [(key.lower().encode(), value.encode()) for key, value in disposition(self._name).items()]

        async def passing(message: Message) -> None:
            if message["type"] == "http.response.start":
                taken = {key for key, _ in ours}
                kept: list[tuple[Any, Any]] = [one for one in message["headers"] if one[0] not in taken]
                message = {**message, "headers": [*kept, *ours]}
            await send(message)

        inner = {**scope, "path": self._path, "raw_path": self._path.encode(), "query_string": b"", "root_path": ""}
        await self._api(inner, receive, passing)


async def export(visit: Visit) -> Response:
    """The export; `medsync verify --export` checks it without trusting this node."""
    found = await visit.ask(contexts.context(visit.context))
    path = calls.export_path(found.id)
    visit.backend.require(visit.session.grant, "GET", path)
    return _Passed(visit.backend.api, path, f"audit-{found.id[:12]}.ndjson")


PAGES: Final = (
    ("GET", "/c/{context}/audit", audit),
    ("POST", "/c/{context}/audit", verify),
    ("GET", "/c/{context}/audit/export", export),
)
