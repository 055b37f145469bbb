"""Opening a node: its journal and network, its engine with all that was written before, and the tasks that run beside it.

What a node does is node.py's; the command line's home and passphrase are daemon.py's.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import trio

from medsync_node.applications import APPLICATIONS
from medsync_node.authorship import require_own
from medsync_node.driver import Clock, Driver
from medsync_node.finality import Finality
from medsync_node.incarnation import Incarnation
from medsync_node.node import Node
from medsync_node.policies import installed
from medsync_node.reward_reports import Reporter
from medsync_node.store import Store, Synchronous
from medsync_node.transport import open_libp2p, with_identity
from medsync_protocol.crypto import Entropy
from medsync_protocol.engine import Engine
from medsync_protocol.identity import Identity
from medsync_protocol.ports import Transport

if TYPE_CHECKING:
    from medsync_node.config import Config
    from medsync_node.home import Home


def wall_clock() -> int:
    """Milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000


def system_entropy(label: str, size: int) -> bytes:
    """`size` bytes of the system's randomness."""
    return os.urandom(size)


@asynccontextmanager
async def running(
    identity: Identity, store: Store, transport: Transport, *, incarnation: bytes, home: Home | None = None,
    clock: Clock = wall_clock, entropy: Entropy = system_entropy, announce: Sequence[str] = (),
) -> AsyncIterator[Node]:  # fmt: skip
    """A node over an open store and transport; ends with the block."""
    engine = Engine(
        identity, incarnation=incarnation, entropy=entropy, applications=APPLICATIONS, policies=installed()
    )
    engine.addresses = tuple(announce) or tuple(transport.addresses)
    for record in await trio.to_thread.run_sync(lambda: list(store.reader.replay())):
        engine.replay(record)
    driver = Driver(engine, store, transport, clock)
    node = Node(engine, store, transport, driver, home)
    async with trio.open_nursery() as nursery:
        await nursery.start(driver.run)
        nursery.start_soon(Reporter(node).run)
        yield node
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_node(home: Home, identity: Identity, config: Config) -> AsyncIterator[Node]:
    """The node of a home, which the caller has locked: journal, transport, chain reader. Raises OperatorError."""
    mode = Synchronous(config.synchronous)
    async with AsyncExitStack() as stack:
        store = stack.enter_context(
            Store(home.journal_file, storage_key=identity.storage_key, synchronous=mode)
        )
        require_own(store.reader.own_devices(), identity)
        incarnation = stack.enter_context(Incarnation.of(home, store, mode))
        transport = await stack.enter_async_context(
            open_libp2p(device_seed=identity.device_seed, listen=config.listen)
        )
        announce = with_identity(config.announce, identity.device)
        node = await stack.enter_async_context(
            running(identity, store, transport, incarnation=incarnation.name, home=home, announce=announce)
        )
        nursery = await stack.enter_async_context(trio.open_nursery())
        nursery.start_soon(incarnation.keep, node.engine)
        if config.chain.rpc is not None:
            node.finality = Finality(node.driver, config.chain.rpc, config.chain.depth)
            nursery.start_soon(node.finality.watch)
        yield node
        nursery.cancel_scope.cancel()
