"""A member that returns gets each chain from one other, and from whoever can when that one can't (PROTOCOL §6)."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import pytest
from medsync_protocol.application import Draft
from medsync_protocol.effects import Effect, Serve
from medsync_protocol.engine import Engine
from medsync_protocol.ids import NETWORK_CONTEXT, ContextId, DeviceId
from medsync_protocol.kinds import Role
from medsync_sim.node import SimNode
from tests.simulated import CalmWorld

NAMES = ("north", "south", "west", "east")


def _submit(engine: Engine, now: int, *, context: ContextId, drafts: list[Draft]) -> tuple[Any, list[Effect]]:
    return engine.submit(now, context, drafts)


class Four:
    """Four members in one context, and what was served to whom."""

    def __init__(self) -> None:
        self.world = world = CalmWorld(3)
        self.nodes = [world.add(name) for name in NAMES]
        self.served: Counter[tuple[DeviceId, bytes]] = Counter()
        self.north, self.south, self.west, self.east = self.nodes
        self.north.do(lambda engine, now: engine.found_network(now, "consortium"))
        for node in self.nodes[1:]:
            world.join(node, self.north, Role.MEMBER)
        world.until(lambda: world.converged(NETWORK_CONTEXT))
        roles = [(node.identity.member, Role.MEMBER) for node in self.nodes[1:]]
        self.context: ContextId = self.north.do(
            lambda engine, now: engine.create_context(now, "trial", "medsync", "any_admin", roles)
        )
        world.until(lambda: len(self.north.engine.replicas[self.context].membership.voters) == len(NAMES))
        world.until(lambda: world.converged(self.context))
        for node in self.nodes:
            self._count(node)

    def _count(self, node: SimNode) -> None:
        release = node._release

        def counted(effect: Any) -> None:
            if isinstance(effect, Serve) and effect.context == self.context:
                self.served[effect.peer, effect.chain] += effect.end - effect.first
            release(effect)

        node._release = counted  # type: ignore[method-assign]

    def write(self, node: SimNode, count: int) -> None:
        for _ in range(count):
            _, drafts = node.engine.desk(self.context).enrol(self.world.now)
            node.do(partial(_submit, context=self.context, drafts=drafts))

    def held(self, node: SimNode, by: SimNode) -> int:
        replica = node.engine.replicas[self.context]
        chain = by.engine.replicas[self.context].chain
        return replica.vector.get(chain, 0)


@pytest.fixture
def four() -> Four:
    return Four()


def test_each_chain_is_served_once_to_a_member_that_returns(four: Four) -> None:
    world = four.world
    four.east.crash()
    for node in (four.north, four.south, four.west):
        four.write(node, 20)
    world.until(lambda: world.converged(four.context))
    four.served.clear()
    four.east.start()
    world.until(lambda: world.converged(four.context))
    served = [count for (peer, _), count in four.served.items() if peer == four.east.device]
    assert served == [20, 20, 20]


def test_the_chain_of_one_who_is_away_is_served_once_too(four: Four) -> None:
    world = four.world
    four.east.crash()
    four.write(four.north, 20)
    world.until(lambda: four.held(four.west, four.north) == four.held(four.south, four.north) == four.held(four.north, four.north))
    world.run(10_000)  # until all know of each other that they hold it
    four.north.crash()
    four.served.clear()
    four.east.start()
    world.until(lambda: four.held(four.east, four.north) == four.held(four.west, four.north))
    assert [count for (peer, _), count in four.served.items() if peer == four.east.device] == [20]


def test_who_reaches_only_one_member_gets_all_from_it(four: Four) -> None:
    world = four.world
    four.east.crash()
    for node in (four.north, four.south, four.west):
        four.write(node, 5)
    world.until(lambda: world.converged(four.context))
    world.partition([four.north, four.south], [four.east])
    four.east.start()
    world.until(
        lambda: all(four.held(four.east, node) == four.held(node, node) for node in (four.north, four.south, four.west))
    )
