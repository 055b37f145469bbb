"""What a driver promises when things go wrong around it: a full disk, a stranger at the door, another version."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from medsync_node.node import Node
from medsync_node.transport import MemoryNetwork
from medsync_protocol import frames
from medsync_protocol.application import Draft
from medsync_protocol.codec import pack
from medsync_protocol.errors import DiskFull, Refused
from medsync_protocol.ids import NETWORK_CONTEXT
from medsync_protocol.kinds import EntryKind, Role
from tests.node.node_world import connect, converged, memory_node, until


def limit(node: Node, spare_pages: int | None) -> None:
    """Let SQLite find no more room than this many pages: the same error as a full disk."""
    connection = node.store._connection
    used = connection.execute("PRAGMA page_count").fetchone()[0]
    most = 2**31 if spare_pages is None else used + spare_pages
    connection.execute(f"PRAGMA max_page_count = {most}")


async def test_on_a_full_disk_nothing_is_acknowledged_and_afterwards_nothing_is_lost(tmp_path: Path) -> None:
    network = MemoryNetwork()
    async with memory_node(network, tmp_path, "north") as north, memory_node(network, tmp_path, "south") as south:
        context = await connect([north, south], application="notes")
        limit(north, 2)
        big = Draft(kind=EntryKind.NOTE, payload=bytes(60_000))
        with pytest.raises(DiskFull) as refused:
            await north.perform(lambda now: north.engine.submit(now, context, [big]))
        assert refused.value.advice
        chain = north.engine.replicas[context].chain
        held = south.engine.replicas[context].vector.get(chain, 0)
        with pytest.raises(DiskFull):
            await north.perform(lambda now: north.engine.submit(now, context, [big]))
        assert south.engine.replicas[context].vector.get(chain, 0) == held
        assert north.engine.sync.replicated(context, chain, held) == set()
        limit(north, None)
        await until(lambda: converged([north, south], context))
        assert not north.store.full
        await north.perform(lambda now: north.engine.submit(now, context, [big]))
        await until(lambda: converged([north, south], context))
        rows = await south.log(context, [EntryKind.NOTE], None, None, 10)
        assert len(rows) == 2


async def test_an_invitation_works_once_in_its_time_for_its_network_and_key(tmp_path: Path) -> None:
    network = MemoryNetwork()
    async with (
        memory_node(network, tmp_path, "north") as north, memory_node(network, tmp_path, "south") as south,
        memory_node(network, tmp_path, "west") as west, memory_node(network, tmp_path, "other") as other,
    ):  # fmt: skip
        await north.perform(lambda now: north.engine.found_network(now, "consortium"))
        await other.perform(lambda now: other.engine.found_network(now, "another"))

        async def invite(node: Node, expires_in: int = 60_000, bound: bytes | None = None) -> str:
            token: str = await node.perform(
                lambda now: node.engine.invite(now, Role.MEMBER, now + expires_in, bound)  # type: ignore[arg-type]
            )
            return token

        async def refused(node: Node, token: str) -> str:
            with pytest.raises(Refused) as refusal:
                await node.join(token)
            assert refusal.value.advice
            return refusal.value.code

        assert await refused(south, await invite(north, expires_in=-1)) == "invitation_expired"
        assert await refused(south, await invite(north, bound=west.identity.member)) == "invitation_bound"
        assert await refused(south, (await invite(north))[:-4]) == "bad_invitation"
        once = await invite(north)
        await south.join(once)
        assert await refused(west, once) == "invitation_used"
        assert await refused(south, await invite(other)) == "has_network"
        await until(lambda: converged([north, south], NETWORK_CONTEXT))


async def test_both_sides_see_which_versions_they_speak(tmp_path: Path) -> None:
    network = MemoryNetwork()
    async with memory_node(network, tmp_path, "north") as north, memory_node(network, tmp_path, "south") as south:
        await connect([north, south])
        async with north.notifications() as heard:
            hello = pack([frames.FrameKind.HELLO, 7, 9, north.engine.network, []])
            session = north.engine.sync.sessions[south.identity.device]
            session.version = 0
            south.transport.send(north.identity.device, hello)
            with trio.fail_after(10):
                async for notify in heard:
                    if notify.what == "version_mismatch":
                        break
        assert dict(notify.fields)["theirs"] == "7 to 9"
        assert dict(notify.fields)["ours"] == 1


async def test_a_peer_that_keeps_sending_nonsense_is_put_out(tmp_path: Path) -> None:
    network = MemoryNetwork()
    async with memory_node(network, tmp_path, "north") as north, memory_node(network, tmp_path, "south") as south:
        await connect([north, south])
        for _ in range(25):
            south.transport.send(north.identity.device, b"\xff" * 20)
        await until(lambda: south.identity.device not in north.transport.linked())
