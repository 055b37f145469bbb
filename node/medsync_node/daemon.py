"""A running node with its API: takes the home, opens journal, engine and transport, serves; closes in reverse.

Used by `medsync run`, by the demo and by tests, several in one process. What a node does is node.py's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog
import trio

from medsync_client.address import Address
from medsync_node import rekeying
from medsync_node.token_book import TokenBook
from medsync_node.tokens import ensure_token

if TYPE_CHECKING:
    from medsync_node.api import Served
    from medsync_node.config import Config
    from medsync_node.home import Home
    from medsync_node.node import Node

log = structlog.get_logger()
LOOK_SECONDS: Final = 10.0  # between looks for what the operator should be told


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """The node, and where its API is."""

    node: Node
    api: Served
    token: str | None

    @property
    def address(self) -> Address:
        """For a client on this machine: the unix socket."""
        return Address(socket=self.api.socket)

    @property
    def remote_address(self) -> Address:
        """For a client over TCP, with the token. Only where TCP is served."""
        return Address(url=self.api.url, token=self.token)


@asynccontextmanager
async def open_daemon(home: Home, config: Config, passphrase: str) -> AsyncIterator[Daemon]:
    """Everything of one node, running; nothing it started outlives the block.

    Raises OperatorError, KeyFileLocked among them, before anything runs: no home, another daemon on it, a wrong
    passphrase, an address in use, a damaged journal.
    """
    home.require()
    stopping = trio.Event()
    async with AsyncExitStack() as stack:
        stack.enter_context(home.locked())
        identity = await trio.to_thread.run_sync(rekeying.take_over, home, passphrase)
        from medsync_node.api import (
            make_app,
            serving,
        )  # seconds of loading: not before home and key are right
        from medsync_node.dashboard.sessions import Door
        from medsync_node.opening import open_node

        token = None if config.api.listen is None else ensure_token(config.api.token_file)
        node = await stack.enter_async_context(open_node(home, identity, config))
        door = Door.of(node)
        app = make_app(node, stopping=stopping, announce=node.engine.addresses, door=door, read_only=config.api.read_only)
        api = await stack.enter_async_context(serving(app, config.api, token=token, stopping=stopping, book=TokenBook(home.tokens_file)))
        door.url = api.url
        nursery = await stack.enter_async_context(trio.open_nursery())
        nursery.start_soon(_tell_operator, node)
        yield Daemon(node=node, api=api, token=token)
        nursery.cancel_scope.cancel()


async def _tell_operator(node: Node) -> None:
    """Log each warning and notice of `status` once when it comes up: a clock that is off, a full disk, a lost key."""
    from medsync_node.api.status import status_view

    told: frozenset[str] = frozenset()
    while True:
        found = status_view(node)
        warnings, notices = frozenset(found.warnings), frozenset(one.what for one in found.notices)
        for text in sorted(warnings - told):
            log.warning(text)
        for text in sorted(notices - told):
            log.info(text)
        told = warnings | notices
        await trio.sleep(LOOK_SECONDS)


def the_cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one exception in a group of groups; the group itself when there are several."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup) and len(found.exceptions) == 1:
        found = found.exceptions[0]
    return group if isinstance(found, BaseExceptionGroup) else found
