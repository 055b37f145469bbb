"""Serves the API by hypercorn: on the home's unix socket, mode 0600, without a token; over TCP with one.

Sockets are made and checked here, so that what is wrong with an address is told before anything runs.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog
import trio
from hypercorn.config import Config as ServerConfig
from hypercorn.trio import run as hypercorn_run
from hypercorn.trio import serve
from starlette.types import ASGIApp

from medsync_node.api.connections import Connection
from medsync_node.api.fhir_answers import AsOutcomes
from medsync_node.api.guards import ReadOnly, RequireToken
from medsync_node.config import ApiConfig
from medsync_node.token_book import TokenBook
from medsync_protocol.errors import OperatorError

log = structlog.get_logger()

GRACE_SECONDS: Final = 3.0  # a request under way when the node stops
IDLE_SECONDS: Final = 75  # longer than clients keep idle connections, so that none is closed under a request
MAX_HEADERS: Final = 32 * 1024  # bytes
BACKLOG: Final = 128
REQUESTS_A_CONNECTION: Final = 1 << 30  # a bulk writer keeps its connection


hypercorn_run.TCPServer = Connection  # type: ignore[attr-defined]  # where `serve` looks it up


class CannotServe(OperatorError):
    """The API can't be served where it shall be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Where the API is. `url` None: not over TCP."""

    socket: Path
    url: str | None = None


@asynccontextmanager
async def serving(
    app: ASGIApp, config: ApiConfig, *, token: str | None, stopping: trio.Event, book: TokenBook | None = None
) -> AsyncIterator[Served]:
    """Serve until the block ends; then `stopping` is set, and requests under way have GRACE_SECONDS.

    `token` belongs with `config.listen`; `book` holds the issued ones. Raises CannotServe before anything runs.
    """
    app = ReadOnly(app) if config.read_only else app
    local = _unix_socket(config.socket)
    try:
        remote = None if config.listen is None else tcp_socket(*config.listen)
        tls = _check_tls(config)
    except CannotServe:
        local.close()
        config.socket.unlink(missing_ok=True)
        raise
    url = None if remote is None else _url(remote, tls)
    servers: list[tuple[ASGIApp, ServerConfig]] = [(AsOutcomes(app), _server(local, None))]
    if remote is not None:
        assert token is not None, "TCP is not served without a token"
        servers.append((AsOutcomes(RequireToken(app, token, book)), _server(remote, config if tls else None)))
    try:
        async with trio.open_nursery() as nursery:
            for served, settings in servers:
                run = partial(serve, served, settings, shutdown_trigger=stopping.wait, mode="asgi")  # type: ignore[arg-type]
                await nursery.start(run)
            try:
                yield Served(socket=config.socket, url=url)
            finally:
                stopping.set()
                nursery.cancel_scope.deadline = trio.current_time() + GRACE_SECONDS + 1
    finally:
        with suppress(OSError):  # of a disk that turned read-only: the next start takes its place
            config.socket.unlink(missing_ok=True)


def _server(made: socket.socket, tls: ApiConfig | None) -> ServerConfig:
    settings: dict[str, Any] = {
        "bind": [f"fd://{made.detach()}"], "backlog": BACKLOG, "errorlog": None, "accesslog": None,
        "graceful_timeout": GRACE_SECONDS, "keep_alive_timeout": IDLE_SECONDS,
        "keep_alive_max_requests": REQUESTS_A_CONNECTION, "h11_max_incomplete_size": MAX_HEADERS,
        "include_server_header": False,
    }  # fmt: skip
    if tls is not None:
        settings |= {"certfile": str(tls.certificate), "keyfile": str(tls.private_key)}
        if tls.client_authority is not None:
            settings |= {"ca_certs": str(tls.client_authority), "verify_mode": ssl.CERT_REQUIRED}
    return ServerConfig.from_mapping(settings)


def _unix_socket(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.is_socket():
            _refuse_if_alive(path)
            path.unlink()
        before = os.umask(0o177)
        try:
            made.bind(str(path))
        finally:
            os.umask(before)
    except OSError as error:
        made.close()
        raise CannotServe(
            f"cannot make the API's socket: {error.strerror or error}",
            advice="set api.socket to a place that this user may write, on a local file system",
        ) from error
    except CannotServe:
        made.close()
        raise
    return made


def _refuse_if_alive(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            return  # left behind by a process that was killed
    raise CannotServe(
        "another process serves on the API's socket", advice="stop it, or set api.socket to another place"
    )


def tcp_socket(host: str, port: int, setting: str = "api.listen") -> socket.socket:
    """A socket that listens there. Raises CannotServe, with the setting to change."""
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        made.bind((host, port))
        made.listen(BACKLOG)
    except OSError as error:
        made.close()
        raise CannotServe(
            f"cannot serve at {host}:{port}: {error.strerror or error}",
            advice=f"choose another {setting}, or stop what listens there; port 0 takes any that is free",
        ) from error
    return made


def _check_tls(config: ApiConfig) -> bool:
    if config.certificate is None or config.private_key is None or config.listen is None:
        return False
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(config.certificate, config.private_key)
    except (OSError, ssl.SSLError) as error:
        raise CannotServe(
            "the API's certificate and key can't be used together",
            advice="api.certificate and api.private_key are PEM files, the key without a passphrase",
        ) from error
    if config.client_authority is not None:
        try:
            context.load_verify_locations(config.client_authority)
        except (OSError, ssl.SSLError) as error:
            raise CannotServe(
                "api.client_authority can't be used", advice="it is a PEM file with the certificates of who signs the callers'"
            ) from error
    return True


def _url(made: socket.socket, tls: bool) -> str:
    host, port = made.getsockname()[:2]
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
