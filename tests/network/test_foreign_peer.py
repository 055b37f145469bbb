"""A peer that nobody here wrote: js-libp2p dials a node and speaks ping, link and gossip with it (LIBP2P)."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from libp2p.peer.id import ID

from medsync_node.transport.peer_ids import device_id, peer_id
from medsync_protocol.ids import DeviceId
from medsync_protocol.ports import Connected, FrameReceived, GossipReceived, Standing

from tests.npm import installed

from .conftest import OpenNode, next_event, until

SOURCES = Path(__file__).parent / "js"
TOPIC = b"topic"
CHUNK = 300_000

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """js-libp2p, installed in a temporary directory."""
    return installed(SOURCES, tmp_path_factory.mktemp("js"))


class Foreign:
    """The running peer: what it said, and a line to say to it."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._said: list[dict[str, Any]] = []
        self._buffer = b""

    async def says(self, key: str) -> dict[str, Any]:
        """The next thing it says, or said unheard, with this key."""
        assert self._process.stdout is not None
        with trio.fail_after(60):
            while True:
                for said in self._said:
                    assert "error" not in said, said
                    if key in said:
                        self._said.remove(said)
                        return said
                data = await self._process.stdout.receive_some(65536)
                assert data, "the foreign peer ended"
                *lines, self._buffer = (self._buffer + data).split(b"\n")
                self._said += [json.loads(line) for line in lines]

    async def publish(self) -> None:
        """Let it publish on the topic."""
        assert self._process.stdin is not None
        await self._process.stdin.send_all(b"publish\n")


@asynccontextmanager
async def foreign(directory: Path, address: str) -> AsyncIterator[Foreign]:
    """The peer, dialling this address."""
    command = ["node", "--import", "./polyfill.mjs", "peer.mjs", address, TOPIC.hex()]
    process = await trio.lowlevel.open_process(
        command, cwd=directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        yield Foreign(process)
    finally:
        process.kill()
        await process.wait()


async def test_js_libp2p_links_and_gossips(library: Path, node: OpenNode) -> None:
    host, member = await node("host"), await node("member")
    for transport in (host, member):
        transport.set_topics(frozenset({TOPIC}))
    member.set_peers({host.device: host.addresses})
    assert (await next_event(host.events(), Connected)).peer == member.device
    async with foreign(library, host.addresses[0]) as peer:
        told = await peer.says("connected")
        assert told == {
            "connected": peer_id(host.device).to_base58(), "encryption": "/noise", "muxer": "/yamux/1.0.0",
        }  # fmt: skip
        await peer.says("ping")
        device = (await next_event(host.events(), Connected)).peer
        await peer.says("accepted")
        assert await next_event(host.events(), FrameReceived) == FrameReceived(device, b"\x07" * CHUNK)
        assert host.send(device, b"\x09" * CHUNK)
        assert await peer.says("frame") == {"frame": CHUNK, "first": 9}

        subscribers = (await peer.says("subscribers"))["subscribers"]
        assert peer_id(host.device).to_base58() in subscribers
        await until(lambda: heard(host.hints.pubsub.peer_topics.get(TOPIC.hex(), ()), device))
        await peer.publish()
        hint = GossipReceived(TOPIC, b"from the foreign peer", device)
        assert await next_event(host.events(), GossipReceived) == hint
        assert await next_event(member.events(), GossipReceived) == hint
        host.publish(TOPIC, b"to the foreign peer")
        assert await peer.says("hint") == {"hint": "to the foreign peer"}
    assert host.containment.offences == {}


def heard(subscribed: Any, device: DeviceId) -> bool:
    return any(device_id(peer) == device for peer in subscribed if isinstance(peer, ID))


async def test_js_libp2p_is_refused_when_it_is_no_member(library: Path, node: OpenNode) -> None:
    host = await node("host", standing=lambda _: Standing.REFUSED)
    async with foreign(library, host.addresses[0]):
        await until(lambda: host.gate.refused >= 1)
        await until(lambda: host.swarm.get_total_connections() == 0)
    assert host.linked() == frozenset()
