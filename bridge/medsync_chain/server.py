"""HTTP/1.1 for JSON-RPC, by h11 under trio: loopback by default, one request runs at a time. Methods are `rpc/`'s.

A web page must not reach the chain: requests whose Host or Origin names another machine are refused, so that
neither DNS rebinding nor a cross-site form works.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import h11
import trio

from medsync_chain.chain import Chain
from medsync_chain.rpc.dispatch import Method, Methods, answer
from medsync_chain.rpc.events import event_methods
from medsync_chain.rpc.knobs import Outage, knob_methods
from medsync_chain.rpc.proofs import proof_methods
from medsync_chain.rpc.reading import reading_methods
from medsync_chain.rpc.running import running_methods
from medsync_chain.rpc.traces import trace_methods

__all__ = ["Server", "methods_of"]

MAX_BODY: Final = 16 * 1024 * 1024  # bytes; a declared class may have 4 MB, a batch a few of them
MAX_CONNECTIONS: Final = 256  # at once; more wait in the listener's backlog
IDLE_SECONDS: Final = 75  # a silent connection is closed
READ_SIZE: Final = 65_536
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_JSON: Final = [("content-type", "application/json")]
_KNOBS: Final = ("devnet_", "medsync_")

log = logging.getLogger(__name__)


def methods_of(chain: Chain, outage: Outage, *, knobs: bool) -> Methods:
    """All methods by name."""
    methods: dict[str, Method] = {
        **reading_methods(chain),
        **running_methods(chain),
        **event_methods(chain),
        **trace_methods(chain),
        **proof_methods(chain),
    }
    return methods | dict(knob_methods(chain, outage)) if knobs else methods


@dataclass(slots=True, kw_only=True)
class Server:
    """Serves one chain. `hosts` are names a client may use besides loopback's."""

    chain: Chain
    knobs: bool = True
    hosts: frozenset[str] = frozenset()
    outage: Outage = field(default_factory=Outage)
    _one_at_a_time: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(1))
    _methods: Methods = field(init=False)

    def __post_init__(self) -> None:
        self._methods = methods_of(self.chain, self.outage, knobs=self.knobs)

    async def serve(self, listeners: Sequence[trio.SocketListener]) -> None:
        """Until cancelled."""
        slots = trio.Semaphore(MAX_CONNECTIONS)

        async def handler(stream: trio.SocketStream) -> None:
            async with slots, stream:
                try:
                    await self._connection(stream)
                except Exception:  # whatever one connection does, the others go on; it is logged whole
                    log.exception("a connection failed")

        await trio.serve_listeners(handler, list(listeners))

    async def run_exclusively(self, work: Callable[[], object]) -> None:
        """Runs something on the chain while no request does."""
        await trio.to_thread.run_sync(work, limiter=self._one_at_a_time)

    async def _connection(self, stream: trio.SocketStream) -> None:
        connection = h11.Connection(h11.SERVER)
        try:
            while True:
                with trio.move_on_after(IDLE_SECONDS) as waiting:
                    request, body = await _read(connection, stream)
                if waiting.cancelled_caught or request is None:
                    return
                status, answered = await self._answer(request, body)
                await _send(connection, stream, status, b"" if request.method == b"HEAD" else answered)
                if {connection.our_state, connection.their_state} != {h11.DONE}:
                    return
                connection.start_next_cycle()
        except h11.RemoteProtocolError as error:
            if connection.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                await _send(connection, stream, error.error_status_hint, _problem(str(error)))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # the client went away

    async def _answer(self, request: h11.Request, body: bytes) -> tuple[int, bytes]:
        headers = {name: value.decode("latin-1") for name, value in request.headers}
        if not self._welcome(headers):
            return 403, _problem("this Host or Origin may not use the chain")
        if request.method in (b"GET", b"HEAD"):
            return (
                (200, b'"ready"') if request.target in (b"/", b"/is_alive") else (404, _problem("not found"))
            )
        if request.method != b"POST":
            return 405, _problem("POST a JSON-RPC request")
        methods = self._methods
        if self.outage.down:
            methods = {name: method for name, method in methods.items() if name.startswith(_KNOBS)}
            if not _asks_only(methods, body):
                return 503, _problem("an outage is on; medsync_setOutage ends it")
        answered = await trio.to_thread.run_sync(answer, methods, body, limiter=self._one_at_a_time)
        return 200, b"" if answered is None else answered

    def _welcome(self, headers: dict[bytes, str]) -> bool:
        allowed = LOOPBACK | self.hosts
        origin = headers.get(b"origin")
        if origin is not None and (urlsplit(origin).hostname or "") not in allowed:
            return False
        return (urlsplit("//" + headers.get(b"host", "")).hostname or "") in allowed


async def _read(connection: h11.Connection, stream: trio.SocketStream) -> tuple[h11.Request | None, bytes]:
    """One request with its body; None when the client is done. Raises RemoteProtocolError."""
    request: h11.Request | None = None
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            if connection.they_are_waiting_for_100_continue:
                informed = connection.send(h11.InformationalResponse(status_code=100, headers=[]))
                await stream.send_all(informed or b"")
            connection.receive_data(await stream.receive_some(READ_SIZE))
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > MAX_BODY:
                raise h11.RemoteProtocolError("the request is too large", error_status_hint=413)
        elif isinstance(event, h11.EndOfMessage):
            return request, bytes(body)
        else:
            return None, b""


async def _send(connection: h11.Connection, stream: trio.SocketStream, status: int, body: bytes) -> None:
    headers = [*_JSON, ("content-length", str(len(body)))]
    parts = [
        connection.send(h11.Response(status_code=status, headers=headers)),
        connection.send(h11.Data(data=body)),
        connection.send(h11.EndOfMessage()),
    ]
    await stream.send_all(b"".join(part for part in parts if part))


def _asks_only(methods: Methods, body: bytes) -> bool:
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(request, dict) and request.get("method") in methods


def _problem(text: str) -> bytes:
    return json.dumps({"error": text}).encode()
