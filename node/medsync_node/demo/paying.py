"""The demo's reward pool: `medsync reward …` in a process of its own, by an account of its own, beside the bridge."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import httpx
import trio

from medsync_client import Client
from medsync_client.address import Address
from medsync_node.demo.chain import ANCHOR_SECONDS, Anchoring, Bridge
from medsync_node.demo.children import ChildFailed
from medsync_node.demo.contract import TIMEOUT, ChainSaidNo
from medsync_protocol.errors import MedSyncError

WINDOW_DAYS: Final = 0.01  # the shortest that the command takes: the chain's clock can be turned
WINDOW_SECONDS: Final = 864
TOKEN: Final = "0x4718f5a0fc34cc1af16a1cdee98ffb20c31f5cd61d6ab07201858f4287c938d"  # STRK, on every network
_BALANCE_OF: Final = "0x35a73cd311a05d46deda634c5ee045db92f811b4e74bca4437fcb5302b7af33"  # sn_keccak("balance_of")
RECIPIENT: Final = "0x9b9b"  # mercy's treasury: any address


class Paying:
    """Makes the pool as soon as the context is on the contract; then runs errands, one after another."""

    def __init__(self, errands: Bridge, anchoring: Anchoring) -> None:
        self._errands, self._anchoring = errands, anchoring
        self._ended = trio.Event()
        self._problem: MedSyncError | OSError | trio.BrokenResourceError | None = None
        self.contract, self.pool = "", ""

    async def run(self) -> None:
        """Make the pool, beside the story; what goes wrong is told to who asks for it."""
        try:
            await self._anchoring.done(ANCHOR_SECONDS * 2)
            async with Client(Address.of_home(self._anchoring.node)) as client:
                address = (await client.chain(self._anchoring.context)).address
            made = await self._errands.do(
                "reward", "pool", "create", str(address), "--window-days", str(WINDOW_DAYS)
            )
            self.contract, self.pool = str(made["contract"]), str(made["pool"])
        except (MedSyncError, OSError, trio.BrokenResourceError) as error:
            self._problem = error
        self._ended.set()

    async def ready(self) -> None:
        """Return once the pool is there. Raises ChildFailed."""
        with trio.move_on_after(ANCHOR_SECONDS):
            await self._ended.wait()
        if not self.pool:
            raise ChildFailed(f"the reward pool was not made: {self._problem or 'not in time'}", advice="run the demo again")

    async def do(self, verb: str, *words: str) -> dict[str, Any]:
        """One of `medsync reward`'s errands for the pool. Raises ChildFailed with what it said."""
        return await self._errands.do("reward", *verb.split(), self.pool, *words, "--contract", self.contract)

    async def claim(self, context: str, node: Path) -> dict[str, Any]:
        """Have a node's member paid."""
        return await self.do("claim", "--context", context, "--home", str(node), "--to", RECIPIENT)

    async def status(self) -> dict[str, Any]:
        """How the pool stands on the chain. Raises ChildFailed."""
        return await self._errands.look("reward", "pool", "status", self.pool, "--contract", self.contract)

    async def ask(self, method: str, **params: Any) -> Any:
        """What the chain answers. Raises ChainSaidNo."""
        async with httpx.AsyncClient(timeout=TIMEOUT, trust_env=False) as http:
            body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            try:
                found = (await http.post(self._errands.chain.url, json=body)).json()
            except (httpx.HTTPError, ValueError) as error:
                raise ChainSaidNo(f"{method}: no answer") from error
        if "error" in found:
            raise ChainSaidNo(f"{method}: {found['error'].get('message')}")
        return found["result"]

    async def received(self) -> int:
        """The recipient's balance, as the token's contract says."""
        request = {"contract_address": TOKEN, "entry_point_selector": _BALANCE_OF, "calldata": [RECIPIENT]}
        low, *_ = await self.ask("starknet_call", request=request, block_id="latest")
        return int(low, 16)
