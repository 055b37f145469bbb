"""Audit: this node's copy checked again, the whole context exported, streamed as the API makes it, and a cover for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import trio
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from medsync_client import audit as calls
from medsync_client import contexts
from medsync_node.dashboard.downloads import disposition
from medsync_node.dashboard.visit import ROOT, Visit
from medsync_node.printed.contents import Contents, contents
from medsync_node.printed.cover import cover_sheet
from medsync_node.printed.sheet import headers


async def audit(visit: Visit) -> Response:
    """What can be checked and exported."""
    return visit.show("audit.html", found=await visit.ask(contexts.context(visit.context)), report=None)


async def verify(visit: Visit) -> Response:
    """Everything held, read from disk and checked."""
    report = await visit.ask(calls.verify_audit(visit.context))
    return visit.show("audit.html", found=await visit.ask(contexts.context(visit.context)), report=report)


_PARTS: Final = 4  # of an export on their way to being counted: about 2 MB each


def _inner(scope: Scope, path: str) -> Scope:
    """A page's request as one of the API's."""
    return {**scope, "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": ""}


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

        await self._api(_inner(scope, self._path), receive, passing)


async def export(visit: Visit) -> Response:
    """The export; `medsync verify --export` checks it without trusting this node."""
    found = await visit.ask(contexts.context(visit.context))
    path = calls.export_path(found.id)
    visit.backend.require(visit.session.grant, "GET", path)
    return _Passed(visit.backend.api, path, _name(found.id))


def _name(context: str) -> str:
    return f"audit-{context[:12]}.ndjson"


async def cover(visit: Visit) -> Response:
    """What an export made now would hold, on a sheet. The same bytes as the download while nothing new is written."""
    found = await visit.ask(contexts.context(visit.context))
    path = calls.export_path(found.id)
    visit.backend.require(visit.session.grant, "GET", path)
    counted = await _counted(visit, path)
    document = cover_sheet(
        counted, file=_name(found.id), context=found.name, made=visit.now, by=visit.node_name, back=f"{ROOT}/c/{visit.context}/audit"
    )
    return HTMLResponse(document, headers=headers(document))


async def _counted(visit: Visit, path: str) -> Contents:
    """The export counted on a thread, part by part: it may be larger than memory."""
    come, go = trio.open_memory_channel[bytes](_PARTS)

    async def take(message: Message) -> None:
        if message.get("body"):
            await come.send(message["body"])

    async def ask() -> None:
        with come:
            await visit.backend.api(_inner(visit.request.scope, path), visit.request.receive, take)

    def lines() -> Iterator[str]:
        rest = b""
        while True:
            try:
                part = trio.from_thread.run(go.receive)
            except trio.EndOfChannel:
                break
            *whole, rest = (rest + part).split(b"\n")
            yield from (one.decode() + "\n" for one in whole)
        assert not rest, "the export ends with a newline"

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        return await trio.to_thread.run_sync(lambda: contents(lines()))


PAGES: Final = (
    ("GET", "/c/{context}/audit", audit),
    ("POST", "/c/{context}/audit", verify),
    ("GET", "/c/{context}/audit/export", export),
    ("GET", "/c/{context}/audit/cover", cover),
)
