"""Watches the chain for every anchored context, and tells the engine what stands there (PROTOCOL §5).

While the chain is unreachable everything but finality goes on; since when is shown by `status`.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import httpx
import structlog
import trio

from medsync_node.chain_reader import ChainReader, ChainUnreachable, Observation, RpcError, WrongAnchor
from medsync_node.driver import Driver
from medsync_protocol.effects import Effect
from medsync_protocol.errors import DiskFull
from medsync_protocol.ids import ContextId

log = structlog.get_logger()

LOOK_SECONDS: Final = 1.0  # between looks; a block takes seconds on every chain
BACK_OFF_SECONDS: Final = 10.0  # after a node that doesn't answer


class Finality:
    """One chain reader for all contexts of a node."""

    def __init__(self, driver: Driver, rpc: str, depth: int) -> None:
        self._driver = driver
        self.rpc, self._depth = rpc, depth
        self.read_at: int | None = None
        """When the chain last answered, in ms."""
        self.trouble: ChainUnreachable | WrongAnchor | None = None
        """Why it doesn't, if it doesn't."""
        self._checked: set[ContextId] = set()

    async def watch(self) -> None:
        """Look for ever."""
        async with httpx.AsyncClient(trust_env=False) as http:
            reader = ChainReader(self.rpc, http, self._depth)
            while True:
                await trio.sleep(LOOK_SECONDS if await self._look(reader) else BACK_OFF_SECONDS)

    async def _look(self, reader: ChainReader) -> bool:
        wrong: WrongAnchor | None = None
        asked = False
        try:
            for context in list(self._driver.engine.replicas):
                try:
                    asked |= await self._look_at(reader, context)
                except WrongAnchor as error:
                    wrong = error  # this context's, and no other's
        except ChainUnreachable as error:
            self._say(error)
            return False
        except RpcError as error:
            self._say(ChainUnreachable(str(error)))
            return False
        except DiskFull:
            reader.forget()
            return False
        if wrong is not None:
            self._say(wrong)
            self.read_at = self._driver.now()
            return True
        if not asked:
            return True  # no context is anchored: whether the node would answer nobody knows
        if self.trouble is not None:
            log.info("the Starknet node answers again")
        self.trouble, self.read_at = None, self._driver.now()
        return True

    def _say(self, error: ChainUnreachable | WrongAnchor) -> None:
        if str(error) != str(self.trouble):
            log.warning(str(error), advice=error.advice)
        self.trouble = error

    async def _look_at(self, reader: ChainReader, context: ContextId) -> bool:
        """Whether there was anything to ask for."""
        checkpoints = self._driver.engine.checkpoints(context)
        address = checkpoints.address
        if address is None:
            return False
        if context not in self._checked:
            await reader.check_anchor(address)
            self._checked.add(context)
        for seen in await reader.observe(address, checkpoints.accepted, checkpoints.settled):
            await self._driver.perform(partial(self._observe, context, seen))
        return True

    def _observe(self, context: ContextId, seen: Observation, now: int) -> tuple[None, list[Effect]]:
        return None, self._driver.engine.observe(now, context, seen.k, seen.digest, seen.settled)
