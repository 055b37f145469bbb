"""Operations that can't be judged yet, with what they wait for. Taking them up again is replica.py's."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from enum import Enum
from typing import Final

from medsync_protocol.ids import ChainId, OpId
from medsync_protocol.membership import MembershipFold
from medsync_protocol.operation import PROTOCOL_VERSION, Header

MAX_PARKED: Final = 10_000  # operations whose ancestors are late; what finds no room is asked for again by sync
MAX_PARKED_BYTES: Final = 64 << 20  # memory that a member who sends nothing but gaps can take

MAX_AHEAD_MS: Final = 2 * 60_000  # an operation further in the future than this waits until due

Place = tuple[ChainId, int, OpId]
TIME: Final = "time"  # what operations from the future wait for
UPDATE: Final = "update"  # what operations of a later protocol version wait for: a program that knows it


class Parked(Enum):
    """Why an operation waits."""

    GAP = "an earlier operation of its chain is missing"
    ANCESTRY = "a membership operation that it cites is missing"
    FUTURE = "its time has not come"
    VERSION = "it is of a later protocol version: update this node"


def obstacle(
    header: Header, now: int, following: int, known: MembershipFold
) -> tuple[Parked, Hashable] | None:
    """Why an operation can't be judged at `now`, and what must come first; None when it can.

    `following` is its chain's next seq here, `known` holds the membership operations.
    """
    if header.version > PROTOCOL_VERSION:
        return Parked.VERSION, UPDATE
    if header.seq > following:
        return Parked.GAP, (header.chain, header.seq - 1)
    for head in header.membership_heads:
        if head not in known:
            return Parked.ANCESTRY, head
    if (header.hlc >> 16) > now + MAX_AHEAD_MS:
        return Parked.FUTURE, TIME
    return None


class ParkingLot:
    """Wire forms by what they wait for."""

    def __init__(self) -> None:
        self._held: dict[Place, tuple[bytes, Parked]] = {}
        self._waiting: dict[Hashable, list[Place]] = {}
        self._size = 0

    def __len__(self) -> int:
        return len(self._held)

    def park(self, place: Place, wire: bytes, reason: Parked, until: Hashable) -> None:
        """Keep an operation until `release(until)`; dropped where there is no room, for sync asks again."""
        room = len(self._held) < MAX_PARKED and self._size + len(wire) <= MAX_PARKED_BYTES
        if place not in self._held and room:
            self._held[place] = (wire, reason)
            self._size += len(wire)
            self._waiting.setdefault(until, []).append(place)

    def waits_for(self, until: Hashable) -> bool:
        """Whether anything does."""
        return until in self._waiting

    def release(self, until: Hashable) -> list[tuple[Place, bytes]]:
        """What waited for this, oldest first; it is not held any more."""
        places = self._waiting.pop(until, [])
        released = [(place, self._held.pop(place)[0]) for place in places if place in self._held]
        self._size -= sum(len(wire) for _, wire in released)
        return released

    def places(self) -> Iterator[Place]:
        """Where what waits belongs."""
        return iter(self._held)

    def reasons(self) -> list[tuple[ChainId, int, Parked]]:
        """What waits, and why: for `status`."""
        return [(chain, seq, reason) for (chain, seq, _), (_, reason) in self._held.items()]
