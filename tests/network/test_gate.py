"""The gate's three outcomes, and what is not offered at all (LIBP2P, Permissioning)."""

from __future__ import annotations

import contextlib

import pytest
import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.secp256k1 import create_new_key_pair as create_other_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.security.insecure.transport import PLAINTEXT_PROTOCOL_ID, InsecureTransport
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as Noise
from libp2p.security.secio.transport import ID as SECIO
from libp2p.transport.tcp.tcp import TCP

from medsync_node.transport import open_libp2p
from medsync_node.transport.gossip import PROTOCOL as MESHSUB
from medsync_node.transport.host import AddressUnusable
from medsync_node.transport.libp2p_transport import Libp2pTransport
from medsync_node.transport.link import LINK_PROTOCOL
from medsync_node.transport.peer_ids import parse_address, peer_id
from medsync_protocol.ids import DeviceId
from medsync_protocol.ports import JOIN_PROTOCOL, Disconnected, FrameReceived, GossipReceived, Standing

from .conftest import (
    PATIENCE,
    OpenNode,
    OpenStranger,
    linked,
    next_event,
    seed,
    still_works,
    turned_away,
    until,
)

TOPIC = b"topic"


def connections(one: Libp2pTransport, other: DeviceId) -> int:
    return len(one.swarm.get_connections(peer_id(other)))


def hears(one: Libp2pTransport, other: DeviceId, topic: bytes = TOPIC) -> bool:
    """Whether pubsub counts the other among the topic's."""
    return peer_id(other) in one.hints.pubsub.peer_topics.get(topic.hex(), ())


async def test_a_member_gets_a_link_and_gossip(node: OpenNode) -> None:
    one, other = await node("one"), await node("other")
    await linked(one, other)
    one.set_topics(frozenset({TOPIC}))
    other.set_topics(frozenset({TOPIC}))
    await until(lambda: hears(one, other.device) and hears(other, one.device))
    one.publish(TOPIC, b"hint")
    assert await next_event(other.events(), GossipReceived) == GossipReceived(TOPIC, b"hint", one.device)


@pytest.mark.parametrize("protocol", [LINK_PROTOCOL, MESHSUB])
async def test_a_guest_gets_neither_link_nor_gossip(
    protocol: str, node: OpenNode, stranger: OpenStranger
) -> None:
    host = await node("host", standing=lambda _: Standing.GUEST)
    host.set_topics(frozenset({TOPIC}))
    guest = await stranger("guest")
    await turned_away(guest.open(host, protocol))
    assert host.linked() == frozenset()
    assert peer_id(guest.device) not in host.hints.pubsub.peers


async def test_a_refused_device_gets_nothing_after_the_handshake(
    node: OpenNode, stranger: OpenStranger
) -> None:
    host = await node("host", standing=lambda _: Standing.REFUSED)
    host.set_guest_handler(never)
    refused = await stranger("refused")
    await turned_away(refused.open(host, JOIN_PROTOCOL))
    await until(lambda: host.gate.refused >= 1)
    assert connections(host, refused.device) == 0


async def never(device: DeviceId, protocol: str, question: bytes) -> bytes:
    raise AssertionError("nobody may get this far")


async def test_an_identity_that_is_no_device_key_is_refused(node: OpenNode) -> None:
    host = await node("host")
    keys = create_other_key_pair()
    noise = Noise(keys, noise_privkey=create_noise_key_pair().private_key)
    odd = new_host(key_pair=keys, sec_opt={NOISE: noise})
    async with odd.run(listen_addrs=[]):
        where, device = parse_address(host.addresses[0])
        with contextlib.suppress(Exception):  # refused before its dial was finished, or after
            await odd.get_network().dial_addr(where, peer_id(device))
        await until(lambda: host.gate.refused >= 1)
        await odd.get_network().close()


async def test_expelled_means_told_then_closed_then_kept_out(node: OpenNode) -> None:
    standing: dict[DeviceId, Standing] = {}
    host = await node("host", standing=lambda device: standing.get(device, Standing.MEMBER))
    member, other = await node("member"), await node("other")
    for peer in (member, other):
        await linked(peer, host)
        peer.set_topics(frozenset({TOPIC}))
    host.set_topics(frozenset({TOPIC}))
    mesh = host.hints._router.mesh
    await until(lambda: peer_id(member.device) in mesh.get(TOPIC.hex(), ()))

    for number in range(20):
        host.send(member.device, b"removal %d" % number)
    standing[member.device] = Standing.REFUSED
    async with trio.open_nursery() as nursery:
        nursery.start_soon(host.expel, member.device)
        for number in range(20):
            assert (await next_event(member.events(), FrameReceived)).frame == b"removal %d" % number
        await next_event(member.events(), Disconnected)
    assert connections(host, member.device) == 0
    assert host.linked() == {other.device}
    await until(lambda: not hears(host, member.device))
    assert peer_id(member.device) not in mesh[TOPIC.hex()]
    before = host.gate.refused
    await until(lambda: host.gate.refused > before)  # its redialler tries again, in vain
    assert connections(host, member.device) == 0
    await still_works(host, other)


async def test_an_expelled_device_that_is_admitted_again_is_a_full_member(node: OpenNode) -> None:
    standing: dict[DeviceId, Standing] = {}
    host = await node("host", standing=lambda device: standing.get(device, Standing.MEMBER))
    member = await node("member")
    await linked(member, host)
    standing[member.device] = Standing.REFUSED
    async with trio.open_nursery() as nursery:
        nursery.start_soon(host.expel, member.device)
        await next_event(member.events(), Disconnected)
    member.set_peers({})
    standing.clear()
    await linked(member, host)
    for transport in (host, member):
        transport.set_topics(frozenset({TOPIC}))
    await until(lambda: hears(host, member.device) and hears(member, host.device))
    member.publish(TOPIC, b"back")
    assert (await next_event(host.events(), GossipReceived)).frame == b"back"
    await still_works(member, host)


def test_stock_hosts_offer_plaintext_and_secio() -> None:
    """When this fails, the default became safe; ours stays explicit all the same."""
    offered = new_host(key_pair=create_new_key_pair(seed("stock"))).get_network().upgrader  # type: ignore[attr-defined]
    assert {PLAINTEXT_PROTOCOL_ID, SECIO} <= set(offered.security_multistream.transports)


async def test_only_tcp_with_noise_is_offered_and_no_pre_shared_key(node: OpenNode) -> None:
    host = await node("host")
    assert list(host.swarm.upgrader.security_multistream.transports) == [NOISE]
    assert [type(transport) for transport in host.swarm.transport_manager.get_transports()] == [TCP]
    assert host.swarm.psk is None


async def test_a_peer_that_offers_plaintext_only_does_not_get_in(node: OpenNode) -> None:
    host = await node("host")
    keys = create_new_key_pair(seed("plain"))
    plain = new_host(key_pair=keys, sec_opt={TProtocol(PLAINTEXT_PROTOCOL_ID): InsecureTransport(keys)})
    async with plain.run(listen_addrs=[]):
        where, device = parse_address(host.addresses[0])
        with pytest.raises(Exception), trio.fail_after(PATIENCE):  # noqa: B017 - libp2p's way of saying no
            await plain.get_network().dial_addr(where, peer_id(device))
        await plain.get_network().close()
    assert host.swarm.get_total_connections() == 0


@pytest.mark.parametrize("address", ["/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1", "nonsense", ""])
async def test_an_address_that_is_not_tcp_is_refused_with_advice(address: str) -> None:
    with pytest.raises(AddressUnusable) as refused:
        async with open_libp2p(device_seed=seed("host"), listen=[address]):
            raise AssertionError("listens")
    assert refused.value.advice


async def test_two_daemons_do_not_share_a_port_in_silence(node: OpenNode) -> None:
    first = await node("first")
    taken = first.addresses[0].split("/p2p/")[0]
    with pytest.raises(AddressUnusable) as refused:
        async with open_libp2p(device_seed=seed("second"), listen=[taken]):
            raise AssertionError("listens")
    assert "another address" in refused.value.advice
