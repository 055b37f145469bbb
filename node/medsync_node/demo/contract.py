"""Asking the contract itself, by raw JSON-RPC as any stranger can: calls with their revert reasons, events."""

from __future__ import annotations

import re
from typing import Any, Final

import httpx

from medsync_protocol.anchor_abi import ENTRY_POINTS, EVENTS
from medsync_protocol.errors import Malformed, MedSyncError
from medsync_protocol.refusal import Reason
from medsync_protocol.stark import short_text

CONTRACT_ERROR: Final = 40  # starknet_call: the contract reverted
TIMEOUT: Final = 30.0
PAGE: Final = 100
MAX_FRAMES: Final = 64  # a call may nest 50 deep
MAX_TEXT: Final = 200  # characters shown of a reason that is none of the anchor's


class ChainSaidNo(MedSyncError):
    """The Starknet node answered with an error that is no revert."""


class Contract:
    """The anchor at an address, as the node at `url` executes it on its latest block."""

    def __init__(self, url: str, address: int) -> None:
        self._url, self._address = url, address

    async def _ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        async with httpx.AsyncClient(timeout=TIMEOUT, trust_env=False) as http:
            body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            try:
                found: dict[str, Any] = (await http.post(self._url, json=body)).json()
            except (httpx.HTTPError, ValueError) as error:
                raise ChainSaidNo(f"{method}: no answer from {self._url}") from error
        return found

    async def call(self, entry_point: str, calldata: list[int]) -> tuple[list[int], str | None]:
        """(what it returns, None), or ([], why it reverted). Nothing is changed: the node executes and forgets."""
        request = {
            "contract_address": hex(self._address), "entry_point_selector": hex(ENTRY_POINTS[entry_point]),
            "calldata": [hex(felt) for felt in calldata],
        }  # fmt: skip
        answer = await self._ask("starknet_call", {"request": request, "block_id": "latest"})
        if "error" not in answer:
            return [int(felt, 16) for felt in answer["result"]], None
        if answer["error"].get("code") != CONTRACT_ERROR:
            raise ChainSaidNo(f"starknet_call: {answer['error'].get('message')}")
        return [], reason_of(answer["error"].get("data"))

    async def posted(self, context: int) -> dict[int, tuple[str, int]]:
        """k → (transaction hash, block) of every checkpoint that the contract accepted for a context."""
        wanted = {
            "from_block": {"block_number": 0}, "to_block": "latest", "address": hex(self._address),
            "keys": [[hex(EVENTS["CheckpointPosted"])], [hex(context)]], "chunk_size": PAGE,
        }  # fmt: skip
        answer = await self._ask("starknet_getEvents", {"filter": wanted})
        if "error" in answer:
            raise ChainSaidNo(f"starknet_getEvents: {answer['error'].get('message')}")
        return {
            int(one["keys"][2], 16): (one["transaction_hash"], int(one["block_number"]))
            for one in answer["result"]["events"]
        }


def reason_of(data: Any) -> str:
    """The contract's word in a failed call's nested account: the innermost frame's text holds it as a felt."""
    found = data
    for _ in range(MAX_FRAMES):
        if not isinstance(found, dict):
            break
        found = found.get("revert_error", found.get("error"))
    words = [_word(felt) for felt in re.findall(r"0x[0-9a-fA-F]{1,64}\b", str(found))]
    return next((word for word in words if word in Reason.__members__), str(found)[:MAX_TEXT])


def _word(felt: str) -> str:
    try:
        return short_text(int(felt, 16))
    except Malformed:
        return ""
