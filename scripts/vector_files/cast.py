"""Who and what the vectors are about: named members with fixed keys, and entropy that counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from medsync_protocol import (
    actions,
    crypto,
)  # fmt: skip
from medsync_protocol.identity import Identity
from medsync_protocol.ids import (
    ChainId,
    ContextId,
    NetworkId,
)  # fmt: skip

NETWORK, CONTEXT = NetworkId(b"\x11" * 32), ContextId(b"\x22" * 32)
MADE: dict[str, Callable[[], Any]] = {}


def vector(make: Callable[[], Any]) -> Callable[[], Any]:
    """Register the maker of the file that bears its name."""
    MADE[make.__name__] = make
    return make


class Counter:
    """Entropy for vectors: BLAKE2b of a label and a running number, never twice the same."""

    def __init__(self) -> None:
        self.drawn = 0

    def __call__(self, label: str, size: int) -> bytes:
        """The next draw."""
        self.drawn += 1
        return crypto.blake2b(b"vectors", label.encode(), self.drawn.to_bytes(4, "big"), size=size)


def seeded(name: str) -> bytes:
    """32 bytes that stand for a name."""
    return crypto.blake2b(b"vectors", name.encode())


def person(name: str) -> Identity:
    """A member by name."""
    return Identity(member_seed=seeded(f"{name} member"), device_seed=seeded(f"{name} device"), name=name)


def card(who: Identity) -> actions.MemberCard:
    """What the member shows to be admitted."""
    return actions.MemberCard(
        member=who.member, device=who.device, certificate=who.certificate(), sealing_key=who.sealing_public, name=who.name
    )  # fmt: skip


def chain(who: Identity) -> ChainId:
    """The member's only chain."""
    return ChainId(who.device + bytes(7) + b"\x01")


ANN, BEA, CAY = person("Ann Hospital"), person("Bea Lab"), person("Cay Reader")


def hexes(values: Any) -> list[str]:
    """Numbers as hex."""
    return [hex(value) for value in values]
