"""Guests: strangers who may put one question, within bytes, seconds and number (LIBP2P, Permissioning)."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from medsync_node.transport import gate, guests
from medsync_node.transport.gate import MAX_GUESTS
from medsync_node.transport.gossip import PROTOCOL as MESHSUB
from medsync_node.transport.libp2p_transport import Libp2pTransport
from medsync_node.transport.peer_ids import peer_id
from medsync_protocol.ids import DeviceId
from medsync_protocol.ports import JOIN_PROTOCOL, MAX_GUEST_FRAME, NOTICE_PROTOCOL, Standing, Unreachable

from .conftest import OpenNode, OpenStranger, Stranger, turned_away, until


async def echo(device: DeviceId, protocol: str, question: bytes) -> bytes:
    return protocol.encode() + device + question if len(question) < 100 else question


@pytest.fixture
async def host(node: OpenNode) -> Libp2pTransport:
    """A node that knows nobody and answers guests."""
    opened = await node("host", standing=lambda _: Standing.GUEST)
    opened.set_guest_handler(echo)
    return opened


def asked(frame: bytes) -> bytes:
    return len(frame).to_bytes(4, "big") + frame


async def says(guest: Stranger, host: Libp2pTransport, data: bytes) -> Any:
    """The guest's stream on the join protocol, with these bytes sent."""
    stream = await guest.open(host, JOIN_PROTOCOL)
    await stream.write(data)
    return stream


@pytest.mark.parametrize("protocol", [JOIN_PROTOCOL, NOTICE_PROTOCOL])
async def test_a_guest_gets_its_answer(protocol: str, host: Libp2pTransport, node: OpenNode) -> None:
    guest = await node("guest")
    answer = await guest.ask(host.addresses[0], protocol, b"may I?")
    assert answer == protocol.encode() + guest.device + b"may I?"
    await until(lambda: host.gate.guests == 0 and not host.swarm.get_connections())


async def test_a_guest_may_come_again(host: Libp2pTransport, node: OpenNode) -> None:
    guest = await node("guest")
    for number in range(3):
        await guest.ask(host.addresses[0], JOIN_PROTOCOL, b"%d" % number)
        await until(lambda: host.gate.guests == 0)


async def test_question_and_answer_may_be_as_long_as_the_bound(host: Libp2pTransport, node: OpenNode) -> None:
    question = b"x" * MAX_GUEST_FRAME
    assert await (await node("guest")).ask(host.addresses[0], JOIN_PROTOCOL, question) == question


async def test_a_longer_question_is_our_own_bug(host: Libp2pTransport, node: OpenNode) -> None:
    with pytest.raises(ValueError, match="at most"):
        await (await node("guest")).ask(host.addresses[0], JOIN_PROTOCOL, b"x" * (MAX_GUEST_FRAME + 1))


async def test_a_guest_that_announces_more_is_turned_away(
    host: Libp2pTransport, stranger: OpenStranger
) -> None:
    guest = await stranger("guest")
    await turned_away(says(guest, host, (MAX_GUEST_FRAME + 1).to_bytes(4, "big")))
    assert host.containment.offences == {guest.device: 1}
    await until(lambda: host.gate.guests == 0)


async def test_a_second_stream_ends_the_visit(host: Libp2pTransport, stranger: OpenStranger) -> None:
    guest = await stranger("guest")
    first = await says(guest, host, b"")
    await turned_away(guest.open(host, JOIN_PROTOCOL))
    await turned_away(read_on(first))
    await until(lambda: host.gate.guests == 0 and not host.swarm.get_connections(peer_id(guest.device)))


async def read_on(stream: Any) -> Any:
    return stream


async def test_a_second_connection_of_a_guest_is_refused(
    host: Libp2pTransport, stranger: OpenStranger
) -> None:
    guest = await stranger("guest")
    await guest.dial(host)
    await until(lambda: host.gate.guests == 1)
    refused = host.gate.refused
    second = Stranger("guest")
    async with second.running():
        await turned_away(second.open(host, JOIN_PROTOCOL))
    assert host.gate.refused > refused
    assert host.gate.guests == 1


@pytest.mark.parametrize("sent", [b"", b"\x00\x00", asked(b"x" * 1000)[:500]])
async def test_a_slow_guest_is_out_after_its_seconds(
    sent: bytes, host: Libp2pTransport, stranger: OpenStranger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "GUEST_SECONDS", 0.2)
    guest = await stranger("guest")
    await turned_away(says(guest, host, sent))
    await until(lambda: host.gate.guests == 0 and not host.swarm.get_connections(peer_id(guest.device)))


async def test_a_guest_that_opens_no_stream_is_out_as_well(
    host: Libp2pTransport, stranger: OpenStranger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "GUEST_SECONDS", 0.2)
    guest = await stranger("guest")
    await guest.dial(host)
    await until(lambda: not host.swarm.get_connections(peer_id(guest.device)))
    assert host.gate.guests == 0


async def test_eight_guests_at_once_and_no_ninth(
    host: Libp2pTransport, stranger: OpenStranger, node: OpenNode
) -> None:
    for number in range(MAX_GUESTS):
        await (await stranger(f"guest {number}")).dial(host)
    await until(lambda: host.gate.guests == MAX_GUESTS)
    ninth = await node("ninth")
    with pytest.raises(Unreachable):
        await ninth.ask(host.addresses[0], JOIN_PROTOCOL, b"may I?")
    assert host.gate.guests == MAX_GUESTS
    host.gate.visit(next(iter(host.gate._visits))).ended.set()  # type: ignore[union-attr]
    await until(lambda: host.gate.guests < MAX_GUESTS)
    await ninth.ask(host.addresses[0], JOIN_PROTOCOL, b"may I?")


async def test_guests_do_not_keep_members_out(
    host: Libp2pTransport, stranger: OpenStranger, node: OpenNode
) -> None:
    for number in range(MAX_GUESTS):
        await (await stranger(f"guest {number}")).dial(host)
    await until(lambda: host.gate.guests == MAX_GUESTS)
    member = await node("member")
    host.set_standing(lambda device: Standing.MEMBER if device == member.device else Standing.GUEST)
    member.set_peers({host.device: host.addresses})
    await until(lambda: host.linked() == {member.device})


async def test_a_guest_is_never_in_pubsub(host: Libp2pTransport, stranger: OpenStranger) -> None:
    host.set_topics(frozenset({b"topic"}))
    guest = await stranger("guest", gossip=True)
    assert guest.pubsub is not None
    await guest.pubsub.subscribe(b"topic".hex())
    await turned_away(guest.open(host, MESHSUB))
    await until(lambda: host.gate.guests == 0)
    assert not host.hints.pubsub.peers
    assert not host.hints.pubsub.peer_topics.get(b"topic".hex())
    assert not guest.pubsub.peer_topics.get(b"topic".hex())


async def test_a_member_may_ask_too(host: Libp2pTransport, node: OpenNode) -> None:
    member = await node("member")
    host.set_standing(lambda _: Standing.MEMBER)
    assert (await member.ask(host.addresses[0], NOTICE_PROTOCOL, b"?")).endswith(b"?")


async def test_without_a_handler_guests_are_turned_away(node: OpenNode) -> None:
    host, guest = await node("host", standing=lambda _: Standing.GUEST), await node("guest")
    with pytest.raises(Unreachable):
        await guest.ask(host.addresses[0], JOIN_PROTOCOL, b"may I?")


async def test_more_questions_than_the_handler_takes_at_once_are_turned_away(
    host: Libp2pTransport, node: OpenNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guests, "MAX_ANSWERING", 1)
    began, go_on = trio.Event(), trio.Event()

    async def slow(device: DeviceId, protocol: str, question: bytes) -> bytes:
        began.set()
        await go_on.wait()
        return b"yes"

    host.set_guest_handler(slow)
    first, second = await node("first"), await node("second")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(first.ask, host.addresses[0], JOIN_PROTOCOL, b"may I?")
        await began.wait()
        with pytest.raises(Unreachable):
            await second.ask(host.addresses[0], JOIN_PROTOCOL, b"may I?")
        go_on.set()


@pytest.mark.parametrize(
    "address", ["", "nonsense", "/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/1/p2p/QmNobody"]
)
async def test_an_address_that_names_nobody_is_unreachable(address: str, node: OpenNode) -> None:
    with pytest.raises(Unreachable):
        await (await node("guest")).ask(address, JOIN_PROTOCOL, b"may I?")


async def test_asking_where_nobody_listens_is_unreachable(host: Libp2pTransport, node: OpenNode) -> None:
    guest = await node("guest")
    port, identity = guest.addresses[0].split("/tcp/")[1].split("/p2p/")
    assert port and identity
    nobody = f"/ip4/127.0.0.1/tcp/1/p2p/{host.addresses[0].split('/p2p/')[1]}"
    with pytest.raises(Unreachable):
        await guest.ask(nobody, JOIN_PROTOCOL, b"may I?")


async def test_whoever_answers_with_another_identity_is_not_asked(
    host: Libp2pTransport, node: OpenNode
) -> None:
    guest, other = await node("guest"), await node("other")
    false = f"{host.addresses[0].split('/p2p/')[0]}/p2p/{other.addresses[0].split('/p2p/')[1]}"
    with pytest.raises(Unreachable):
        await guest.ask(false, JOIN_PROTOCOL, b"secret question")
