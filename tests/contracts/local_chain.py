"""The embedded chain in this process, with the anchor on it: transactions that an account signs, and its JSON-RPC
behind an httpx client, so that readers can be tested without a socket, and lied to."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import httpx

from medsync_chain.chain import Chain
from medsync_chain.classes import SierraClass
from medsync_chain.compiling import Compilations, own_folder
from medsync_chain.genesis import DEPLOYER, Genesis
from medsync_chain.keccak import selector
from medsync_chain.rpc.dispatch import answer
from medsync_chain.rpc.knobs import Outage
from medsync_chain.server import methods_of
from medsync_chain.store import Store
from medsync_chain.transactions import Bound, Bounds, Declare, Invoke
from medsync_protocol.poseidon import short_string
from medsync_protocol.stark import sign
from tests.contracts.stage import COMPILED, Answer, Reverted, compiled

CHAIN_ID = short_string("MEDSYNC_LOCAL")
VIEWS = frozenset(
    {"head", "checkpoint", "recovery", "settings", "statement_hash", "verify_consent", "verify_entry"}
)
BOUNDS = Bounds(l1_gas=Bound(0, 10**15), l2_gas=Bound(2 * 10**9, 10**10), l1_data_gas=Bound(10**6, 10**8))

Lie = Callable[[str, Any], Any]
"""(method, true result) → what is answered instead."""


class LocalChain:
    """One chain with one account that pays. `time` is the next block's."""

    def __init__(self, time: int = 1_800_000_000) -> None:
        self.chain_id: int = CHAIN_ID
        self.time = time
        genesis = Genesis(chain_id=CHAIN_ID, seed=0, accounts=1, timestamp=time - 60)
        self.chain = Chain(Store(None), genesis, lambda: self.time, Compilations([own_folder(), COMPILED]))
        self.account = genesis.predeployed(self.chain.account_class)[0]
        self._methods = methods_of(self.chain, Outage(), knobs=False)

    def deploy(self, name: str, calldata: Sequence[int] = ()) -> int:
        """Declares a compiled class and deploys it by the deployer; its address."""
        known = compiled(name)
        sierra = SierraClass.parse(json.loads((COMPILED / f"{name}.sierra.json").read_bytes()))
        self._add(
            lambda signature: Declare(
                sender_address=self.account.address, class_hash=known.class_hash,
                compiled_class_hash=known.compiled_class_hash, **self._common(signature),
            ),
            sierra,
        )  # fmt: skip
        arguments = [known.class_hash, 1, 0, len(calldata), *calldata]
        return int(self.call(DEPLOYER, "deployContract", arguments).events[0].data[0])

    def call(self, address: int, function: str, calldata: Sequence[int] = ()) -> Answer:
        """Views are asked, everything else is sent. The answer of what was sent is not known to its sender: [1]."""
        if function.removesuffix("_at") in VIEWS:
            request = {
                "contract_address": hex(address), "entry_point_selector": hex(selector(function)),
                "calldata": [hex(felt) for felt in calldata],
            }  # fmt: skip
            found = self.ask("starknet_call", {"request": request, "block_id": "latest"})
            return Answer([int(felt, 16) for felt in found["result"]], [], 0, 0, 0, {})
        packed = (1, address, selector(function), len(calldata), *calldata)
        self._add(
            lambda signature: Invoke(
                sender_address=self.account.address, calldata=packed, **self._common(signature)
            )
        )
        events = [
            event for event in self.chain.latest.included[-1].receipt.events if event.address == address
        ]
        return Answer([1], events, 0, 0, 0, {})

    def _common(self, signature: tuple[int, ...]) -> dict[str, Any]:
        nonce = self.chain.pending.state.nonce(self.account.address)
        return {"chain_id": CHAIN_ID, "nonce": nonce, "signature": signature, "bounds": BOUNDS}

    def _add(self, make: Callable[[tuple[int, ...]], Any], sierra: SierraClass | None = None) -> None:
        self.chain.set_time(self.time)
        unsigned = make(())
        self.chain.add(make(sign(unsigned.hash, self.account.private_key)), sierra)
        reverted = self.chain.latest.included[-1].receipt.reverted
        if reverted is not None:
            raise Reverted([], reverted)

    def ask(self, method: str, params: Any) -> Any:
        """One JSON-RPC request's whole answer."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        return json.loads(answer(self._methods, body) or b"null")

    def http(self, lie: Lie | None = None) -> httpx.Client:
        """A client whose every URL is this chain, which may lie."""
        return httpx.Client(transport=self.transport(lie))

    def transport(self, lie: Lie | None = None) -> httpx.MockTransport:
        """Answers requests in this process."""

        def handle(request: httpx.Request) -> httpx.Response:
            asked = json.loads(request.content)
            found = self.ask(asked["method"], asked["params"])
            if lie is not None and "result" in found:
                found["result"] = lie(asked["method"], found["result"])
            return httpx.Response(200, json=found)

        return httpx.MockTransport(handle)
