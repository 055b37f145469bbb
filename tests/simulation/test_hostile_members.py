"""What a hostile member or stranger can send: it is counted against it, and changes nothing it may not change."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from medsync_protocol import frames, governance
from medsync_protocol import operation as ops
from medsync_protocol.actions import Remove, encode_action
from medsync_protocol.codec import pack
from medsync_protocol.effects import Misbehaved
from medsync_protocol.frames import FrameKind
from medsync_protocol.ids import NETWORK_CONTEXT, ChainId, DeviceId
from medsync_protocol.kinds import OpKind, Plane, Verdict
from medsync_protocol.ports import JOIN_PROTOCOL, NOTICE_PROTOCOL
from medsync_sim.node import SimNode
from tests.simulation.test_engine import Hospitals

_SHARED: dict[str, Hospitals] = {}
STRANGER = DeviceId(bytes(32))


@pytest.fixture
def hospitals() -> Hospitals:
    return Hospitals()


def _shared() -> Hospitals:
    if "one" not in _SHARED:
        _SHARED["one"] = Hospitals()
    return _SHARED["one"]


def _forge(
    hospitals: Hospitals, node: SimNode, entries: list[tuple[bytes, bytes]], *, plane: int, kind: int,
    heads: tuple[Any, ...] | None = None, chain: ChainId | None = None,
) -> bytes:  # fmt: skip
    """An operation signed by the node's device that its own engine would never write."""
    replica = hospitals.replica(node)
    mine = chain or ChainId(node.device + b"hostile!")
    header = ops.Header(
        network=replica.network, context=replica.context, plane=plane, chain=mine, seq=replica.chains.next_seq(mine),
        prev=replica.chains.head(mine), membership_heads=replica.fold.heads() if heads is None else heads, seen_k=0,
        seen_root=bytes(32), key_id=replica.membership.usable_key(), hlc=hospitals.world.now << 16, kind=kind,
        entries_root=bytes(32), count=1,
    )  # fmt: skip
    return ops.build(header, bytes(24), entries, node.identity.device_seed).wire


def _hand_in(hospitals: Hospitals, wire: bytes) -> Verdict:
    north, lab = hospitals.north, hospitals.lab
    frame = frames.ops(hospitals.context, [wire])
    north.perform(north.engine.frame_received(hospitals.world.now, lab.device, frame))
    header = ops.decode_header(ops.split(wire)[0])
    return hospitals.replica(north).verdict(header.chain, header.seq)


def test_a_second_genesis_founds_nothing(hospitals: Hospitals) -> None:
    lab = hospitals.lab
    wire = governance.genesis(
        lab.identity, b"hostile!", hospitals.world.now, network=None, name="mine now", application="medsync",
        policy="any_admin", auditors=(), settings={}, entropy=lambda label, n: bytes(n),
    )  # fmt: skip
    payload = ops.decode_body(ops.split(wire)[2]).entries[0].ciphertext
    assert payload is not None
    forged = _forge(hospitals, lab, [(b"", payload)], plane=Plane.MEMBERSHIP, kind=OpKind.GENESIS, heads=())
    assert not _hand_in(hospitals, forged).effective
    assert hospitals.replica(hospitals.north).membership.admins() == {hospitals.north.identity.member}


def test_a_member_without_the_role_removes_nobody(hospitals: Hospitals) -> None:
    lab, victim = hospitals.lab, hospitals.south.identity.member
    replica = hospitals.replica(lab)
    rotation = governance._rotation(replica, lab.engine.entropy, without=victim)
    _, payload = encode_action(Remove(member=victim, cut_off=(), rotation=rotation))
    forged = _forge(hospitals, lab, [(b"", payload)], plane=Plane.MEMBERSHIP, kind=OpKind.REMOVE)
    assert _hand_in(hospitals, forged) is Verdict.VOID_ROLE
    assert victim in hospitals.replica(hospitals.north).membership.members


@pytest.mark.parametrize("entries", [[(b"", b"a"), (b"", b"b")], [(b"", b"\xc1")]])
def test_a_membership_operation_that_says_nothing_is_kept_and_void(
    hospitals: Hospitals, entries: list[tuple[bytes, bytes]]
) -> None:
    forged = _forge(hospitals, hospitals.lab, entries, plane=Plane.MEMBERSHIP, kind=OpKind.ADMIT)
    assert not _hand_in(hospitals, forged).effective


def test_an_admission_on_the_data_plane_admits_nobody(hospitals: Hospitals) -> None:
    before = set(hospitals.replica(hospitals.north).membership.members)
    forged = _forge(hospitals, hospitals.lab, [(b"", b"x")], plane=9, kind=OpKind.ADMIT)
    _hand_in(hospitals, forged)
    assert set(hospitals.replica(hospitals.north).membership.members) == before


def test_labels_that_cannot_be_read_harm_nobody(hospitals: Hospitals) -> None:
    forged = _forge(hospitals, hospitals.lab, [(b"\xc1", b"\x00text")], plane=Plane.DATA, kind=OpKind.BATCH)
    assert _hand_in(hospitals, forged).effective
    header = ops.decode_header(ops.split(forged)[0])
    north = hospitals.north
    held = north.wire(hospitals.context, header.chain, header.seq)
    assert north.engine.redacted(hospitals.context, hospitals.south.device, [held]) == [held]
    hospitals.world.until(lambda: hospitals.world.converged(hospitals.context))


def test_a_member_cannot_move_anothers_address(hospitals: Hospitals) -> None:
    north, lab, south = hospitals.north, hospitals.lab, hospitals.south
    frame = frames.encode(FrameKind.ADDRESSES, [(south.device, ["virtual/elsewhere"])])
    north.perform(north.engine.frame_received(hospitals.world.now, lab.device, frame))
    assert north.engine.directory.addresses()[south.device] == (south.address,)


def test_a_fork_voids_both_branches_and_the_proof_is_kept(hospitals: Hospitals) -> None:
    lab = hospitals.lab
    one = _forge(hospitals, lab, [(b"", b"\x00one")], plane=Plane.DATA, kind=OpKind.BATCH)
    two = _forge(hospitals, lab, [(b"", b"\x00two")], plane=Plane.DATA, kind=OpKind.BATCH)
    _hand_in(hospitals, one)
    assert _hand_in(hospitals, two) is Verdict.VOID_FORK
    assert hospitals.north.noticed("fork")


_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**62) | st.binary(max_size=40) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=12,
)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(kind=st.integers(0, 20), fields=st.lists(_values, max_size=5), inside=st.booleans())
def test_no_frame_of_a_member_stops_a_node(kind: int, fields: list[Any], inside: bool) -> None:
    hospitals = _shared()
    north, lab = hospitals.north, hospitals.lab
    head = [hospitals.context] if inside else []
    effects = north.engine.frame_received(hospitals.world.now, lab.device, pack([kind, *head, *fields]))
    north.perform([e for e in effects if not isinstance(e, Misbehaved)])


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=200), protocol=st.sampled_from([JOIN_PROTOCOL, NOTICE_PROTOCOL, "/other"]))
def test_no_question_of_a_stranger_stops_a_node(data: bytes, protocol: str) -> None:
    north = _shared().north
    answer, _ = north.engine.guest(_shared().world.now, STRANGER, protocol, data)
    assert answer


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=300))
def test_no_bytes_on_a_link_stop_a_node(data: bytes) -> None:
    hospitals = _shared()
    root = hospitals.replica(hospitals.north).membership.root()
    hospitals.north.engine.frame_received(hospitals.world.now, hospitals.lab.device, data)
    assert hospitals.replica(hospitals.north).membership.root() == root


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(at=st.integers(0, 2_000), bit=st.integers(0, 7))
def test_a_flipped_bit_in_an_operation_is_refused_or_parked(at: int, bit: int) -> None:
    hospitals = _shared()
    chain = hospitals.replica(hospitals.north).chain
    wire = bytearray(hospitals.north.wire(NETWORK_CONTEXT, chain, 1))
    wire[at % len(wire)] ^= 1 << bit
    south = hospitals.south
    before = south.engine.replicas[NETWORK_CONTEXT].membership.root()
    frame = frames.ops(NETWORK_CONTEXT, [bytes(wire)])
    south.engine.frame_received(hospitals.world.now, hospitals.north.device, frame)
    assert south.engine.replicas[NETWORK_CONTEXT].membership.root() == before
