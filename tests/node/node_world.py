"""Real nodes on real journals for the tests: over the memory transport, or over libp2p on loopback."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from medsync_node.node import Node
from medsync_node.opening import running
from medsync_node.store import Store
from medsync_node.transport import MemoryNetwork, open_libp2p
from medsync_protocol.identity import Identity
from medsync_protocol.ids import NETWORK_CONTEXT, ContextId
from medsync_protocol.kinds import Role

PATIENCE = 30.0  # seconds until a fact that does not come fails the test


def port_of(path: Path, name: str) -> int:
    """A free port, the same one for the same name: members find a restarted node where it was."""
    kept = path / f"{name}.port"
    if not kept.exists():
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            kept.write_text(str(probe.getsockname()[1]))
    return int(kept.read_text())


def identity(name: str) -> Identity:
    """Keys that depend on the name only."""
    member, device = (hashlib.sha256(f"{part}/{name}".encode()).digest() for part in ("member", "device"))
    return Identity(member_seed=member, device_seed=device, name=name)


@asynccontextmanager
async def memory_node(network: MemoryNetwork, path: Path, name: str, incarnation: bytes = bytes(8)) -> AsyncIterator[Node]:
    """A node on the memory network, its journal in `path`."""
    who = identity(name)
    with Store(path / f"{name}.db", storage_key=who.storage_key) as store:
        async with network.open(who.device) as transport, running(who, store, transport, incarnation=incarnation) as node:
            yield node


@asynccontextmanager
async def libp2p_node(path: Path, name: str, incarnation: bytes = bytes(8)) -> AsyncIterator[Node]:
    """A node over libp2p on loopback, at the same port each time."""
    who = identity(name)
    listen = [f"/ip4/127.0.0.1/tcp/{port_of(path, name)}"]
    with Store(path / f"{name}.db", storage_key=who.storage_key) as store:
        async with (
            open_libp2p(device_seed=who.device_seed, listen=listen) as transport,
            running(who, store, transport, incarnation=incarnation) as node,
        ):
            yield node


async def until(fact: Callable[[], bool]) -> None:
    """Return as soon as the fact holds."""
    with trio.fail_after(PATIENCE):
        while not fact():
            await trio.sleep(0.005)


async def connect(
    nodes: list[Node], context_name: str = "trial", application: str = "medsync", **settings: int
) -> ContextId:
    """One network of all, founded by the first, and one context with all as members. In names of settings `_` is a dot."""
    first, *others = nodes
    await first.perform(lambda now: first.engine.found_network(now, "consortium"))
    for node in others:
        token = await first.perform(lambda now: first.engine.invite(now, Role.MEMBER, now + 60_000, None))
        await node.join(token)
    await until(lambda: all(len(n.engine.replicas[NETWORK_CONTEXT].membership.members) == len(nodes) for n in nodes))
    roles = [(node.identity.member, Role.MEMBER) for node in others]

    named: dict[str, int | str] = {name.replace("_", "."): value for name, value in settings.items()}

    def create(now: int) -> Any:
        return first.engine.create_context(now, context_name, application, "any_admin", roles, (), named)

    context: ContextId = await first.perform(create)
    await until(lambda: all(context in n.engine.replicas for n in nodes))
    await until(lambda: all(len(n.engine.replicas[context].membership.voters) == len(nodes) for n in nodes))
    return context


def converged(nodes: list[Node], context: ContextId) -> bool:
    """Whether all hold equal sets."""
    vectors = [n.engine.replicas[context].vector for n in nodes if context in n.engine.replicas]
    return len(vectors) == len(nodes) and all(vector == vectors[0] for vector in vectors)


@asynccontextmanager
async def nodes_on_libp2p(path: Path, *names: str) -> AsyncIterator[list[Node]]:
    """Several nodes in this process, each with its own host."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(libp2p_node(path, name)) for name in names]
