"""The redial supervisor on virtual time: nobody else redials."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock

from medsync_node.transport.redial import FIRST_PAUSE, LONGEST_PAUSE, STEADY, Redialer
from medsync_protocol.ids import DeviceId
from medsync_protocol.ports import Unreachable

OWN = DeviceId(b"\x01" * 32)
PEER = DeviceId(b"\x02" * 32)
SMALLER = DeviceId(b"\x00" * 32)


class World:
    """Peers that answer or don't, and when they were dialled."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.up: set[str] = set()
        self.links: set[DeviceId] = set()
        self.dials: list[tuple[float, str]] = []
        self.redialer = Redialer(
            OWN, nursery, dial=self.dial, jitter=lambda: 1.0, linked=lambda peer: peer in self.links
        )

    async def dial(self, peer: DeviceId, address: str) -> None:
        self.dials.append((trio.current_time(), address))
        if address == "hangs":
            await trio.sleep_forever()
        if address not in self.up:
            raise Unreachable("nobody there")
        self.links.add(peer)

    def lose(self, peer: DeviceId) -> None:
        if peer in self.links:
            self.links.discard(peer)
            self.redialer.nudge(peer)

    @property
    def pauses(self) -> list[float]:
        times = [time for time, _ in self.dials]
        return [later - earlier for earlier, later in pairwise(times)]


@pytest.fixture
async def world(nursery: trio.Nursery) -> AsyncIterator[World]:
    yield World(nursery)


async def test_pauses_double_up_to_the_longest(world: World, autojump_clock: MockClock) -> None:
    world.redialer.set_peers({PEER: ["a"]})
    await trio.sleep(200)
    assert world.pauses[:4] == pytest.approx([FIRST_PAUSE * 2**n for n in range(4)])
    assert world.pauses[-1] == pytest.approx(LONGEST_PAUSE)
    assert world.redialer.troubles == {PEER: "nobody there"}


async def test_every_address_is_tried_before_the_pause(world: World, autojump_clock: MockClock) -> None:
    world.up = {"b"}
    world.redialer.set_peers({PEER: ["a", "b"]})
    await trio.testing.wait_all_tasks_blocked()
    assert world.dials == [(0.0, "a"), (0.0, "b")]
    assert world.links == {PEER}


async def test_an_address_that_hangs_does_not_keep_the_next_one_from_being_tried(
    world: World, autojump_clock: MockClock
) -> None:
    world.up = {"b"}
    world.redialer.set_peers({PEER: ["hangs", "b"]})
    await trio.sleep(11)
    assert world.links == {PEER}


async def test_a_lost_link_is_dialled_again(world: World, autojump_clock: MockClock) -> None:
    world.up = {"a"}
    world.redialer.set_peers({PEER: ["a"]})
    await trio.sleep(STEADY + 1)
    world.lose(PEER)
    await trio.sleep(FIRST_PAUSE + 0.01)
    assert world.links == {PEER}
    assert world.redialer.troubles == {}


async def test_a_link_that_never_lasts_is_dialled_ever_more_rarely(
    world: World, autojump_clock: MockClock
) -> None:
    world.up = {"a"}
    world.redialer.set_peers({PEER: ["a"]})
    for _ in range(400):
        await trio.sleep(0.25)
        world.lose(PEER)
    assert len(world.dials) < 20


async def test_changed_addresses_are_tried_at_once(world: World, autojump_clock: MockClock) -> None:
    world.redialer.set_peers({PEER: ["a"]})
    await trio.sleep(100)
    before = trio.current_time()
    world.up = {"b"}
    world.redialer.set_peers({PEER: ["b"]})
    await trio.testing.wait_all_tasks_blocked()
    assert world.dials[-1] == (before, "b")


async def test_a_peer_no_longer_wanted_is_not_dialled(world: World, autojump_clock: MockClock) -> None:
    world.redialer.set_peers({PEER: ["a"]})
    await trio.sleep(1)
    world.redialer.forget(PEER)
    count = len(world.dials)
    await trio.sleep(1000)
    assert len(world.dials) == count
    assert world.redialer.troubles == {}


async def test_the_larger_key_lets_the_smaller_dial_first(world: World, autojump_clock: MockClock) -> None:
    world.redialer.set_peers({PEER: ["a"], SMALLER: ["b"]})
    await trio.testing.wait_all_tasks_blocked()
    assert [address for _, address in world.dials] == ["a"]
    await trio.sleep(0.3)
    assert "b" in [address for _, address in world.dials]


async def test_a_device_never_dials_itself(world: World, autojump_clock: MockClock) -> None:
    world.redialer.set_peers({OWN: ["a"]})
    await trio.sleep(100)
    assert world.dials == []
