"""Operations: a signed header over a batch of entries, each of which can be pruned to its hash (PROTOCOL §2).

Wire form: canonical array [header, signature, body]. `op_id` is the hash of the header; the header commits to
the body through `entries_root`, so an operation verifies and can be served with any of its entries pruned.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

from medsync_protocol.application import Label
from medsync_protocol.codec import pack, unpack, want_array, want_bytes, want_int
from medsync_protocol.crypto import blake2b, sign, verify
from medsync_protocol.errors import BrokenChain, Malformed
from medsync_protocol.ids import NETWORK_CONTEXT, ChainId, ContextId, KeyId, NetworkId, OpId, Seen, device_of
from medsync_protocol.kinds import Audience, OpKind, Plane

PROTOCOL_VERSION: Final = 1
MAX_OP_BYTES: Final = 256 * 1024  # one signature, one frame, one commit: bounds each of them
MAX_ENTRIES: Final = 4096  # the index of an entry fits 12 bits
MAX_HEADS: Final = 8  # more: write a merge op first
NO_OP: Final = OpId(bytes(32))
NO_KEY: Final = KeyId(bytes(32))
UNBORN: Final = b"\xff" * 32  # what a genesis writes where its own id would stand

_DOMAIN_OP: Final = b"medsync/op/1"
_TAGGED_HEAD: Final = 6  # bytes of a label before its tags: array of four, kind, audience, no public, length
_LEAF, _NODE, _ROOT = b"\x00", b"\x01", b"\x02"


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The signed part. `hlc`: milliseconds << 16 | counter. `seen`: the checkpoint the author knew as accepted."""

    network: NetworkId
    context: ContextId
    plane: int
    chain: ChainId
    seq: int
    prev: OpId
    membership_heads: tuple[OpId, ...]
    seen_k: int
    seen_root: bytes
    key_id: KeyId
    hlc: int
    kind: int
    entries_root: bytes
    count: int
    version: int = PROTOCOL_VERSION

    @property
    def seen(self) -> Seen:
        """The checkpoint that the author knew."""
        return self.seen_k, self.seen_root


@dataclass(frozen=True, slots=True)
class Entry:
    """A label and either the ciphertext or, pruned, its hash and size."""

    label: bytes
    ciphertext: bytes | None
    hash: bytes
    size: int

    @property
    def pruned(self) -> bool:
        """True when only hash and size are left."""
        return self.ciphertext is None


@dataclass(frozen=True, slots=True)
class Body:
    """The nonce (24 bytes) all entry nonces derive from, and the entries in order."""

    nonce: bytes
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """A header that verified against its signature and body, with the bytes it came in."""

    op_id: OpId
    header: Header
    body: Body
    header_bytes: bytes
    signature: bytes
    body_bytes: bytes

    @property
    def wire(self) -> bytes:
        """The operation as it is sent and served."""
        return join(self.header_bytes, self.signature, self.body_bytes)


def join(header: bytes, signature: bytes, body: bytes) -> bytes:
    """The wire form of an operation's three parts."""
    return pack([header, signature, body])


def split(wire: bytes) -> tuple[bytes, bytes, bytes]:
    """Header, signature and body bytes of a wire form. Raises Malformed."""
    if len(wire) > MAX_OP_BYTES + 1024:
        raise Malformed("operation larger than 256 KiB")
    header, signature, body = want_array(unpack(wire), 3)
    return want_bytes(header), want_bytes(signature, 64), want_bytes(body, at_most=MAX_OP_BYTES)


# -- header ---------------------------------------------------------------------------------------------------


def encode_header(h: Header) -> bytes:
    """Canonical bytes of a header; its BLAKE2b-256 is the op id."""
    return pack([
        h.version, h.network, h.context, h.plane, h.chain, h.seq, h.prev, h.membership_heads,
        [h.seen_k, h.seen_root], h.key_id, h.hlc, h.kind, h.entries_root, h.count,
    ])  # fmt: skip


def decode_header(data: bytes) -> Header:
    """The header whose canonical bytes are `data`. Raises Malformed."""
    fields = want_array(unpack(data), 14)
    version, network, context, plane, chain, seq, prev, heads, seen, key_id, hlc, kind, root, count = fields
    seen_k, seen_root = want_array(seen, 2)
    parents = tuple(OpId(want_bytes(head, 32)) for head in want_array(heads, at_most=MAX_HEADS))
    if any(a >= b for a, b in pairwise(parents)):
        raise Malformed("membership heads must ascend")
    return Header(
        version=want_int(version, 1, 65535),
        network=NetworkId(want_bytes(network, 32)),
        context=ContextId(want_bytes(context, 32)),
        plane=want_int(plane, 0, 255),
        chain=ChainId(want_bytes(chain, 40)),
        seq=want_int(seq),
        prev=OpId(want_bytes(prev, 32)),
        membership_heads=parents,
        seen_k=want_int(seen_k),
        seen_root=want_bytes(seen_root, 32),
        key_id=KeyId(want_bytes(key_id, 32)),
        hlc=want_int(hlc),
        kind=want_int(kind, 0, 65535),
        entries_root=want_bytes(root, 32),
        count=want_int(count, 1, MAX_ENTRIES),
    )


def label_of(entry: Entry) -> Label | None:
    """An entry's label; None where its author wrote none that can be read: then it means nothing, to everybody alike."""
    try:
        return decode_label(entry.label)
    except Malformed:
        return None


def op_id_of(header_bytes: bytes) -> OpId:
    """BLAKE2b-256 of the header."""
    return OpId(blake2b(header_bytes))


def sign_header(header_bytes: bytes, device_seed: bytes) -> bytes:
    """The device's signature over the op id; the header binds network and context."""
    return sign(device_seed, _DOMAIN_OP, op_id_of(header_bytes))


# -- labels ---------------------------------------------------------------------------------------------------


def encode_label(label: Label) -> bytes:
    """Canonical bytes of a label."""
    return pack([label.kind, label.audience, label.public, label.tags])


def decode_label(data: bytes) -> Label:
    """The label whose canonical bytes are `data`. Raises Malformed."""
    size = len(data) - _TAGGED_HEAD
    if (
        0 < size < 256
        and not size % 4
        and data[2:6] == b"\x01\x90\xc4%c" % size
        and data[0] == 0x94
        and data[1] < 0x80
    ):  # of an access entry: for parties, without a public part; its tags are never twice the same
        return Label(kind=data[1], audience=Audience.PARTIES, public=(), tags=data[_TAGGED_HEAD:])
    return _decode_label(data)


@lru_cache(maxsize=1024)  # a batch repeats a few labels many times
def _decode_label(data: bytes) -> Label:
    kind, audience, public, tags = want_array(unpack(data), 4)
    tag_bytes = want_bytes(tags, at_most=4 * 256)
    if (want_int(audience, 0, 1) == Audience.ALL and tag_bytes) or len(tag_bytes) % 4:
        raise Malformed("party tags don't fit the audience")
    return Label(
        kind=want_int(kind, 0, 65535), audience=Audience(audience), public=want_array(public, at_most=256),
        tags=tag_bytes,
    )  # fmt: skip


# -- entries --------------------------------------------------------------------------------------------------


def entry_hash(ciphertext: bytes) -> bytes:
    """What stays of a pruned ciphertext, with its size."""
    return hashlib.blake2b(ciphertext, digest_size=32).digest()


def entries_root(nonce: bytes, leaves: Sequence[tuple[bytes, bytes, int]]) -> bytes:
    """Merkle root over (label, ciphertext hash, size) leaves; the last node of an odd level is promoted.

    The root also commits to nonce and count, so that none of the body escapes the signature.
    """
    h = hashlib.blake2b
    level = [
        h(_LEAF + hashed + size.to_bytes(4, "big") + label, digest_size=32).digest()
        for label, hashed, size in leaves
    ]
    while len(level) > 1:
        above = [
            h(_NODE + a + b, digest_size=32).digest() for a, b in zip(level[::2], level[1::2], strict=False)
        ]
        if len(level) % 2:
            above.append(level[-1])
        level = above
    return blake2b(_ROOT, nonce, len(leaves).to_bytes(4, "big"), level[0])


def encode_body(nonce: bytes, entries: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Body bytes of full entries (label, ciphertext)."""
    return pack([nonce, entries])


def decode_body(data: bytes) -> Body:
    """The body whose canonical bytes are `data`, entries full or pruned. Raises Malformed."""
    nonce, items = want_array(unpack(data), 2)
    return Body(want_bytes(nonce, 24), tuple(map(_entry, want_array(items, at_most=MAX_ENTRIES))))


def _entry(item: Any) -> Entry:
    if type(item) is tuple and len(item) == 2:
        label, ciphertext = item
        if type(label) is bytes and type(ciphertext) is bytes:
            return Entry(
                label, ciphertext, hashlib.blake2b(ciphertext, digest_size=32).digest(), len(ciphertext)
            )
    label, hashed, size = want_array(item, 3)
    return Entry(
        want_bytes(label, at_most=MAX_OP_BYTES), None, want_bytes(hashed, 32), want_int(size, 0, MAX_OP_BYTES)
    )


def prune(body: Body, indexes: frozenset[int]) -> bytes:
    """Body bytes with the named entries reduced to hash and size; the op id stays."""
    items = [
        (entry.label, entry.hash, entry.size)
        if entry.ciphertext is None or index in indexes
        else (entry.label, entry.ciphertext)
        for index, entry in enumerate(body.entries)
    ]
    return pack([body.nonce, items])


# -- whole operations -----------------------------------------------------------------------------------------


def decode(wire: bytes, *, network: NetworkId, context: ContextId) -> Operation:
    """The operation in `wire`, its body checked against its header, its signature not yet.

    Raises Malformed for encodings and roots, BrokenChain when it names another network or context.
    """
    header_bytes, signature, body_bytes = split(wire)
    header = decode_header(header_bytes)
    if (header.network, header.context) != (network, context):
        genesis = op_id_of(header_bytes)
        if header.kind != OpKind.GENESIS or born(header, genesis) != (network, context):
            raise BrokenChain("the operation belongs to another network or context")
    if (header.seq == 0 and header.prev != NO_OP) or (header.seq and header.prev == NO_OP):
        raise BrokenChain("`prev` is empty exactly at seq 0")
    body = decode_body(body_bytes)
    check_body(header, body)
    if header.plane != Plane.DATA and any(entry.pruned for entry in body.entries):
        raise Malformed("a membership or keys operation is never pruned")
    return Operation(op_id_of(header_bytes), header, body, header_bytes, signature, body_bytes)


def born(header: Header, op_id: OpId) -> tuple[NetworkId, ContextId]:
    """The network and context that a genesis founds: each is named by the genesis that could not yet name itself."""
    if header.context == NETWORK_CONTEXT:
        return NetworkId(op_id), NETWORK_CONTEXT
    return header.network, ContextId(op_id)


def check_body(header: Header, body: Body) -> None:
    """Raises Malformed unless the header commits to this body."""
    entries = body.entries
    if len(entries) != header.count:
        raise Malformed(f"header says {header.count} entries, body has {len(entries)}")
    if entries_root(body.nonce, [(e.label, e.hash, e.size) for e in entries]) != header.entries_root:
        raise Malformed("entries do not match the header's root")


def check_signature(operation: Operation) -> None:
    """Raises BadSignature unless the chain's device signed the header."""
    verify(device_of(operation.header.chain), _DOMAIN_OP, operation.op_id, operation.signature)


def build(
    header: Header, nonce: bytes, entries: Sequence[tuple[bytes, bytes]], device_seed: bytes
) -> Operation:
    """Sign a new operation over full entries (label, ciphertext); `header`'s root and count are filled in here."""
    made = tuple(Entry(label, text, entry_hash(text), len(text)) for label, text in entries)
    root = entries_root(nonce, [(e.label, e.hash, e.size) for e in made])
    complete = with_entries(header, root, len(made))
    header_bytes = encode_header(complete)
    body_bytes = encode_body(nonce, entries)
    if len(body_bytes) > MAX_OP_BYTES:
        raise Malformed(f"a batch of {len(body_bytes)} bytes exceeds {MAX_OP_BYTES}: send fewer entries")
    signature = sign_header(header_bytes, device_seed)
    return Operation(op_id_of(header_bytes), complete, Body(nonce, made), header_bytes, signature, body_bytes)


def filled(held: Operation, offered: Body) -> Operation:
    """`held` with every ciphertext that `offered` has. Raises Malformed when it is another operation's body."""
    check_body(held.header, offered)
    pairs = zip(held.body.entries, offered.entries, strict=True)
    entries = tuple(b if a.pruned and not b.pruned else a for a, b in pairs)
    body = Body(held.body.nonce, entries)
    return replace(held, body=body, body_bytes=prune(body, frozenset()))


def with_entries(h: Header, root: bytes, count: int) -> Header:
    """The header committing to a body of `count` entries under `root`."""
    return replace(h, entries_root=root, count=count)


def sealing_context(h: Header) -> bytes:
    """What binds each ciphertext to its place: the header without its root (the root depends on the ciphertexts)."""
    return blake2b(
        pack([h.version, h.network, h.context, h.plane, h.chain, h.seq, h.prev, h.key_id, h.hlc, h.kind])
    )


def open_payload(operation: Operation) -> bytes:
    """The single clear payload of a membership or keys operation: these planes travel on gated streams only.

    Raises Malformed when it is pruned or not alone.
    """
    if operation.header.plane == Plane.DATA or len(operation.body.entries) != 1:
        raise Malformed("not a membership or keys operation")
    payload = operation.body.entries[0].ciphertext
    if payload is None:
        raise Malformed("a membership or keys operation is never pruned")
    return payload
