"""Nodes on the memory network with the surface over them, all in one process; a client for each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import trio

from medsync_calimero.app import Options, open_door
from medsync_calimero.encodings import b58
from medsync_calimero.groups import application_id
from medsync_node.node import Node
from medsync_node.transport import MemoryNetwork
from tests.node.node_world import PATIENCE, memory_node

KV = b58(application_id("kv_store"))


@dataclass(frozen=True)
class Party:
    """One node and a client of its surface."""

    node: Node
    client: httpx.AsyncClient

    @property
    def account(self) -> str:
        return self.node.identity.member.hex()

    async def ask(self, verb: str, path: str, body: Any = None, *, status: int = 200) -> Any:
        """The answer's `data`, or the whole; the sentence of an error where another status is expected."""
        answer = await self.client.request(verb, path if path.startswith("/") else f"/admin-api/{path}", json=body)
        assert answer.status_code == status, (answer.status_code, answer.text)
        found = answer.json()
        return found["error"] if status != 200 else found.get("data", found)

    async def post(self, path: str, body: Any = None, *, status: int = 200) -> Any:
        return await self.ask("POST", path, body or {}, status=status)

    async def get(self, path: str, *, status: int = 200) -> Any:
        return await self.ask("GET", path, status=status)

    async def put(self, path: str, body: Any, *, status: int = 200) -> Any:
        return await self.ask("PUT", path, body, status=status)

    async def call(self, context: str, method: str, **arguments: Any) -> Any:
        """An output; an error as {"error": …}."""
        params = {"contextId": context, "method": method, "argsJson": arguments}
        request = {"jsonrpc": "2.0", "id": 7, "method": "execute", "params": params}
        answer = (await self.client.post("/jsonrpc", json=request)).json()
        assert answer["id"] == 7
        return answer["result"]["output"] if "result" in answer else {"error": answer["error"]}

    async def state(self, context: str) -> Any:
        """The state hash; None while the context is not here."""
        answer = await self.client.get(f"/admin-api/contexts/{context}")
        return answer.json()["data"]["contextStateHash"] if answer.status_code == 200 else None


@asynccontextmanager
async def party(
    network: MemoryNetwork, path: Path, name: str, options: Options | None = None, incarnation: bytes = bytes(8)
) -> AsyncIterator[Party]:
    """A node with its surface."""
    async with (
        memory_node(network, path, name, incarnation) as node,
        open_door(node, options or Options()) as app,
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://node") as client,
    ):
        await client.post("/admin-api/install-dev-application", json={"path": "kv_store.wasm", "metadata": []})
        yield Party(node, client)


@asynccontextmanager
async def parties(path: Path, *names: str) -> AsyncIterator[list[Party]]:
    """Several, on one network."""
    network = MemoryNetwork()
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(party(network, path, name)) for name in names]


async def joined(first: Party, *others: Party, role: str = "Member") -> tuple[str, str]:
    """(namespace, context with kv_store) that all are in."""
    namespace = (await first.post("namespaces", {"applicationId": KV, "name": "lab"}))["namespaceId"]
    context = (await first.post("contexts", {"applicationId": KV, "groupId": namespace}))["contextId"]
    for other in others:
        await invite(first, other, namespace, role)
    await agreed(context, first, *others)
    return namespace, context


async def invite(first: Party, other: Party, namespace: str, role: str = "Member") -> Any:
    """Let another in; the invitation that it used."""
    made = (await first.post(f"namespaces/{namespace}/invite", {"role": role}))["invitation"]
    await other.post(f"namespaces/{namespace}/join", {"invitation": made})
    return made


async def agreed(context: str, *all_: Party) -> None:
    """Return once all hold the context in one state."""
    with trio.fail_after(PATIENCE):
        while True:
            states = [await one.state(context) for one in all_]
            if None not in states and len(set(states)) == 1:
                return
            await trio.sleep(0.01)


async def until_true(fact: Any) -> None:
    """Return once an asynchronous fact holds."""
    with trio.fail_after(PATIENCE):
        while not await fact():
            await trio.sleep(0.01)
