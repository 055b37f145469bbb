"""Operations: the header commits to every byte of the body, pruning keeps the id, damage is Invalid (PROTOCOL §2)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsync_protocol.application import Label
from medsync_protocol.codec import pack, unpack
from medsync_protocol.crypto import signing_public
from medsync_protocol.errors import BadSignature, BrokenChain, Invalid, Malformed
from medsync_protocol.ids import NETWORK_CONTEXT, ChainId, ContextId, KeyId, NetworkId, OpId
from medsync_protocol.kinds import Audience, EntryKind, OpKind, Plane
from medsync_protocol.operation import (
    MAX_ENTRIES, MAX_HEADS, MAX_OP_BYTES, NO_KEY, NO_OP, UNBORN, Header, Operation, build, check_body, check_signature,
    decode, decode_body, decode_header, decode_label, encode_body, encode_header, encode_label, filled, join, open_payload,
    prune, sealing_context, split,
)  # fmt: skip
from tests.protocol.strategies import damaged

SEED = b"d" * 32
NETWORK, CONTEXT = NetworkId(b"N" * 32), ContextId(b"C" * 32)
CHAIN = ChainId(signing_public(SEED) + b"incarnat")
LABEL = encode_label(Label(kind=EntryKind.NOTE, audience=Audience.ALL))


def header(**changed: Any) -> Header:
    """A plausible header."""
    fields: dict[str, Any] = {
        "network": NETWORK, "context": CONTEXT, "plane": Plane.DATA, "chain": CHAIN, "seq": 1, "prev": OpId(b"P" * 32),
        "membership_heads": (OpId(b"H" * 32),), "seen_k": 0, "seen_root": bytes(32), "key_id": KeyId(b"K" * 32), "hlc": 1,
        "kind": OpKind.BATCH, "entries_root": bytes(32), "count": 1,
    }  # fmt: skip
    return Header(**{**fields, **changed})


def made(entries: int = 3, **changed: Any) -> Operation:
    """A signed operation."""
    return build(header(**changed), b"n" * 24, [(LABEL, b"\x00 entry %d" % n) for n in range(entries)], SEED)


def read(wire: bytes) -> Operation:
    """Decoded and its signature checked, as a replica does."""
    operation = decode(wire, network=NETWORK, context=CONTEXT)
    check_signature(operation)
    return operation


@given(
    st.integers(0, 255), st.integers(1, 2**63 - 1), st.sets(st.binary(min_size=32, max_size=32), max_size=MAX_HEADS),
    st.integers(0, 2**63 - 1), st.integers(0, 65535), st.integers(1, 5), st.integers(1, 65535),
)  # fmt: skip
def test_a_header_comes_back(
    plane: int, seq: int, heads: set[bytes], hlc: int, kind: int, count: int, version: int
) -> None:
    given_ = header(
        plane=plane, seq=seq, membership_heads=tuple(map(OpId, sorted(heads))), hlc=hlc, kind=kind, count=count, version=version
    )  # fmt: skip
    assert decode_header(encode_header(given_)) == given_


@settings(max_examples=300)
@given(st.data())
def test_damage_is_invalid_and_nothing_else(data: st.DataObject) -> None:
    wire = made().wire
    damage = data.draw(damaged(wire).filter(lambda bytes_: bytes_ != wire))
    with pytest.raises(Invalid):
        read(damage)


@given(st.binary(max_size=200))
def test_any_bytes_are_invalid(data: bytes) -> None:
    for decoder in (decode_header, decode_body, decode_label, split, read):
        with pytest.raises(Invalid):
            decoder(data)


def test_every_single_bit_counts() -> None:
    wire = made(entries=1).wire
    for at in range(len(wire) * 8):
        flipped = bytearray(wire)
        flipped[at // 8] ^= 1 << at % 8
        with pytest.raises(Invalid):
            read(bytes(flipped))


@pytest.mark.parametrize("gone", [{0}, {1}, {0, 2}, {0, 1, 2}])
def test_a_pruned_operation_still_verifies_and_can_be_filled_again(gone: set[int]) -> None:
    whole = made()
    pruned = read(join(whole.header_bytes, whole.signature, prune(whole.body, frozenset(gone))))
    assert pruned.op_id == whole.op_id
    assert {at for at, entry in enumerate(pruned.body.entries) if entry.pruned} == gone
    assert [e.hash for e in pruned.body.entries] == [e.hash for e in whole.body.entries]
    assert filled(pruned, whole.body).wire == whole.wire
    assert filled(whole, pruned.body).wire == whole.wire, "what is held is not lost to a pruned copy"


def test_a_pruned_entry_cannot_lie_about_label_hash_or_size() -> None:
    whole = made(entries=1)
    entry = whole.body.entries[0]
    for item in [
        (LABEL, entry.hash, entry.size + 1), (LABEL, b"h" * 32, entry.size), (b"label", entry.hash, entry.size),
    ]:  # fmt: skip
        with pytest.raises(Malformed):
            read(join(whole.header_bytes, whole.signature, pack([b"n" * 24, [item]])))


def test_nonce_order_and_count_are_committed_to() -> None:
    whole = made()
    entries = [(e.label, e.ciphertext) for e in whole.body.entries]
    for nonce, listed in [(b"m" * 24, entries), (b"n" * 24, entries[::-1]), (b"n" * 24, entries[:2]), (b"n" * 24, [*entries, entries[0]])]:
        with pytest.raises(Malformed):
            check_body(whole.header, decode_body(pack([nonce, listed])))


def test_another_body_cannot_fill_an_operation() -> None:
    with pytest.raises(Malformed):
        filled(made(entries=2), made(entries=3).body)


def test_another_device_cannot_sign_for_the_chain() -> None:
    forged = build(header(), b"n" * 24, [(LABEL, b"x")], b"e" * 32)
    with pytest.raises(BadSignature):
        read(forged.wire)


@pytest.mark.parametrize(
    "changed",
    [
        {"network": NetworkId(b"M" * 32)}, {"context": ContextId(b"D" * 32)}, {"seq": 0}, {"prev": NO_OP},
        {"seq": 0, "prev": NO_OP, "context": ContextId(UNBORN), "kind": OpKind.ADMIT},
    ],
)  # fmt: skip
def test_another_network_context_or_a_link_without_a_chain_is_broken(changed: dict[str, Any]) -> None:
    with pytest.raises(BrokenChain):
        read(made(**changed).wire)


def test_a_genesis_is_born_with_its_own_id() -> None:
    born = made(entries=1, seq=0, prev=NO_OP, plane=Plane.MEMBERSHIP, kind=OpKind.GENESIS, context=ContextId(UNBORN))
    assert decode(born.wire, network=NETWORK, context=ContextId(born.op_id)).op_id == born.op_id
    network = made(
        entries=1, seq=0, prev=NO_OP, plane=Plane.MEMBERSHIP, kind=OpKind.GENESIS, network=NetworkId(UNBORN), context=NETWORK_CONTEXT
    )  # fmt: skip
    assert decode(network.wire, network=NetworkId(network.op_id), context=NETWORK_CONTEXT).op_id == network.op_id
    for founded in (born, network):
        with pytest.raises(BrokenChain):
            read(founded.wire)


def test_limits_hold_on_both_sides() -> None:
    heads = tuple(OpId(bytes([n]) * 32) for n in range(MAX_HEADS + 1))
    assert decode_header(encode_header(header(membership_heads=heads[1:]))).membership_heads == heads[1:]
    with pytest.raises(Malformed):
        decode_header(encode_header(header(membership_heads=heads)))
    with pytest.raises(Malformed):
        decode_header(encode_header(header(membership_heads=(OpId(b"b" * 32), OpId(b"a" * 32)))))
    for count in (0, MAX_ENTRIES + 1):
        with pytest.raises(Malformed):
            decode_header(encode_header(header(count=count)))
    with pytest.raises(Malformed):
        build(header(), b"n" * 24, [(LABEL, bytes(MAX_OP_BYTES))], SEED)
    with pytest.raises(Malformed):
        split(pack([b"", bytes(64), bytes(MAX_OP_BYTES + 1)]))
    with pytest.raises(Malformed):
        decode_body(pack([b"n" * 24, [(b"", b"")] * (MAX_ENTRIES + 1)]))


def test_the_largest_batch_is_written_and_read() -> None:
    full = build(header(), b"n" * 24, [(LABEL, b"\x00" + bytes(50))] * MAX_ENTRIES, SEED)
    assert read(full.wire) == full
    assert encode_body(b"n" * 24, [(e.label, e.ciphertext or b"") for e in full.body.entries]) == full.body_bytes


def test_a_label_for_all_has_no_tags_and_tags_are_four_bytes_each() -> None:
    good = Label(kind=EntryKind.ACCESS, audience=Audience.PARTIES, public=(1, b"x"), tags=b"12345678")
    assert decode_label(encode_label(good)) == good
    for bad in (replace(good, audience=Audience.ALL), replace(good, tags=b"12345")):
        with pytest.raises(Malformed):
            decode_label(encode_label(bad))
    for value in ([5, 2, [], b""], [5, 0, [], None], [-1, 0, [], b""], [65536, 0, [], b""], [5, 0, b"", b""], [5, 0, []]):
        with pytest.raises(Malformed):
            decode_label(pack(value))


def test_the_sealing_context_names_place_and_key_but_not_the_root() -> None:
    base = sealing_context(header())
    assert sealing_context(header(entries_root=b"r" * 32, count=9)) == base
    for changed in (
        {"seq": 2}, {"prev": OpId(b"Q" * 32)}, {"key_id": NO_KEY}, {"hlc": 2}, {"kind": 5}, {"plane": 1}, {"chain": ChainId(b"c" * 40)},
        {"network": NetworkId(b"M" * 32)}, {"context": ContextId(b"D" * 32)},
    ):  # fmt: skip
        assert sealing_context(header(**changed)) != base  # type: ignore[arg-type]


def test_only_a_lone_clear_payload_is_read_as_a_membership_operation() -> None:
    alone = made(entries=1, plane=Plane.MEMBERSHIP)
    assert open_payload(alone) == b"\x00 entry 0"
    pruned = replace(alone, body=decode_body(prune(alone.body, frozenset({0}))))
    for bad in (made(entries=2, plane=Plane.MEMBERSHIP), made(entries=1), pruned):
        with pytest.raises(Malformed):
            open_payload(bad)


def test_a_version_that_is_not_ours_still_decodes() -> None:
    later = made(version=7)
    assert read(later.wire).header.version == 7
    assert unpack(later.header_bytes)[0] == 7


@given(
    kind=st.integers(0, 65535), audience=st.sampled_from(Audience), tags=st.binary(max_size=300),
    public=st.sampled_from([(), (1,), (b"x", "y")]), damage=st.integers(0, 40), flip=st.integers(0, 255),
)  # fmt: skip
@settings(deadline=None)
def test_the_short_way_to_read_a_label_reads_what_the_long_one_does(
    kind: int, audience: Audience, tags: bytes, public: tuple[Any, ...], damage: int, flip: int
) -> None:
    data = bytearray(pack([kind, audience, public, tags]))
    data[damage % len(data)] ^= flip
    try:
        read: Label | None = decode_label(bytes(data))
    except Malformed:
        read = None
    try:
        fields = unpack(bytes(data))
        kind_, audience_, public_, tags_ = fields
        fits = (
            type(kind_) is int and 0 <= kind_ <= 65535 and type(audience_) is int and audience_ in (0, 1)
            and type(public_) is tuple and len(public_) <= 256 and type(tags_) is bytes and len(tags_) % 4 == 0
            and len(tags_) <= 1024 and not (audience_ == 0 and tags_)
        )  # fmt: skip
    except (Malformed, TypeError, ValueError):
        fits = False
    assert (read is not None) == fits
    if read is not None:
        assert encode_label(read) == bytes(data)
