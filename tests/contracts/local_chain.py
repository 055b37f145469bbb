"""The embedded chain in this process, with the anchor on it: transactions that an account signs, and its JSON-RPC
behind an httpx client, so that readers can be tested without a socket, and lied to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

import httpx

from medsync_chain.chain import Chain
from medsync_chain.classes import SierraClass
from medsync_chain.compiling import Compilations, load_class, own_folder
from medsync_chain.genesis import DEPLOYER, Genesis
from medsync_chain.keccak import selector
from medsync_chain.rpc.dispatch import answer
from medsync_chain.rpc.knobs import Outage
from medsync_chain.server import methods_of
from medsync_chain.store import Store
from medsync_chain.transactions import Bound, Bounds, Declare, Invoke
from medsync_protocol.poseidon import short_string
from medsync_protocol.stark import sign
from tests.contracts.stage import COMPILED, Answer, Event, Reverted, compiled

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
        account_class = load_class(own_folder(), "account").class_hash
        self.account = genesis.predeployed(account_class)[0]
        self._lock = Lock()
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
        receipt = self._add(
            lambda signature: Invoke(
                sender_address=self.account.address, calldata=packed, **self._common(signature)
            )
        )
        events = [
            Event(
                address=address, keys=_felts(event["keys"]), data=_felts(event["data"]), order=order
            )
            for order, event in enumerate(receipt["events"])
            if int(event["from_address"], 16) == address
        ]  # fmt: skip
        return Answer([1], events, 0, 0, 0, {})

    def _common(self, signature: tuple[int, ...]) -> dict[str, Any]:
        place = {"block_id": "latest", "contract_address": hex(self.account.address)}
        nonce = int(self.ask("starknet_getNonce", place)["result"], 16)
        return {"chain_id": CHAIN_ID, "nonce": nonce, "signature": signature, "bounds": BOUNDS}

    def _add(self, make: Callable[[tuple[int, ...]], Any], sierra: SierraClass | None = None) -> Any:
        """Signs and sends; the receipt. Raises Reverted."""
        self.chain.set_time(self.time)
        name = make(()).hash
        self.chain.add(make(sign(name, self.account.private_key)), sierra)
        receipt = self.ask("starknet_getTransactionReceipt", {"transaction_hash": hex(name)})["result"]
        if receipt["execution_status"] == "REVERTED":
            raise Reverted([], receipt["revert_reason"])
        return receipt

    def ask(self, method: str, params: Any) -> Any:
        """One JSON-RPC request's whole answer."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        with self._lock:  # readers ask from several threads; the chain wants one at a time
            return json.loads(answer(self._methods, body) or b"null")

    def http(self, lie: Lie | None = None) -> httpx.Client:
        """A client whose every URL is this chain, which may lie."""
        return httpx.Client(transport=self.transport(lie))

    @contextmanager
    def served(self) -> Iterator[str]:
        """The URL of this chain behind a real socket, until the block ends."""
        chain = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
                body = json.dumps(chain.ask(asked["method"], asked["params"])).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def transport(self, lie: Lie | None = None) -> httpx.MockTransport:
        """Answers requests in this process."""

        def handle(request: httpx.Request) -> httpx.Response:
            asked = json.loads(request.content)
            found = self.ask(asked["method"], asked["params"])
            if lie is not None and "result" in found:
                found["result"] = lie(asked["method"], found["result"])
            return httpx.Response(200, json=found)

        return httpx.MockTransport(handle)


def _felts(values: list[str]) -> tuple[int, ...]:
    return tuple(int(value, 16) for value in values)
