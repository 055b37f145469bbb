"""A device signs two operations for one place and shows them to different members: neither counts anywhere (S7)."""

from __future__ import annotations

import pytest

from medsync_protocol import frames
from medsync_protocol import operation as ops
from medsync_protocol.actions import Action, Admit, Merge, encode_action
from medsync_protocol.ids import ChainId, OpId
from medsync_protocol.joining import card_of
from medsync_protocol.kinds import OpKind, Plane, Role, Verdict
from medsync_sim.node import SimNode
from tests.simulation.test_engine import Hospitals


@pytest.fixture
def hospitals() -> Hospitals:
    return Hospitals()


def _made(hospitals: Hospitals, author: SimNode, action: Action | None, seq: int, prev: OpId, mark: bytes) -> bytes:
    """An operation of a chain of its own that the author's engine knows nothing of; None: a data operation."""
    replica = hospitals.replica(author)
    plane, kind, payload = Plane.DATA, OpKind.BATCH, b"\x00" + mark
    if action is not None:
        kind, payload = encode_action(action)
        plane = Plane.MEMBERSHIP
    header = ops.Header(
        network=replica.network, context=replica.context, plane=plane, chain=ChainId(author.device + b"forking!"), seq=seq,
        prev=prev, membership_heads=replica.fold.heads(), seen_k=0, seen_root=bytes(32),
        key_id=ops.NO_KEY if action is not None else replica.membership.usable_key(), hlc=hospitals.world.now << 16, kind=kind,
        entries_root=bytes(32), count=1,
    )  # fmt: skip
    return ops.build(header, mark.ljust(24, b"."), [(b"", payload)], author.identity.device_seed).wire


def _show(hospitals: Hospitals, author: SimNode, to: SimNode, *wires: bytes) -> None:
    to.perform(to.engine.frame_received(hospitals.world.now, author.device, frames.ops(hospitals.context, wires)))


def _id(wire: bytes) -> OpId:
    return ops.op_id_of(ops.split(wire)[0])


def test_different_branches_of_a_membership_fork_leave_one_state(hospitals: Hospitals) -> None:
    """North admits a stranger, to south; and doesn't, to west. The proof reaches all, both are void, and nothing stalls."""
    north, south, west, world = hospitals.north, hospitals.south, hospitals.west, hospitals.world
    before = set(hospitals.replica(south).membership.members)
    stranger = world.add("stranger")
    key_id = hospitals.replica(north).membership.usable_key()
    admit = Admit(card=card_of(stranger.identity), role=Role.MEMBER, key_id=key_id, wrap=b"w")
    one = _made(hospitals, north, admit, 0, ops.NO_OP, b"one")
    two = _made(hospitals, north, Merge(), 0, ops.NO_OP, b"two")
    world.partition([south], [west])
    _show(hospitals, north, south, one)
    assert set(hospitals.replica(south).membership.members) > before, "alone it counts"
    _show(hospitals, north, west, two)
    after = _made(hospitals, north, Merge(), 1, _id(one), b"three")
    _show(hospitals, north, south, after)
    world.heal()
    others = [node for node in hospitals.nodes if node is not north]
    _show(hospitals, north, west, one)
    world.until(lambda: all(node.noticed("fork") for node in others))
    world.until(lambda: len({hospitals.replica(node).membership.root() for node in others}) == 1)
    for node in others:
        replica = hospitals.replica(node)
        assert set(replica.membership.members) == before
        verdicts = replica.membership.verdicts
        assert {verdicts[_id(wire)] for wire in (one, two) if _id(wire) in verdicts} == {Verdict.VOID_FORK}


def test_who_follows_another_branch_is_asked_for_the_proof(hospitals: Hospitals) -> None:
    lab, south, west, world = hospitals.lab, hospitals.south, hospitals.west, hospitals.world
    one = _made(hospitals, lab, None, 0, ops.NO_OP, b"one")
    two = _made(hospitals, lab, None, 0, ops.NO_OP, b"two")
    after = _made(hospitals, lab, None, 1, _id(two), b"three")
    _show(hospitals, lab, south, one)
    _show(hospitals, lab, west, two, after)
    assert not south.noticed("fork") and not west.noticed("fork")
    world.until(lambda: south.noticed("fork") and west.noticed("fork"))
    chain = ChainId(lab.device + b"forking!")
    for node in (south, west):
        assert hospitals.replica(node).verdict(chain, 0) is Verdict.VOID_FORK
        assert hospitals.replica(node).branches


def test_a_fork_is_known_after_a_restart(hospitals: Hospitals) -> None:
    lab, south, world = hospitals.lab, hospitals.south, hospitals.world
    one, two = (_made(hospitals, lab, Merge(), 0, ops.NO_OP, mark) for mark in (b"one", b"two"))
    _show(hospitals, lab, south, one, two)
    root = hospitals.replica(south).membership.root()
    south.crash()
    south.start()
    again = hospitals.replica(south)
    assert again.membership.root() == root
    assert set(again.branches) == {_id(two)} and again.membership.verdicts[_id(one)] is Verdict.VOID_FORK
    world.run(100)
