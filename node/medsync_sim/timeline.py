"""Virtual time: events in the order of their time, then of their making. Nothing here reads a clock."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from random import Random
from typing import Final

Event = Callable[[], None]

MAX_EVENTS: Final = 150_000  # of one run: some twenty times what one takes; beyond it nodes keep each other busy for nothing
START: Final = 1_800_000_000_000  # ms since 1970: any run begins here


def stream(seed: int | str, *names: str) -> Random:
    """A source of choices of its own for each name: what one draws changes nothing for the others.

    Seeded by text, which Python hashes with SHA-512: the same on every machine and PYTHONHASHSEED.
    """
    return Random("/".join((str(seed), *names)))


class Storm(Exception):
    """Events cause events without end."""


class Timeline:
    """The event heap. `handled` counts what took place."""

    def __init__(self, now: int = START) -> None:
        self.now = now
        self.handled = 0
        self._events: list[tuple[int, int, Event]] = []
        self._order = itertools.count()

    def at(self, time: int, event: Event) -> None:
        """Let `event` take place at `time`, or now when that is past."""
        heapq.heappush(self._events, (max(time, self.now), next(self._order), event))

    def after(self, delay: int, event: Event) -> None:
        """Let `event` take place `delay` ms from now."""
        self.at(self.now + delay, event)

    def run_until(self, end: int) -> None:
        """Let everything up to and including `end` take place."""
        events = self._events
        while events and events[0][0] <= end:
            self.now, _, event = heapq.heappop(events)
            self.handled += 1
            if self.handled > MAX_EVENTS:
                raise Storm(f"{MAX_EVENTS} events")
            event()
        self.now = max(self.now, end)
