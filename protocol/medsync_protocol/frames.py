"""Frames between devices: one canonical array each, the kind first. What they cause is sync.py's and engine.py's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import Any, Final

from medsync_protocol.chains import Vector
from medsync_protocol.codec import pack, unpack, want_array, want_bytes, want_int, want_str
from medsync_protocol.errors import Malformed
from medsync_protocol.ids import ChainId, ContextId, DeviceId, NetworkId
from medsync_protocol.operation import MAX_OP_BYTES, PROTOCOL_VERSION

MAX_FRAME_BYTES: Final = 1 << 20  # the transport's bound; larger answers come in several frames
MAX_CHUNK_BYTES: Final = MAX_FRAME_BYTES - 1024  # of operations in one frame: room for its head
MAX_OPS: Final = 8192  # operations in one frame: single-entry ones of 128 bytes would fill it
MAX_VECTOR: Final = 65_536  # chains: devices times incarnations


class FrameKind(IntEnum):
    """The first field of a frame."""

    HELLO = 1  # lowest and highest version spoken, network, own addresses
    VECTOR = 2  # context, what is held, whether an answer is wanted
    OPS = 3  # context, operations
    ACK = 4  # context, what is committed
    BODY = 5  # context, chain, seq: a pruned operation that should be ours to read
    KEY_PULL = 6  # context, key id
    KEY_PUSH = 7  # context, key id, box
    HEARTBEAT = 8  # context, heartbeat
    HEARTBEAT_PULL = 9  # context: a home's freshest heartbeat, please
    PROPOSAL = 10  # context, candidate
    VOTE = 11  # context, k, digest, vote
    CERTIFICATE = 12  # context, certificate
    CERTIFICATE_PULL = 13  # context, k, digest
    ASK = 14  # context, request, method, payload: to another member's application
    ANSWER = 15  # context, request, payload
    NOTICE = 16  # context, operations: from a removed member (PROTOCOL §3.4)
    ADDRESSES = 17  # devices and where they listen
    ANCHOR = 18  # context, where it is opened on chain, signed by its founder
    POLICY = 19  # context, code, why: its membership policy is another one here, so it is not followed
    ANCHOR_PULL = 20  # context: where is it opened, please
    GONE = 21  # context, chain, seq: of that operation the sender destroyed entries
    LACKING = 22  # context, chain, seq: entries for all of that operation came pruned to the sender, too
    ACCOUNT_PULL = 23  # context, digest: what do you make of that candidate, please
    ACCOUNT = 24  # context, digest, verdicts, roots: what the sender makes of it
    VOTES_PULL = 25  # context, k, digest: who signed this accepted checkpoint, please; answered by VOTEs


def encode(kind: FrameKind, *fields: Any) -> bytes:
    """Bytes of a frame."""
    return pack([kind, *fields])


def decode(frame: bytes) -> tuple[int, tuple[Any, ...]]:
    """Kind and fields of a frame. Raises Malformed."""
    if len(frame) > MAX_FRAME_BYTES + 1024:
        raise Malformed("frame larger than 1 MiB")
    fields = want_array(unpack(frame))
    if not fields:
        raise Malformed("empty frame")
    return want_int(fields[0], 0, 255), fields[1:]


def vector_fields(vector: Vector) -> list[tuple[ChainId, int]]:
    """A vector in wire order."""
    return sorted(vector.items())


def want_vector(value: Any) -> Vector:
    """A vector: chains ascending, each once. Raises Malformed."""
    pairs = [want_array(item, 2) for item in want_array(value, at_most=MAX_VECTOR)]
    vector = {ChainId(want_bytes(chain, 40)): want_int(upto) for chain, upto in pairs}
    if list(vector) != sorted(vector) or len(vector) != len(pairs):
        raise Malformed("a vector names chains in ascending order, each once")
    return vector


def want_context(value: Any) -> ContextId:
    """A context id. Raises Malformed."""
    return ContextId(want_bytes(value, 32))


def ops(context: ContextId, wires: Iterable[bytes]) -> bytes:
    """A frame of operations."""
    return encode(FrameKind.OPS, context, list(wires))


def ops_frames(context: ContextId, wires: Iterable[bytes]) -> Iterator[bytes]:
    """As many OPS frames as it takes to keep each below MAX_FRAME_BYTES; none for no operations."""
    waiting: list[bytes] = []
    size = 0
    for wire in wires:
        if waiting and (size + len(wire) > MAX_CHUNK_BYTES or len(waiting) == MAX_OPS):
            yield ops(context, waiting)
            waiting, size = [], 0
        waiting.append(wire)
        size += len(wire) + 5
    if waiting:
        yield ops(context, waiting)


def want_ops(fields: tuple[Any, ...]) -> tuple[ContextId, list[bytes]]:
    """Context and operations of an OPS or NOTICE frame. Raises Malformed."""
    context, wires = want_array(fields, 2)
    listed = want_array(wires, at_most=MAX_OPS)
    return want_context(context), [want_bytes(wire, at_most=MAX_OP_BYTES + 1024) for wire in listed]


def hello(network: NetworkId, addresses: Iterable[str]) -> bytes:
    """The first frame on a link."""
    return encode(FrameKind.HELLO, PROTOCOL_VERSION, PROTOCOL_VERSION, network, list(addresses))


def want_hello(fields: tuple[Any, ...]) -> tuple[int, int, NetworkId, tuple[str, ...]]:
    """Lowest version, highest version, network, addresses. Raises Malformed."""
    low, high, network, addresses = want_array(fields, 4)
    return (want_int(low, 1, 65535), want_int(high, 1, 65535), NetworkId(want_bytes(network, 32)), want_addresses(addresses))  # fmt: skip


def want_addresses(value: Any) -> tuple[str, ...]:
    """Multiaddrs of one device, as text. Raises Malformed."""
    return tuple(want_str(address, 256) for address in want_array(value, at_most=16))


def want_directory(fields: tuple[Any, ...]) -> dict[DeviceId, tuple[str, ...]]:
    """Devices and their addresses. Raises Malformed."""
    (listed,) = want_array(fields, 1)
    pairs = [want_array(item, 2) for item in want_array(listed, at_most=4096)]
    return {DeviceId(want_bytes(device, 32)): want_addresses(addresses) for device, addresses in pairs}
