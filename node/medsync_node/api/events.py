"""What happens at this node, as server-sent events: one JSON object each, without patient data."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Final

import trio
from fastapi import APIRouter
from starlette.requests import Request

from medsync_node.api.guards import STANDS
from medsync_node.api.streaming import Stream
from medsync_protocol.effects import Notify

if TYPE_CHECKING:
    from medsync_node.node import Node

KEEP_ALIVE_SECONDS: Final = 15.0  # a comment line, so that proxies and clients see that the stream lives


def event_text(notice: Notify) -> str:
    """One event. Bytes are hex."""
    fields = {name: value.hex() if isinstance(value, bytes) else value for name, value in notice.fields}
    context = None if notice.context is None else notice.context.hex()
    data = json.dumps({"what": notice.what, "context": context, **fields}, separators=(",", ":"), default=str)
    return f"event: {notice.what}\ndata:{data}\n\n"


async def stream(node: Node, stopping: trio.Event, stands: Callable[[], bool]) -> AsyncIterator[str]:
    """Events from now on, until the caller goes, its token is revoked or over (`stands`), or the node stops."""
    send, receive = trio.open_memory_channel[str](0)

    async def forward() -> None:
        async with node.notifications() as channel:
            await send.send(": connected\n\n")
            async for notice in channel:
                await send.send(event_text(notice))

    async def end() -> None:
        await stopping.wait()
        await send.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(forward)
        nursery.start_soon(end)
        while True:
            text = ": still here\n\n"
            try:
                with trio.move_on_after(KEEP_ALIVE_SECONDS):
                    text = await receive.receive()
            except trio.EndOfChannel:
                break
            if not stands():
                break
            yield text
        nursery.cancel_scope.cancel()


def routes(node: Node, stopping: trio.Event) -> APIRouter:
    """Routes over this node."""
    router = APIRouter(tags=["events"])

    @router.get("/events")
    async def events(request: Request) -> Stream:
        """What happens here from now on, as it happens."""
        headers = {"Cache-Control": "no-store"}
        return Stream(stream(node, stopping, request.scope.get(STANDS, lambda: True)), media_type="text/event-stream", headers=headers)

    return router
