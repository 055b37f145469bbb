"""A member that has just joined hears of contexts before it knows the network: it must not miss them."""

from __future__ import annotations

import pytest
from medsync_protocol.ids import NETWORK_CONTEXT, ContextId, DeviceId
from medsync_protocol.kinds import Role
from medsync_sim.node import SimNode
from tests.simulated import CalmWorld


@pytest.mark.parametrize("seed", range(6))
def test_who_is_admitted_at_once_to_a_context_gets_it(seed: int) -> None:
    world = CalmWorld(seed)
    north, *others = [world.add(name) for name in ("north", "south", "west", "east")]
    north.do(lambda engine, now: engine.found_network(now, "consortium"))
    for node in others:
        world.join(node, north, Role.MEMBER)
    world.until(lambda: world.converged(NETWORK_CONTEXT))

    roles = [(node.member, Role.MEMBER) for node in others]
    context: ContextId = north.do(lambda engine, now: engine.create_context(now, "trial", "medsync", "any_admin", roles))
    world.until(lambda: world.converged(context))

    late = world.add("late")
    send = world.send

    def send_slowly_from_north(node: SimNode, peer: DeviceId, data: bytes) -> None:
        if (node, peer) == (north, late.device):
            world.timeline.after(500, lambda: send(node, peer, data))
        else:
            send(node, peer, data)

    world.send = send_slowly_from_north  # type: ignore[method-assign]
    world.join(late, north, Role.MEMBER)
    member = late.identity.member
    north.do(lambda engine, now: engine.admit(now, context, member, Role.MEMBER))
    world.run(20_000)
    assert world.converged(context)
    assert late.engine.replicas[context].role is Role.MEMBER
