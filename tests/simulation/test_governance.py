"""Governing a context over the network: votes, recovery of a lost key, history modes, devices, debts, foreign policies."""

from __future__ import annotations

from dataclasses import replace

import pytest

from medsync_protocol.application import Draft
from medsync_protocol.crypto import blake2b
from medsync_protocol.errors import NotPermitted, Refused
from medsync_protocol.identity import Identity
from medsync_protocol.ids import NETWORK_CONTEXT, ContextId, DeviceId
from medsync_protocol.kinds import EntryKind, Role
from medsync_protocol.policy import SHIPPED, Offer, Policies
from medsync_sim.node import SimNode
from tests.simulation.test_engine import Hospitals

NOTE = Draft(kind=EntryKind.NOTE, payload=b"a note")


@pytest.fixture
def hospitals() -> Hospitals:
    return Hospitals()


def context(hospitals: Hospitals, policy: str, admins: list[SimNode], **settings: int | str) -> ContextId:
    """Another context of north's, with these admins in it."""
    north, world = hospitals.north, hospitals.world
    roles = [(node.identity.member, Role.ADMIN) for node in admins]
    named = {key.replace("__", "."): value for key, value in settings.items()}
    made: ContextId = north.do(lambda engine, now: engine.create_context(now, "board", "medsync", policy, roles, (), named))
    world.until(lambda: all(made in n.engine.replicas for n in admins))
    return made


def test_a_lost_member_key_is_replaced_by_the_other_admins(hospitals: Hospitals) -> None:
    north, south, west, lab, world = hospitals.north, hospitals.south, hospitals.west, hospitals.lab, hospitals.world
    board = context(hospitals, "any_admin", [south, west])
    north.do(lambda engine, now: engine.recover(now, board, west.identity.member, lab.identity.member))
    proposal = north.engine.replica(board).membership.open_proposals()[0]
    world.until(lambda: bool(south.engine.replica(board).membership.open_proposals()))
    assert west.identity.member in south.engine.replica(board).membership.members
    with pytest.raises(NotPermitted):
        north.engine.endorse(world.now, board, proposal.op_id)
    south.do(lambda engine, now: engine.endorse(now, board, proposal.op_id))
    with pytest.raises(Refused):
        south.engine.endorse(world.now, board, proposal.op_id)
    world.until(lambda: board in lab.engine.replicas and lab.engine.replica(board).role is Role.ADMIN)
    world.until(lambda: west.engine.replica(board).role is None)
    lab.do(lambda engine, now: engine.submit(now, board, [NOTE]))
    world.until(lambda: world.converged(board))
    key = lab.engine.replica(board).membership.usable_key()
    assert key is not None and west.engine.replica(board).ring.key(key) is None, "whoever found the key reads nothing new"


def test_under_from_join_a_newcomer_reads_what_is_written_after_it_came(hospitals: Hospitals) -> None:
    north, south, lab, world = hospitals.north, hospitals.south, hospitals.lab, hospitals.world
    board = context(hospitals, "any_admin", [south], history="from_join")
    north.do(lambda engine, now: engine.submit(now, board, [NOTE]))
    north.do(lambda engine, now: engine.admit(now, board, lab.identity.member, Role.MEMBER))
    north.do(lambda engine, now: engine.submit(now, board, [NOTE, NOTE]))
    world.until(lambda: board in lab.engine.replicas and world.converged(board))
    world.run(10_000)
    mine = lab.engine.replica(board)
    assert len(mine.ring.epochs()) < len(south.engine.replica(board).ring.epochs()), "older keys are not served to it"
    chain = north.engine.replica(board).chain
    assert mine.readable()[chain] < mine.vector[chain], "what was written before it came stays closed to it"
    south.do(lambda engine, now: engine.rotate(now, board))
    world.until(lambda: world.converged(board))
    assert mine.membership.usable_key() in mine.ring.epochs()


def test_a_device_goes_and_its_member_stays(hospitals: Hospitals) -> None:
    north, world, board = hospitals.north, hospitals.world, hospitals.context
    second = Identity(member_seed=north.identity.member_seed, device_seed=blake2b(b"second"), name="north")
    north.do(lambda engine, now: engine.add_device(now, board, second.device, second.certificate()))
    world.until(lambda: hospitals.replica(hospitals.lab).membership.devices.get(second.device) == north.identity.member)
    north.do(lambda engine, now: engine.revoke_device(now, board, second.device))
    world.until(lambda: second.device not in hospitals.replica(hospitals.lab).membership.devices)
    assert north.identity.member in hospitals.replica(hospitals.lab).membership.members
    for unknown in (DeviceId(bytes(32)), hospitals.lab.device):
        with pytest.raises(Refused, match="no such device"):
            north.engine.revoke_device(world.now, board, unknown)
    with pytest.raises(Refused, match="itself"):
        north.engine.revoke_device(world.now, board, north.device)


def test_who_leaves_leaves_a_rotation_owed(hospitals: Hospitals) -> None:
    lab, north, world = hospitals.lab, hospitals.north, hospitals.world
    lab.do(lambda engine, now: engine.leave(now, hospitals.context))
    world.until(lambda: hospitals.replica(north).membership.rotation_owed() == (lab.identity.member,))
    world.until(lambda: hospitals.replica(north).membership.rotation_owed() == ())  # an admin's node pays it by itself
    assert hospitals.replica(north).membership.usable_key() is not None


def test_a_node_with_another_text_of_a_policy_does_not_follow_and_both_sides_show_it(hospitals: Hospitals) -> None:
    north, south, world = hospitals.north, hospitals.south, hospitals.world
    other = Offer(SHIPPED["k_of_n"].kind, b"another text".ljust(32), own=True)
    south.engine.policies = Policies({**SHIPPED, "k_of_n": other})
    roles = [(south.identity.member, Role.ADMIN)]
    board = north.do(lambda engine, now: engine.create_context(now, "board", "medsync", "k_of_n", roles, (), {}))
    world.until(lambda: south.noticed("policy_differs") and north.noticed("policy_differs"))
    assert board not in south.engine.replicas
    (shown,) = [dict(n.fields) for n in south.notices if n.what == "policy_differs"]
    assert shown["code"] == "policy_differs" and "install" in str(shown["advice"])
    assert not north.faults and not south.faults
    assert replace(other, own=False).digest(()) == other.digest(())


def test_a_removal_from_the_network_obliges_contexts_under_votes_too(hospitals: Hospitals) -> None:
    """The first admin to see it proposes; the others endorse, and nobody else has to ask."""
    north, south, west, world = hospitals.north, hospitals.south, hospitals.west, hospitals.world
    board = context(hospitals, "k_of_n", [south], policy__k=2)
    north.do(lambda engine, now: engine.admit(now, board, west.identity.member, Role.MEMBER))
    world.until(lambda: bool(south.engine.replica(board).membership.open_proposals()))
    (proposal,) = south.engine.replica(board).membership.open_proposals()
    south.do(lambda engine, now: engine.endorse(now, board, proposal.op_id))
    world.until(lambda: board in west.engine.replicas)
    north.do(lambda engine, now: engine.remove(now, NETWORK_CONTEXT, west.identity.member))
    world.until(lambda: west.identity.member not in north.engine.replica(board).membership.members)


@pytest.mark.parametrize("history", ["full", "from_join"])
def test_who_is_only_proposed_gets_no_key_and_reads_once_it_is_voted_in(hospitals: Hospitals, history: str) -> None:
    """Decision 21 (K2): a proposal that fails must not have handed out what members write under."""
    north, south, lab, world = hospitals.north, hospitals.south, hospitals.lab, hospitals.world
    board = context(hospitals, "majority", [south], history=history)
    old = north.engine.replica(board).membership.usable_key()
    north.do(lambda engine, now: engine.admit(now, board, lab.identity.member, Role.MEMBER))
    world.until(lambda: bool(south.engine.replica(board).membership.open_proposals()))
    state = south.engine.replica(board).membership
    assert state.usable_key() == old and not state.rotation_owed(), "nobody else holds it, so all go on under it"
    proposal = state.open_proposals()[0]
    assert proposal.action.wrap == b""
    south.do(lambda engine, now: engine.endorse(now, board, proposal.op_id))
    world.until(lambda: board in lab.engine.replicas and lab.engine.replica(board).role is Role.MEMBER)
    mine = lab.engine.replica(board)
    world.until(lambda: mine.membership.usable_key() in mine.ring.epochs())
    assert (old in mine.ring.epochs()) is (history == "full")
    lab.do(lambda engine, now: engine.submit(now, board, [NOTE]))
    world.until(lambda: world.converged(board))


def test_a_proposal_that_carries_the_key_makes_the_admins_rotate(hospitals: Hospitals, monkeypatch: pytest.MonkeyPatch) -> None:
    north, south, lab, world = hospitals.north, hospitals.south, hospitals.lab, hospitals.world
    board = context(hospitals, "majority", [south])
    old = south.engine.replica(board).membership.usable_key()
    with monkeypatch.context() as leaky:
        leaky.setattr(type(north.engine.replica(board).fold), "proposes", lambda *_: False)
        north.do(lambda engine, now: engine.admit(now, board, lab.identity.member, Role.MEMBER))
    world.until(lambda: bool(south.engine.replica(board).membership.open_proposals()))
    assert not south.engine.replica(board).membership.may_write_under(old)
    world.until(lambda: south.engine.replica(board).membership.usable_key() not in (None, old))
