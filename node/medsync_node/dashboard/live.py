"""That something changed, as server-sent events, at most once a second: pages then ask for what they show again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Final

import trio

from medsync_node.api.streaming import Stream
from medsync_node.dashboard.rendering import HEADERS

if TYPE_CHECKING:
    from medsync_node.node import Node

PAUSE_SECONDS: Final = 1.0  # between two events: a burst of operations is one change for a person
CHANGED: Final = "event: changed\ndata: 1\n\n"
KEEP_ALIVE_SECONDS: Final = 15.0  # also how soon a stream ends after its session did


async def _changes(node: Node, stopping: trio.Event, stands: Callable[[], bool]) -> AsyncIterator[str]:
    async with node.notifications() as notices, trio.open_nursery() as nursery:

        async def end() -> None:
            await stopping.wait()
            notices.close()

        nursery.start_soon(end)
        yield ": connected\n\n"
        while stands():
            text = ": still here\n\n"
            try:
                with trio.move_on_after(KEEP_ALIVE_SECONDS):
                    await notices.receive()
                    text = CHANGED
            except trio.ClosedResourceError:
                break
            yield text
            with trio.move_on_after(PAUSE_SECONDS):
                await stopping.wait()
            while not stopping.is_set() and notices.statistics().current_buffer_used > 1:  # the last is told
                notices.receive_nowait()
        if not stopping.is_set():  # the session ended: the page asks once more, and learns so
            yield CHANGED
        nursery.cancel_scope.cancel()


def stream(node: Node, stopping: trio.Event, stands: Callable[[], bool]) -> Stream:
    """The response; it ends when the node stops, the caller goes, or `stands` says no."""
    return Stream(_changes(node, stopping, stands), media_type="text/event-stream", headers=dict(HEADERS))
