"""Serves the surface on a TCP port beside a running node: by `medsync run --calimero PORT`, and by `medsync-merod run`."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import trio

from medsync_protocol.errors import OperatorError

if TYPE_CHECKING:
    from medsync_calimero.app import Options
    from medsync_node.node import Node

LOOPBACK: Final = "127.0.0.1"
IDLE_SECONDS: Final = 75
REQUESTS_A_CONNECTION: Final = 1 << 30
GRACE_SECONDS: Final = 1.0  # of requests under way when the node stops; followers' streams are cut
USER: Final = "MERO_AUTH_ADMIN_USER"
PASSWORD: Final = "MERO_AUTH_ADMIN_PASSWORD"


def first_admin() -> tuple[str, str] | None:
    """The first administrator's user and password, from the environment."""
    user, password = os.environ.get(USER), os.environ.get(PASSWORD)
    return (user, password) if user and password else None


def on_port(port: int) -> Callable[[Node], AbstractAsyncContextManager[str]]:
    """For `medsync run --calimero`: on loopback, without tokens."""
    return lambda node: serving(node, LOOPBACK, port)


@asynccontextmanager
async def serving(node: Node, host: str, port: int, options: Options | None = None) -> AsyncIterator[str]:
    """Serve until the block ends; yields the URL. Raises OperatorError before anything runs."""
    from hypercorn.config import Config as ServerConfig
    from hypercorn.trio import serve

    from medsync_calimero.app import Options, open_door
    from medsync_node.api.server import BACKLOG, tcp_socket
    chosen = options or Options()
    if not chosen.embedded and not ipaddress.ip_address(host).is_loopback:
        raise OperatorError(
            "in proxy mode nobody is asked for a token, and this is no loopback address",
            advice="use --auth-mode embedded, or listen on 127.0.0.1 behind a proxy that asks",
        )
    listening = tcp_socket(host, port, "port")
    url = f"http://{host}:{listening.getsockname()[1]}"
    settings: dict[str, Any] = {
        "bind": [f"fd://{listening.detach()}"], "backlog": BACKLOG, "errorlog": None, "accesslog": None,
        "graceful_timeout": GRACE_SECONDS, "keep_alive_timeout": IDLE_SECONDS, "include_server_header": False,
        "keep_alive_max_requests": REQUESTS_A_CONNECTION,
    }  # fmt: skip
    async with open_door(node, chosen) as app, trio.open_nursery() as nursery:
        stopping = trio.Event()
        run = partial(serve, app, ServerConfig.from_mapping(settings), shutdown_trigger=stopping.wait, mode="asgi")  # type: ignore[arg-type]
        await nursery.start(run)
        try:
            yield url
        finally:
            stopping.set()
            nursery.cancel_scope.deadline = trio.current_time() + GRACE_SECONDS + 1
