"""A response in parts, made as it is sent; it ends when the caller goes."""

from __future__ import annotations

import trio
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


class Stream(StreamingResponse):
    """Starlette's, but for its end: there the part that closes the response can be cancelled half-way under hypercorn.

    The connection then stays open until the server gives up on it. Here whoever watches for the caller's leaving is
    gone before the response is closed.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it all."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_until_gone, receive, nursery.cancel_scope)
            async for part in self.body_iterator:
                body = part.encode(self.charset) if isinstance(part, str) else bytes(part)
                await send({"type": "http.response.body", "body": body, "more_body": True})
            nursery.cancel_scope.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _until_gone(receive: Receive, sending: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    sending.cancel()
