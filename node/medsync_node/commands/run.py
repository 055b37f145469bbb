"""`medsync run`: the daemon on a home, until it is told to stop."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medsync_node.commands.options import Home, examples, home_of

if TYPE_CHECKING:
    from medsync_node.config import Config
    from medsync_node.home import Home as HomeFiles
    from medsync_node.node import Node

    Door = Callable[[Node], AbstractAsyncContextManager[str]]  # serves until its block ends; gives the URL

app = typer.Typer()


@app.command(
    epilog=examples(
        "run --home north",
        "run --home north --passphrase-from file:/run/secrets/medsync --log-format json",
        "run --home north --api-listen 127.0.0.1:8404",
    )
)
def run(
    home: Home = None,
    listen: Annotated[
        list[str] | None,
        typer.Option(metavar="MULTIADDR", help="Where other members reach this node; repeatable."),
    ] = None,
    announce: Annotated[
        list[str] | None,
        typer.Option(metavar="MULTIADDR", help="Where they reach it, if elsewhere; repeatable."),
    ] = None,
    api_listen: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="The API over TCP as well; loopback, unless TLS is set."),
    ] = None,
    rpc: Annotated[
        str | None,
        typer.Option(metavar="URL", help="A Starknet JSON-RPC that this node trusts for what is settled."),
    ] = None,
    depth: Annotated[
        int | None, typer.Option(metavar="BLOCKS", help="Blocks above a checkpoint until it is settled.")
    ] = None,
    passphrase_from: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="Of the key file: env:NAME, file:PATH or prompt.")
    ] = None,
    synchronous: Annotated[
        str | None, typer.Option(help="own, full or normal: which commits wait for the platter.")
    ] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    log_format: Annotated[str | None, typer.Option(help="text or json.")] = None,
    ready_fd: Annotated[
        int | None, typer.Option(metavar="FD", help="Write `ready` to this descriptor as well, and close it.")
    ] = None,
    exit_on_eof: Annotated[bool, typer.Option("--exit-on-eof", help="Stop when stdin ends.")] = False,
    calimero: Annotated[
        int | None,
        typer.Option(metavar="PORT", help="Also answer as Calimero's merod, on this port of 127.0.0.1, without tokens."),
    ] = None,
) -> None:
    """Run the node. The last line of its start is `ready`; SIGTERM or Ctrl-C stop it in order, SIGHUP reads the log level again."""
    from medsync_node import config, logs
    from medsync_node.home import Home as HomeFiles
    from medsync_node.passphrase import read_passphrase

    files = HomeFiles(home_of(home))
    flags = {
        "listen": listen, "announce": announce, "api.listen": api_listen, "chain.rpc": rpc, "chain.depth": depth,
        "passphrase_from": passphrase_from, "synchronous": synchronous, "log.level": log_level,
        "log.format": log_format,
    }  # fmt: skip
    settings = config.load(files.path, os.environ, flags)
    logs.configure(settings.log_level, settings.log_format)
    files.require()
    with files.locked():
        passphrase = read_passphrase(settings.passphrase_from)
    door = None if calimero is None else _doors()["calimero"](calimero)
    serve(files, settings, passphrase, ready_fd=ready_fd, exit_on_eof=exit_on_eof, flags=flags, door=door)


def _doors() -> dict[str, Any]:
    """Other surfaces over a node, by name: each takes a port and gives a `Door`."""
    return {point.name: point.load() for point in entry_points(group="medsync.doors")}


def serve(
    files: HomeFiles, settings: Config, passphrase: str, *, ready_fd: int | None = None, exit_on_eof: bool = False,
    flags: Mapping[str, Any] | None = None, door: Door | None = None,
) -> None:  # fmt: skip
    """Run a home's node, with another surface over it if `door` is one, until a signal or the end of stdin."""
    import structlog
    import trio

    from medsync_node import service_manager
    from medsync_node.daemon import open_daemon, the_cause

    log = structlog.get_logger()

    async def until_told(stop: trio.Event, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as received:
            task_status.started()
            async for number in received:
                if number == signal.SIGHUP:
                    _reload(files, flags or {})
                    continue
                log.info("told to stop", signal=signal.Signals(number).name)
                service_manager.stopping()
                stop.set()

    async def until_eof(stop: trio.Event) -> None:
        read = partial(_read_to_end, sys.stdin.fileno())
        await trio.to_thread.run_sync(read, abandon_on_cancel=True)  # type: ignore[call-arg]  # libp2p brings old stubs
        log.info("told to stop", by="end of stdin")
        stop.set()

    async def main() -> None:
        stop = trio.Event()
        async with trio.open_nursery() as nursery:
            await nursery.start(until_told, stop)
            if exit_on_eof:
                nursery.start_soon(until_eof, stop)
            async with open_daemon(files, settings, passphrase) as daemon, AsyncExitStack() as stack:
                if door is not None:
                    log.info("answers as merod", url=await stack.enter_async_context(door(daemon.node)))
                log.info(
                    "running", name=daemon.node.identity.name, member=daemon.node.identity.member.hex(),
                    listens=list(daemon.node.transport.addresses), api=str(daemon.api.socket), url=daemon.api.url,
                )  # fmt: skip
                _say_ready(ready_fd)
                service_manager.ready()
                await stop.wait()
            nursery.cancel_scope.cancel()
        log.info("stopped")

    try:
        trio.run(main)
    except BaseExceptionGroup as group:
        raise the_cause(group) from group


def _reload(files: HomeFiles, flags: Mapping[str, Any]) -> None:
    """Take over the log's level and format; other settings need a new start. Wrong ones change nothing."""
    import structlog

    from medsync_node import config, logs, service_manager
    from medsync_protocol.errors import OperatorError

    service_manager.reloading()
    try:
        settings = config.load(files.path, os.environ, flags)
    except OperatorError as error:
        structlog.get_logger().error(f"settings not taken over: {error}", advice=error.advice)
    else:
        logs.configure(settings.log_level, settings.log_format)
        structlog.get_logger().warning("settings read again", log_level=settings.log_level)
    service_manager.ready()


def _read_to_end(descriptor: int) -> None:
    """Not through the buffered stream: its lock, held by a thread that still waits, aborts the interpreter's end."""
    while os.read(descriptor, 4096):
        pass


def _say_ready(ready_fd: int | None) -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    if ready_fd is not None:
        with os.fdopen(ready_fd, "w") as file:
            file.write("ready\n")
