"""Operations that can't be judged yet, with what they wait for. Taking them up again is replica.py's."""

from __future__ import annotations

from collections.abc import Hashable
from enum import Enum
from typing import Final

from medsync_protocol.ids import ChainId, OpId

MAX_PARKED: Final = 10_000  # memory when ancestors arrive late; what finds no room is asked for again by sync

Place = tuple[ChainId, int, OpId]
TIME: Final = "time"  # what operations from the future wait for


class Parked(Enum):
    """Why an operation waits."""

    GAP = "an earlier operation of its chain is missing"
    ANCESTRY = "a membership operation that it cites is missing"
    FUTURE = "its time has not come"


class ParkingLot:
    """Wire forms by what they wait for."""

    def __init__(self) -> None:
        self._held: dict[Place, tuple[bytes, Parked]] = {}
        self._waiting: dict[Hashable, list[Place]] = {}

    def __len__(self) -> int:
        return len(self._held)

    def park(self, place: Place, wire: bytes, reason: Parked, until: Hashable) -> None:
        """Keep an operation until `release(until)`; dropped where there is no room, for sync asks again."""
        if place not in self._held and len(self._held) < MAX_PARKED:
            self._held[place] = (wire, reason)
            self._waiting.setdefault(until, []).append(place)

    def waits_for(self, until: Hashable) -> bool:
        """Whether anything does."""
        return until in self._waiting

    def release(self, until: Hashable) -> list[tuple[Place, bytes]]:
        """What waited for this, oldest first; it is not held any more."""
        places = self._waiting.pop(until, [])
        return [(place, self._held.pop(place)[0]) for place in places if place in self._held]

    def reasons(self) -> list[tuple[ChainId, int, Parked]]:
        """What waits, and why: for `status`."""
        return [(chain, seq, reason) for (chain, seq, _), (_, reason) in self._held.items()]
