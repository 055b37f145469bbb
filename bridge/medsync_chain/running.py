"""Runs a chain as a process: opens its store, listens, says that it is ready, stops cleanly. Options are `command.py`'s."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from medsync_chain.chain import Chain, Sealing
from medsync_chain.compiling import Compilations, installed_folders, own_folder
from medsync_chain.felts import short, short_text
from medsync_chain.genesis import Genesis
from medsync_chain.server import Server
from medsync_chain.store import Store, StoreProblem

__all__ = ["Options", "Started", "open_chain", "run"]

CHAIN_ID = "MEDSYNC_LOCAL"
COMPILER = "starknet-sierra-compile"  # looked for on PATH


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a person may choose. `block_seconds`: None seals after each transaction, 0 never by itself."""

    host: str = "127.0.0.1"
    port: int = 5050
    db: Path | None = None
    seed: int | None = None
    accounts: int = 10
    block_seconds: float | None = None
    classes: tuple[Path, ...] = ()
    compiler: Path | None = None
    knobs: bool = True
    ready_fd: int | None = None
    exit_on_eof: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A chain that listens."""

    chain: Chain
    url: str


def open_chain(options: Options, store: Store) -> Chain:
    """The chain in this store; a new one is made as the options say. Raises StoreProblem."""
    genesis = Genesis(
        chain_id=short(_fact(store, "chain_id", CHAIN_ID)),
        seed=int(_fact(store, "seed", None if options.seed is None else str(options.seed), "0")),
        accounts=int(_fact(store, "accounts", None, str(options.accounts))),
        timestamp=int(_fact(store, "genesis_time", None, str(int(time.time())))),
    )
    compiler = options.compiler or (Path(found) if (found := shutil.which(COMPILER)) else None)
    folders = [own_folder(), *installed_folders(), *options.classes]
    chain = Chain(store, genesis, lambda: int(time.time()), Compilations(folders, compiler))
    if options.block_seconds is not None:
        chain.sealing = Sealing.ON_DEMAND
    return chain


def _fact(store: Store, name: str, wanted: str | None, default: str | None = None) -> str:
    """A value fixed when the chain was made."""
    found = store.fact(name)
    if found is None:
        found = wanted if wanted is not None else default
        assert found is not None
        store.set_fact(name, found)
    if wanted is not None and found != wanted:
        raise StoreProblem(
            f"the chain in this database has {name} {found}, not {wanted}",
            "leave the option out, or name another --db",
        )
    return found


async def run(options: Options, announce: Callable[[Started], None]) -> None:
    """Serves until SIGINT, SIGTERM or, if asked for, the end of stdin. Raises StoreProblem, OSError."""
    store = Store(options.db)
    try:
        chain = open_chain(options, store)
        listeners = await trio.open_tcp_listeners(options.port, host=options.host)
        server = Server(chain=chain, knobs=options.knobs, hosts=frozenset({options.host}))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.serve, listeners)
            await nursery.start(_until_signal, nursery.cancel_scope)
            if options.exit_on_eof:
                nursery.start_soon(_until_eof, nursery.cancel_scope)
            if options.block_seconds:
                nursery.start_soon(_seal_every, server, options.block_seconds)
            announce(Started(chain=chain, url=_url(listeners[0])))
            if options.ready_fd is not None:
                os.write(options.ready_fd, b"ready\n")
                os.close(options.ready_fd)
    finally:
        store.close()


def _url(listener: trio.SocketListener) -> str:
    host, port = listener.socket.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


async def _until_signal(scope: trio.CancelScope, task_status: Any) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            scope.cancel()


async def _until_eof(scope: trio.CancelScope) -> None:
    async with trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as stdin:
        while await stdin.receive_some():
            pass
    scope.cancel()


async def _seal_every(server: Server, seconds: float) -> None:
    while True:
        await trio.sleep(seconds)
        await server.run_exclusively(server.chain.seal)


def chain_name(chain: Chain) -> str:
    """The chain id as text."""
    return short_text(chain.chain_id) or hex(chain.chain_id)
