"""A whole network of engines on virtual links: found, join, grant, decide, revoke, remove, checkpoint, crash."""

from __future__ import annotations

from typing import Any

import pytest
from medsync_protocol.ids import NETWORK_CONTEXT, ContextId
from medsync_protocol.kinds import Role, Verdict
from tests.virtual_network import VirtualNode, World


class Hospitals:
    """north, south and west, a lab, and a reader in one network with the context `trial`."""

    def __init__(self, seed: int = 0) -> None:
        self.world = world = World(seed)
        self.north, self.south, self.west, self.lab, self.reader = self.nodes = [
            world.add(name) for name in ("north", "south", "west", "lab", "reader")
        ]
        self.north.do(lambda now: self.north.engine.found_network(now, "consortium"))
        for node in self.nodes[1:]:
            world.join(node, self.north, Role.READER if node is self.reader else Role.MEMBER)
        world.until(lambda: world.converged(NETWORK_CONTEXT))
        roles = [(n.identity.member, Role.MEMBER) for n in (self.south, self.west, self.lab)]
        roles.append((self.reader.identity.member, Role.READER))
        self.context: ContextId = self.north.do(
            lambda now: self.north.engine.create_context(
                now, "trial", "medsync", "any_admin", roles, [self.reader.identity.member]
            )
        )
        world.until(lambda: world.converged(self.context))
        world.until(lambda: len(self.replica(self.north).membership.voters) == 4)
        world.until(lambda: world.converged(self.context))

    def replica(self, node: VirtualNode) -> Any:
        return node.engine.replicas[self.context]

    def submit(self, node: VirtualNode, drafts: Any) -> Any:
        return node.do(lambda now: node.engine.submit(now, self.context, drafts))

    def desk(self, node: VirtualNode) -> Any:
        return node.engine.desk(self.context)


@pytest.fixture
def hospitals() -> Hospitals:
    return Hospitals()


def test_members_join_by_invitation_and_all_see_all(hospitals: Hospitals) -> None:
    roots = {hospitals.replica(node).membership.root() for node in hospitals.nodes}
    assert len(roots) == 1
    assert len(hospitals.world.links) == 10
    assert not any(node.misbehaved for node in hospitals.nodes)


def test_the_first_members_that_may_write_become_voters(hospitals: Hospitals) -> None:
    voters = {member for member, _ in hospitals.replica(hospitals.reader).membership.voters}
    assert voters == {n.identity.member for n in hospitals.nodes if n is not hospitals.reader}


def test_a_removed_member_learns_of_it_and_reads_nothing_written_after(hospitals: Hospitals) -> None:
    world, lab = hospitals.world, hospitals.lab
    member = lab.identity.member
    hospitals.north.do(lambda now: hospitals.north.engine.remove(now, hospitals.context, member))
    world.until(lambda: lab.noticed("removed"))
    subject, drafts = hospitals.desk(hospitals.south).enrol(world.now)
    done = hospitals.submit(hospitals.south, drafts)
    world.until(lambda: world.converged(hospitals.context))
    held = hospitals.replica(lab).vector.get(done.chain, 0)
    assert held <= done.seq
    key_id = hospitals.replica(hospitals.south).membership.usable_key()
    assert key_id not in hospitals.replica(lab).ring


def test_what_a_removed_member_writes_is_void(hospitals: Hospitals) -> None:
    world, lab = hospitals.world, hospitals.lab
    others = [n for n in hospitals.nodes if n is not lab]
    world.partition([lab], others)
    _, drafts = hospitals.desk(lab).enrol(world.now)
    done = hospitals.submit(lab, drafts)
    member = lab.identity.member
    hospitals.north.do(lambda now: hospitals.north.engine.remove(now, hospitals.context, member))
    wire = lab.wire(hospitals.context, done.chain, done.seq)
    hospitals.north.perform(hospitals.replica(hospitals.north).receive(world.now, wire))
    verdict = hospitals.replica(hospitals.north).verdict(done.chain, done.seq)
    assert verdict is Verdict.VOID_AFTER_CUT_OFF


def test_a_crashed_node_catches_up(hospitals: Hospitals) -> None:
    world, west = hospitals.world, hospitals.west
    west.crash()
    for _ in range(20):
        _, drafts = hospitals.desk(hospitals.south).enrol(world.now)
        hospitals.submit(hospitals.south, drafts)
    west.start()
    world.until(lambda: world.converged(hospitals.context))
    assert hospitals.replica(west).application.state_digest() == hospitals.replica(hospitals.south).application.state_digest()

