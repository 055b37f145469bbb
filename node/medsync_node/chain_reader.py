"""Reads the anchor contract by a few raw JSON-RPC calls, without starknet-py (DESIGN §5, Finality).

What the digests mean is the engine's; when to look is finality.py's. Nothing is posted from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import httpx

from medsync_protocol.address import ChainAddress, chain_name
from medsync_protocol.anchor_abi import CLASS_HASH, ENTRY_POINTS
from medsync_protocol.errors import OperatorError
from medsync_protocol.poseidon import FIELD_PRIME

TIMEOUT: Final = 20.0  # seconds for one answer: public nodes take a few on a busy day
LATEST: Final = "latest"
L1_ACCEPTED: Final = "l1_accepted"
_BLOCK_NOT_FOUND: Final = 24
_CONTRACT_NOT_FOUND: Final = 20

BlockId = str | dict[str, int]


class ChainUnreachable(OperatorError):
    """The node at the other end doesn't answer, or with nothing that can be read."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"the Starknet node does not answer ({why})",
            advice="check chain.rpc in config.toml and that the node runs; all but finality goes on meanwhile",
        )


class WrongAnchor(OperatorError):
    """What the RPC shows at a context's address is not what the context was registered with."""


class WrongChain(WrongAnchor):
    """The RPC serves another chain than the context is anchored on."""

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(
            f"the Starknet node serves chain {chain_name(found)}, the context is anchored on {chain_name(expected)}",
            advice="set chain.rpc in config.toml to a node of that chain",
        )


class WrongClass(WrongAnchor):
    """The contract's code is not the released anchor's: it may answer anything."""

    def __init__(self, contract: int, found: int) -> None:
        what = f"is of class {found:#x}, not of the released one" if found else "does not exist on this chain"
        super().__init__(
            f"the contract {contract:#066x} {what}",
            advice="believe nothing about its checkpoints; compare `medsync context show` with another member's",
        )


class RpcError(Exception):
    """An answer that is an error, with JSON-RPC's code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What stands at (context, k): its digest, 0 for nothing; `settled`: it can't vanish any more."""

    k: int
    digest: int
    settled: bool


class ChainReader:
    """Questions to one Starknet node. All raise ChainUnreachable."""

    def __init__(self, url: str, http: httpx.AsyncClient, depth: int) -> None:
        self._url, self._http, self._depth = url, http, depth
        self._asked = 0
        self._looked: dict[ChainAddress, str] = {}

    async def check_anchor(self, address: ChainAddress) -> None:
        """Raises WrongChain, and WrongClass unless the released contract stands at this address."""
        found = _felt(await self._ask("starknet_chainId", []))
        if found != address.chain_id:
            raise WrongChain(address.chain_id, found)
        class_hash = await self._class_hash(address.contract)
        if class_hash != CLASS_HASH:
            raise WrongClass(address.contract, class_hash)

    async def observe(self, address: ChainAddress, accepted: int, settled: int) -> list[Observation]:
        """What is new beyond the `settled` k: (accepted ones again, in case their block vanished, and later ones).

        While the newest block stays the same and holds just what is accepted, accepted ones are not read again.
        """
        newest = await self._ask("starknet_blockHashAndNumber", [])
        if not isinstance(newest, dict) or type(newest.get("block_number")) is not int:
            raise ChainUnreachable("a block without a number")
        number, block = newest["block_number"], str(newest.get("block_hash"))
        head = await self._head(address, LATEST)
        final = await self._final_head(address, head, number)
        last = max(head, accepted)
        if head == accepted and self._looked.get(address) == block:
            last = min(final, head)
        seen = []
        for k in range(settled + 1, last + 1):
            digest = await self._checkpoint(address, k) if k <= head else 0
            seen.append(Observation(k=k, digest=digest, settled=bool(digest) and k <= final))
        self._looked[address] = block
        return seen

    def forget(self) -> None:
        """What was observed could not be kept: read all of it again next time."""
        self._looked.clear()

    async def _final_head(self, address: ChainAddress, head: int, number: int) -> int:
        """The newest k that is chain-final: on L1, or `depth` blocks deep; 0 when none is."""
        if self._depth == 0:
            return head
        deep = 0
        if number >= self._depth:
            deep = await self._head(address, {"block_number": number - self._depth})
        return max(deep, await self._head(address, L1_ACCEPTED))

    async def _head(self, address: ChainAddress, block: BlockId) -> int:
        try:
            k, _ = await self._call(address.contract, "head", [address.context], block)
        except RpcError as error:
            if error.code in (_BLOCK_NOT_FOUND, _CONTRACT_NOT_FOUND):
                return 0
            raise ChainUnreachable(str(error)) from error
        return k

    async def _class_hash(self, contract: int) -> int:
        try:
            return _felt(await self._ask("starknet_getClassHashAt", [LATEST, hex(contract)]))
        except RpcError as error:
            if error.code == _CONTRACT_NOT_FOUND:
                return 0
            raise ChainUnreachable(str(error)) from error

    async def _checkpoint(self, address: ChainAddress, k: int) -> int:
        try:
            return (await self._call(address.contract, "checkpoint", [address.context, k], LATEST))[0]
        except RpcError as error:
            raise ChainUnreachable(str(error)) from error

    async def _call(self, contract: int, function: str, arguments: list[int], block: BlockId) -> list[int]:
        request = {
            "contract_address": hex(contract), "entry_point_selector": hex(ENTRY_POINTS[function]),
            "calldata": [hex(felt) for felt in arguments],
        }  # fmt: skip
        answer = await self._ask("starknet_call", {"request": request, "block_id": block})
        if not isinstance(answer, list) or not answer:
            raise ChainUnreachable("a call's answer that is no list")
        return [_felt(one) for one in answer]

    async def _ask(self, method: str, params: Any) -> Any:
        self._asked += 1
        body = {"jsonrpc": "2.0", "id": self._asked, "method": method, "params": params}
        try:
            response = await self._http.post(self._url, json=body, timeout=TIMEOUT)
            answer = response.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise ChainUnreachable(type(error).__name__) from error
        if isinstance(answer, dict) and isinstance(answer.get("error"), dict):
            refusal = answer["error"]
            code = refusal.get("code")
            raise RpcError(code if type(code) is int else 0, str(refusal.get("message"))[:200])
        if not isinstance(answer, dict) or "result" not in answer:
            raise ChainUnreachable("an answer that is no JSON-RPC")
        return answer["result"]


def _felt(value: Any) -> int:
    try:
        felt = int(value, 16)
    except (TypeError, ValueError) as error:
        raise ChainUnreachable("an answer that is no felt") from error
    if not 0 <= felt < FIELD_PRIME:
        raise ChainUnreachable("an answer beyond the field")
    return felt
