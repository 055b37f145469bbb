"""Payloads of membership and keys operations: what decodes re-encodes, anything else is Malformed or Unreadable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsync_protocol.actions import (
    MAX_CHAINS, MAX_MEMBERS, Action, Unknown, Unreadable, decode_action, encode_action,
)  # fmt: skip
from medsync_protocol.codec import pack, unpack
from medsync_protocol.errors import Malformed
from medsync_protocol.ids import NETWORK_CONTEXT, ChainId, ContextId, NetworkId
from medsync_protocol.kinds import OpKind, Plane
from medsync_protocol.operation import NO_KEY, NO_OP, UNBORN, Body, Entry, Header, entry_hash
from medsync_protocol.reading import read_action
from tests.protocol.strategies import damaged

PAYLOADS = json.loads((Path(__file__).resolve().parents[2] / "protocol/vectors/payloads.json").read_text("utf-8"))
KINDS = [case["kind"] for case in PAYLOADS.values()]
CONTEXT = ContextId(b"\x22" * 32)


def read(kind: int, payload: bytes, context: ContextId = CONTEXT, plane: Plane | None = None) -> Action:
    """As a replica reads an operation of this kind in its plane."""
    founding = kind == OpKind.GENESIS
    header = Header(
        network=NetworkId(UNBORN if founding else b"N" * 32), context=NETWORK_CONTEXT if founding else context,
        plane=(Plane.KEYS if kind == OpKind.ROTATE else Plane.MEMBERSHIP) if plane is None else plane,
        chain=ChainId(bytes(40)), seq=0, prev=NO_OP, membership_heads=(), seen_k=0, seen_root=bytes(32), key_id=NO_KEY,
        hlc=0, kind=kind, entries_root=bytes(32), count=1,
    )  # fmt: skip
    return read_action(header, Body(bytes(24), (Entry(b"", payload, entry_hash(payload), len(payload)),)), context)


@given(st.data(), st.sampled_from(sorted(PAYLOADS)))
def test_a_damaged_payload_is_malformed_or_means_exactly_its_bytes(data: st.DataObject, name: str) -> None:
    kind, payload = PAYLOADS[name]["kind"], bytes.fromhex(PAYLOADS[name]["payload"])
    damage = data.draw(damaged(payload))
    try:
        action = decode_action(kind, damage)
    except Malformed:
        return
    assert encode_action(action) == (kind, damage)


@given(st.sampled_from(KINDS), st.binary(max_size=100))
def test_any_bytes_under_a_known_kind_are_malformed_and_read_as_unreadable(kind: int, payload: bytes) -> None:
    if kind == OpKind.MERGE and payload == pack([]):
        return
    try:
        action = decode_action(kind, payload)
    except Malformed:
        assert read(kind, payload) == Unreadable(kind=kind)
    else:
        assert encode_action(action) == (kind, payload)


@given(st.integers(0, 65535).filter(lambda kind: kind not in {*KINDS, OpKind.BATCH}), st.binary(max_size=50))
def test_an_unknown_kind_may_say_anything(kind: int, payload: bytes) -> None:
    assert read(kind, payload) == Unknown(kind=kind)
    with pytest.raises(Malformed):
        encode_action(Unknown(kind=kind))


@pytest.mark.parametrize("name", ["genesis", "admit", "device_add", "voter_key"])
def test_a_certificate_or_proof_that_does_not_hold_makes_it_unreadable(name: str) -> None:
    kind, payload = PAYLOADS[name]["kind"], bytes.fromhex(PAYLOADS[name]["payload"])
    fields = _lists(unpack(payload))
    match name:
        case "genesis":
            fields[3][2] = bytes(64)
        case "admit":
            fields[0][2] = bytes(64)
        case "device_add":
            fields[2] = bytes(64)
        case _:
            fields[3] = (5).to_bytes(32, "big")
    assert read(kind, pack(fields)) == Unreadable(kind=kind)


def test_a_voter_key_proven_for_another_context_is_unreadable() -> None:
    kind, payload = PAYLOADS["voter_key"]["kind"], bytes.fromhex(PAYLOADS["voter_key"]["payload"])
    assert read(kind, payload, ContextId(b"\x23" * 32)) == Unreadable(kind=kind)


@pytest.mark.parametrize("name", sorted(PAYLOADS))
def test_an_action_on_another_plane_than_its_own_says_nothing(name: str) -> None:
    kind, payload = PAYLOADS[name]["kind"], bytes.fromhex(PAYLOADS[name]["payload"])
    other = Plane.MEMBERSHIP if kind == OpKind.ROTATE else Plane.KEYS
    assert read(kind, payload, plane=other) == Unreadable(kind=kind)
    assert read(kind, payload, plane=Plane.DATA) == Unknown(kind=kind)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (OpKind.LEAVE, [[(b"b" * 40, 1), (b"a" * 40, 1)]]),
        (OpKind.LEAVE, [[(b"a" * 40, 1), (b"a" * 40, 2)]]),
        (OpKind.LEAVE, [[(b"a" * 40, -1)]]),
        (OpKind.LEAVE, [[(n.to_bytes(40, "big"), 0) for n in range(MAX_CHAINS + 1)]]),
        (OpKind.SET_ROLE, [b"m" * 32, 3, []]),
        (OpKind.SET_ROLE, [b"m" * 32, True, []]),
        (OpKind.VOTE, [b"b" * 32, []]),
        (OpKind.VOTE, [b"b" * 32, [(b"m" * 32, b"\x02" * 32), (b"n" * 32, b"\x01" * 32)]]),
        (OpKind.VOTE, [b"b" * 32, [(b"m" * 32, b"\x01" * 32), (b"m" * 32, b"\x02" * 32)]]),
        (OpKind.VOTE, [b"b" * 32, [(n.to_bytes(32, "big"), n.to_bytes(32, "big")) for n in range(MAX_MEMBERS + 1)]]),
        (OpKind.ROTATE, [[0, b"k" * 32, [], None]]),
    ],
)  # fmt: skip
def test_lists_are_ascending_bounded_and_in_range(kind: OpKind, fields: Any) -> None:
    with pytest.raises(Malformed):
        decode_action(kind, pack(fields))


def _lists(value: Any) -> Any:
    return [_lists(item) for item in value] if isinstance(value, tuple) else value
