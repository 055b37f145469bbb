"""The few JSON-RPC questions an auditor asks a Starknet node, raw over httpx. What the answers prove is judged elsewhere.

The node at the other end may be mistaken or lie: everything is parsed here, nothing is believed yet.
Source of the methods: Starknet's JSON-RPC specification, version 0.8 to 0.10.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx

from medsync_client.errors import Unreachable
from medsync_protocol.errors import Malformed
from medsync_protocol.poseidon import FIELD_PRIME

TIMEOUT: Final = 30.0  # seconds for one answer: public nodes take several for a page of events
MAX_ANSWER: Final = 64 << 20  # bytes of one answer; a page of the largest events has 5 MB
PAGE: Final = 500  # events asked for at a time; nodes allow 1,000 or so
MAX_PAGES: Final = 20_000  # a node that never stops paging is broken
MAX_FELTS: Final = 100_000  # in one list; calldata has at most 5,000
CONTRACT_NOT_FOUND, BLOCK_NOT_FOUND = 20, 24


class RpcRefused(Malformed):
    """The node answered with an error; `code` is JSON-RPC's."""

    def __init__(self, url: str, method: str, code: int, message: str) -> None:
        super().__init__(f"{url} refuses {method}: {message} ({code})")
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """`time` in seconds."""

    number: int
    hash: int
    time: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RawEvent:
    """An event as a node tells it."""

    transaction: int
    block: int
    keys: tuple[int, ...]
    data: tuple[int, ...]


class Rpc:
    """One node; may be asked from several threads. All views are of the state after the block that the caller names."""

    def __init__(self, url: str, http: httpx.Client) -> None:
        self.url = url
        self._http = http

    def chain_id(self) -> int:
        """The chain the node says it follows."""
        return self._felt(self._ask("starknet_chainId", {}))

    def latest(self) -> int:
        """Number of the newest accepted block."""
        return self._count(self._ask("starknet_blockNumber", {}))

    def block(self, number: int) -> Block:
        """A block's hash and time."""
        found = self._object(self._ask("starknet_getBlockWithTxHashes", {"block_id": _at(number)}))
        if found.get("block_number") != number:
            raise self._nonsense("another block than the one asked for")
        return Block(
            number=number, hash=self._felt(found.get("block_hash")), time=self._count(found.get("timestamp"))
        )

    def class_hash(self, contract: int, block: int) -> int | None:
        """The class at an address; None when nothing is deployed there."""
        try:
            found = self._ask(
                "starknet_getClassHashAt", {"block_id": _at(block), "contract_address": hex(contract)}
            )
        except RpcRefused as refusal:
            if refusal.code == CONTRACT_NOT_FOUND:
                return None
            raise
        return self._felt(found)

    def call(self, contract: int, selector: int, calldata: Sequence[int], block: int) -> list[int]:
        """What a view answers."""
        request = {
            "contract_address": hex(contract), "entry_point_selector": hex(selector),
            "calldata": [hex(felt) for felt in calldata],
        }  # fmt: skip
        return self._felts(self._ask("starknet_call", {"request": request, "block_id": _at(block)}))

    def calldata(self, transaction: int) -> tuple[int, ...]:
        """The calldata of an invoke transaction."""
        found = self._ask("starknet_getTransactionByHash", {"transaction_hash": hex(transaction)})
        return tuple(self._felts(self._object(found).get("calldata")))

    def events(self, contract: int, keys: Sequence[Sequence[int]], block: int) -> list[RawEvent]:
        """All events of the contract up to and with the block whose n-th key is one of keys[n], in their order."""
        found: list[RawEvent] = []
        wanted: dict[str, Any] = {
            "from_block": _at(0), "to_block": _at(block), "address": hex(contract), "chunk_size": PAGE,
            "keys": [[hex(key) for key in choices] for choices in keys],
        }  # fmt: skip
        for _ in range(MAX_PAGES):
            page = self._object(self._ask("starknet_getEvents", {"filter": wanted}))
            found += [self._event(event, contract) for event in self._list(page.get("events"))]
            token = page.get("continuation_token")
            if token is None:
                return found
            wanted["continuation_token"] = token
        raise self._nonsense("pages of events without end")

    def _event(self, event: Any, contract: int) -> RawEvent:
        found = self._object(event)
        if self._felt(found.get("from_address")) != contract:
            raise self._nonsense("an event of another contract than the one asked for")
        return RawEvent(
            transaction=self._felt(found.get("transaction_hash")), block=self._count(found.get("block_number")),
            keys=tuple(self._felts(found.get("keys"))), data=tuple(self._felts(found.get("data"))),
        )  # fmt: skip

    def _ask(self, method: str, params: Mapping[str, Any]) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        try:
            with self._http.stream("POST", self.url, json=body, timeout=TIMEOUT) as response:
                data = bytearray()
                for chunk in response.iter_bytes():
                    data += chunk
                    if len(data) > MAX_ANSWER:
                        raise self._nonsense("an answer without end")
            answer = self._object(json.loads(bytes(data)))
        except (httpx.TransportError, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise Unreachable(
                f"no answer from the Starknet node at {self.url}: {type(error).__name__}", code="rpc_unreachable",
                advice="check the address and that the node is up; `--rpc` takes any Starknet JSON-RPC node",
            ) from error  # fmt: skip
        except (ValueError, RecursionError) as error:
            raise self._nonsense(f"HTTP status {response.status_code} and no JSON") from error
        if "error" in answer:
            refusal = self._object(answer["error"])
            code = refusal.get("code")
            raise RpcRefused(
                self.url, method, code if type(code) is int else 0, str(refusal.get("message"))[:200]
            )
        return answer.get("result")

    def _nonsense(self, what: str) -> Malformed:
        return Malformed(f"the Starknet node at {self.url} gives {what}")

    def _object(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self._nonsense("something else than a JSON object")
        return value

    def _list(self, value: Any) -> list[Any]:
        if not isinstance(value, list) or len(value) > MAX_FELTS:
            raise self._nonsense("something else than a list")
        return value

    def _felts(self, value: Any) -> list[int]:
        return [self._felt(felt) for felt in self._list(value)]

    def _felt(self, value: Any) -> int:
        if isinstance(value, str) and value.startswith("0x") and len(value) <= 66:
            try:
                felt = int(value[2:], 16)
            except ValueError as error:
                raise self._nonsense("something else than a felt") from error
            if 0 <= felt < FIELD_PRIME:
                return felt
        raise self._nonsense("something else than a felt")

    def _count(self, value: Any) -> int:
        if type(value) is not int or not 0 <= value < 1 << 64:
            raise self._nonsense("something else than a number")
        return value


def _at(number: int) -> dict[str, int]:
    return {"block_number": number}
