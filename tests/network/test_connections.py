"""Connections come, go and come back: redialling, caches, sockets, identities, deaths (LIBP2P, Connections)."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.network.auto_connector import AutoConnector
from libp2p.network.exceptions import SwarmException
from multiaddr import Multiaddr

from medsync_node.transport import libp2p_transport, link
from medsync_node.transport.libp2p_transport import Libp2pTransport, running
from medsync_node.transport.peer_ids import parse_address, peer_id
from medsync_protocol.ids import DeviceId
from medsync_protocol.ports import Connected, Disconnected, FrameReceived, Standing

from .conftest import LOOPBACK, OpenNode, OpenStranger, linked, next_event, seed, still_works, until


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def sockets() -> int:
    """Open sockets of this process."""
    count = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            count += os.readlink(descriptor).startswith("socket:")
        except FileNotFoundError:
            continue
    return count


async def test_a_peer_that_was_down_is_linked_when_it_comes_up(node: OpenNode) -> None:
    """libp2p's own negative cache would keep it out for 60 s; we dial past it."""
    one = await node("one")
    port = free_port()
    late = DeviceId(create_new_key_pair(seed("late")).public_key.to_bytes())
    address = f"/ip4/127.0.0.1/tcp/{port}/p2p/{peer_id(late).to_base58()}"
    one.set_peers({late: [address]})
    await until(lambda: late in one.troubles())
    assert one.troubles()[late] == f"/ip4/127.0.0.1/tcp/{port}: Connection refused"
    peer = await node("late", listen=f"/ip4/127.0.0.1/tcp/{port}")
    assert (await next_event(one.events(), Connected)).peer == late
    assert one.troubles() == {}
    await still_works(one, peer)


async def test_the_stock_dial_is_blocked_by_one_failure(stranger: OpenStranger) -> None:
    """When this fails, libp2p was mended."""
    stock, other = await stranger("stock"), await stranger("other")
    stock.swarm.peerstore.add_addrs(peer_id(other.device), [Multiaddr("/ip4/127.0.0.1/tcp/1")], 100)
    with pytest.raises(SwarmException):
        await stock.swarm.dial_peer(peer_id(other.device))
    assert other.address is not None
    stock.swarm.peerstore.clear_addrs(peer_id(other.device))
    stock.swarm.peerstore.add_addrs(peer_id(other.device), [other.address], 100)
    with pytest.raises(SwarmException, match="negative cache"):
        await stock.swarm.dial_peer(peer_id(other.device))
    stock.swarm.unblock_peer(peer_id(other.device))
    assert await stock.swarm.dial_peer(peer_id(other.device))


async def test_known_addresses_are_not_dialled_unasked(node: OpenNode, stranger: OpenStranger) -> None:
    one, known = await node("one"), await stranger("known")
    assert known.address is not None
    one.swarm.peerstore.add_addrs(peer_id(known.device), [known.address], 100)
    await one.swarm.auto_connector.maybe_connect()
    assert one.swarm.get_total_connections() == 0


async def test_the_stock_connector_dials_them_with_a_low_watermark_of_none(stranger: OpenStranger) -> None:
    """When this fails, libp2p was mended, and IdleConnector can go."""
    one, known = await stranger("one"), await stranger("known")
    assert known.address is not None
    assert one.swarm.connection_config.low_watermark == one.swarm.connection_config.min_connections == 0
    one.swarm.peerstore.add_addrs(peer_id(known.device), [known.address], 100)
    stock = AutoConnector(one.swarm, auto_connect_interval=1000)
    await stock.start()
    await stock.maybe_connect()
    await until(lambda: one.swarm.get_total_connections() > 0)
    await stock.stop()


async def test_leaving_closes_every_socket(node: OpenNode) -> None:
    one = await node("one")
    before = sockets()
    for _ in range(2):
        async with running(device_seed=seed("other"), listen=[LOOPBACK]) as other:
            other.set_standing(lambda _: Standing.MEMBER)
            await linked(one, other)
            assert sockets() > before
            where = other.addresses[0]
        await next_event(one.events(), Disconnected)
        one.set_peers({})
        await until(lambda: sockets() == before)
        with pytest.raises(OSError):
            await trio.open_tcp_stream("127.0.0.1", int(where.split("/")[4]))


async def test_leaving_a_stock_host_leaves_sockets_open(stranger: OpenStranger) -> None:
    """When this fails, libp2p was mended."""
    other = await stranger("other")
    before = sockets()
    stock = new_host(key_pair=create_new_key_pair(seed("stock")))
    async with stock.run(listen_addrs=[Multiaddr(LOOPBACK)]):
        (listener,) = stock.get_network().listeners.values()
        await other.swarm.dial_addr(listener.get_addrs()[0], stock.get_id())
    await until(lambda: not other.swarm.get_connections())
    assert sockets() > before
    await stock.get_network().close()


async def test_a_block_that_raises_closes_them_too_and_raises_what_it_raised() -> None:
    before = sockets()
    with pytest.raises(KeyError, match="mine"):
        async with running(device_seed=seed("one"), listen=[LOOPBACK]):
            raise KeyError("mine")
    assert sockets() == before


async def test_the_same_identity_comes_back_and_is_not_mute(node: OpenNode) -> None:
    one = await node("one")
    for _ in range(3):
        async with running(device_seed=seed("other"), listen=[LOOPBACK]) as other:
            other.set_standing(lambda _: Standing.MEMBER)
            await linked(other, one)
            await still_works(one, other)
        assert (await next_event(one.events(), Disconnected)).peer == other.device


async def test_the_same_identity_comes_back_while_its_old_connection_hangs(node: OpenNode) -> None:
    """What a machine without power leaves behind: we learn of the new link before the old one times out."""
    one = await node("one")
    async with (
        running(device_seed=seed("other"), listen=[LOOPBACK]) as old,
        running(device_seed=seed("other"), listen=[LOOPBACK]) as new,
    ):
        for other in (old, new):
            other.set_standing(lambda _: Standing.MEMBER)
            await linked(other, one)
            other.set_peers({})
        await still_works(one, new)
        await until(lambda: old.linked() == frozenset())


async def test_both_dial_at_once_and_one_link_stays(node: OpenNode) -> None:
    one, other = await node("one"), await node("other")
    one.set_peers({other.device: other.addresses})
    other.set_peers({one.device: one.addresses})
    await until(lambda: one.linked() == {other.device} and other.linked() == {one.device})
    await still_works(one, other)


async def test_a_link_that_broke_is_dialled_again(node: OpenNode) -> None:
    one, other = await node("one"), await node("other")
    await linked(one, other)
    await other.swarm.close_peer(peer_id(one.device))
    for transport in (one, other):
        await next_event(transport.events(), Disconnected)
        await next_event(transport.events(), Connected)
    await still_works(one, other)


async def test_an_address_with_another_identity_behind_it_gets_no_link(node: OpenNode) -> None:
    one, other, third = await node("one"), await node("other"), await node("third")
    false = f"{other.addresses[0].split('/p2p/')[0]}/p2p/{third.addresses[0].split('/p2p/')[1]}"
    one.set_peers({third.device: [false]})
    await until(lambda: third.device in one.troubles())
    assert one.linked() == frozenset()


PROCESS = """
import sys, trio
from medsync_node.transport import open_libp2p
from medsync_protocol.ports import Standing

async def main():
    async with open_libp2p(device_seed=bytes.fromhex(sys.argv[1]), listen=[sys.argv[2]]) as transport:
        transport.set_standing(lambda _: Standing.MEMBER)
        print(transport.addresses[0], flush=True)
        async for event in transport.events():
            if hasattr(event, "frame"):
                transport.send(event.peer, b"echo " + event.frame)

trio.run(main)
"""


@asynccontextmanager
async def process(name: str) -> AsyncIterator[tuple[subprocess.Popen[bytes], DeviceId, str]]:
    """A transport in a process of its own that echoes frames: the process, its device, its address."""
    started = subprocess.Popen(
        [sys.executable, "-c", PROCESS, seed(name).hex(), LOOPBACK], stdout=subprocess.PIPE
    )
    try:
        assert started.stdout is not None
        line = await trio.to_thread.run_sync(started.stdout.readline)
        address = line.decode().strip()
        yield started, parse_address(address)[1], address
    finally:
        started.kill()
        started.wait()
        assert started.stdout is not None
        started.stdout.close()


async def echoes(one: Libp2pTransport, peer: DeviceId) -> None:
    assert one.send(peer, b"hello")
    assert await next_event(one.events(), FrameReceived) == FrameReceived(peer, b"echo hello")


async def test_a_killed_peer_is_noticed(node: OpenNode) -> None:
    one = await node("one")
    async with process("other") as (other, device, address):
        one.set_peers({device: [address]})
        await next_event(one.events(), Connected)
        await echoes(one, device)
        other.send_signal(signal.SIGKILL)
        assert (await next_event(one.events(), Disconnected)).peer == device


async def test_a_peer_that_stopped_reading_is_closed_and_taken_back(
    node: OpenNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an application keep-alive a stuck reader stays in the mesh for ever."""
    monkeypatch.setattr(link, "PING_AFTER", 0.1)
    monkeypatch.setattr(link, "PATIENCE", 0.3)
    monkeypatch.setattr(libp2p_transport, "CHECK_LINKS_EVERY", 0.05)
    one = await node("one")
    async with process("other") as (other, device, address):
        one.set_peers({device: [address]})
        await next_event(one.events(), Connected)
        await echoes(one, device)
        other.send_signal(signal.SIGSTOP)
        ended = await next_event(one.events(), Disconnected)
        assert "did not read" in ended.reason
        other.send_signal(signal.SIGCONT)
        await next_event(one.events(), Connected)
        await until(lambda: one.linked() == {device})
        await echoes(one, device)
