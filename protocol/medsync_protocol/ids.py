"""Identifiers as types, so that one can't stand where another belongs. All are raw bytes; hex only when printed."""

from __future__ import annotations

from typing import Final, NewType

NetworkId = NewType("NetworkId", bytes)
"""32 bytes: BLAKE2b-256 of the network's genesis header."""

ContextId = NewType("ContextId", bytes)
"""32 bytes: BLAKE2b-256 of the context's genesis header; for the network itself, `NETWORK_CONTEXT`."""

MemberId = NewType("MemberId", bytes)
"""32 bytes: the member's Ed25519 public key."""

DeviceId = NewType("DeviceId", bytes)
"""32 bytes: the device's Ed25519 public key; the libp2p PeerId derives from it."""

ChainId = NewType("ChainId", bytes)
"""40 bytes: device key (32) and random incarnation (8)."""

Place = tuple[ChainId, int]
"""Where an operation stands: its chain and its seq. Of a forked chain, two may stand at one place."""

OpId = NewType("OpId", bytes)
"""32 bytes: BLAKE2b-256 of the operation's header."""

KeyId = NewType("KeyId", bytes)
"""32 bytes: BLAKE2b-256 of an epoch key."""

SubjectRef = NewType("SubjectRef", bytes)
"""16 random bytes: a patient's pseudonym in one context."""

DirectiveId = NewType("DirectiveId", bytes)
"""32 bytes: BLAKE2b-256 of the directive's salted document."""

Instant = NewType("Instant", int)
"""Milliseconds since 1970-01-01T00:00Z."""

Seen = tuple[int, bytes]
"""The newest accepted checkpoint that an operation's author knew: (k, digest of 32 bytes)."""
NOTHING_SEEN: Final[Seen] = (0, bytes(32))

NETWORK_CONTEXT = ContextId(bytes(32))
"""The network is the context with id 0 of its consortium (DESIGN §2)."""


def device_of(chain: ChainId) -> DeviceId:
    """The device whose key signs this chain."""
    return DeviceId(chain[:32])


def short(identifier: bytes) -> str:
    """Eight hex digits for people; never used as a key."""
    return identifier[:4].hex()
