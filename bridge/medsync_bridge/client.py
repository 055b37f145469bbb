"""starknet-py's JSON-RPC client under trio: the transport is httpx, nothing here touches asyncio (STARKNET §7).

Retrying, waiting and what an answer means are left to `sending.py`. Never use the client's `wait_for_tx`: it is
starknet-py's only other use of asyncio and gives up after its retries.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx
from starknet_py.net.client_utils import _create_broadcasted_txn
from starknet_py.net.full_node_client import FullNodeClient
from starknet_py.net.http_client import HttpMethod, RpcHttpClient
from starknet_py.net.models.transaction import AccountTransaction

from medsync_bridge.errors import ChainUnreachable, RpcError

PATIENCE: Final = (
    30.0  # seconds for one call: estimating a large checkpoint on a busy public node takes a few
)
_ADD_METHODS: Final = {
    "INVOKE": ("addInvokeTransaction", "invoke_transaction"),
    "DECLARE": ("addDeclareTransaction", "declare_transaction"),
}


class TrioTransport(RpcHttpClient):
    """Posts with httpx where starknet-py would open an aiohttp session."""

    def __init__(self, url: str, http: httpx.AsyncClient) -> None:
        super().__init__(url, session=None)
        self._http = http
        self._is_spec_version_verified = True  # `bridge doctor` asks; a warning in mid-flight helps nobody

    async def request(
        self,
        address: str,
        http_method: HttpMethod,
        params: dict[str, Any] | None = None,
        payload: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> Any:
        """The decoded JSON answer. Raises ChainUnreachable for everything that is no JSON-RPC answer."""
        try:
            answer = await self._http.request(http_method.value, address, params=params, json=payload)
            body = answer.json() if answer.status_code < 300 else None
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise ChainUnreachable(type(error).__name__) from error
        if not isinstance(body, dict):
            raise ChainUnreachable(f"HTTP status {answer.status_code}")
        if "result" not in body and "error" not in body:
            raise ChainUnreachable("an answer without result or error")
        return body

    @staticmethod
    def handle_rpc_error(result: dict[str, Any]) -> None:
        """Raises RpcError with what the node said, where starknet-py wraps it in prose."""
        error = result["error"]
        code = error.get("code") if isinstance(error, dict) else None
        if not isinstance(code, int):
            raise ChainUnreachable("an error without a code")
        raise RpcError(code, str(error.get("message")), error.get("data"))


class TrioClient(FullNodeClient):
    """A FullNodeClient that works under trio. Raises ChainUnreachable, and RpcError for an answer that is an error."""

    def __init__(self, url: str, http: httpx.AsyncClient) -> None:
        super().__init__(node_url=url)
        self._client = TrioTransport(url, http)

    async def send_raw(self, transaction: dict[str, Any]) -> int:
        """Send what `broadcast_form` made, byte for byte as journalled; the transaction's hash."""
        method, parameter = _ADD_METHODS[transaction["type"]]
        answer = await self._client.call(method_name=method, params={parameter: transaction})
        return int(answer["transaction_hash"], 16)


@asynccontextmanager
async def open_client(url: str) -> AsyncIterator[TrioClient]:
    """A client for the block; its connections end with it."""
    async with httpx.AsyncClient(timeout=PATIENCE) as http:
        yield TrioClient(url, http)


def broadcast_form(transaction: AccountTransaction) -> dict[str, Any]:
    """The JSON a node is sent for a signed transaction."""
    form: dict[str, Any] = _create_broadcasted_txn(transaction)
    return form
