"""Links between virtual devices as a transport gives them: in order, whole, or broken. And hints, which may be lost.

What the conditions add beyond that contract (repeated and overtaken frames) a node must bear too (S1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Final

from medsync_protocol.ids import DeviceId
from medsync_sim.timeline import Timeline, stream

KEEP_ALIVE_MS: Final = 2_000  # a link on which something was lost breaks after this long
Arrival = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class Conditions:
    """Of every link. `latency` ms (least, most); the rest are chances per frame; `bandwidth` bytes a second, 0 no limit."""

    latency: tuple[int, int] = (1, 40)
    loss: float = 0.0  # of a frame, and with it of the link
    duplication: float = 0.0
    reorder: float = 0.0
    bandwidth: int = 0


CALM: Final = Conditions()
HEAVY: Final = Conditions(
    latency=(1, 250), loss=0.004, duplication=0.03, reorder=0.02, bandwidth=2_000_000
)


@dataclass(slots=True)
class Link:
    """One link. `deaf`: ends that receive nothing more."""

    ends: tuple[DeviceId, DeviceId]
    due: dict[DeviceId, int] = field(default_factory=dict)
    deaf: set[DeviceId] = field(default_factory=set)


class Network:
    """Links, cuts (one direction each) and what is under way. `broken` is told of every link that ends."""

    def __init__(self, timeline: Timeline, seed: int | str, conditions: Conditions) -> None:
        self.conditions = conditions
        self.cuts: set[tuple[DeviceId, DeviceId]] = set()
        self.links: dict[frozenset[DeviceId], Link] = {}
        self.broken: Callable[[DeviceId, DeviceId], None] = lambda one, other: None
        self._timeline, self._seed = timeline, seed
        self._rngs: dict[tuple[DeviceId, DeviceId], Random] = {}
        self.frames = 0
        self.bytes = 0

    def reaches(self, one: DeviceId, other: DeviceId) -> bool:
        """Whether anything gets from one to the other."""
        return (one, other) not in self.cuts

    def linked(self, one: DeviceId, other: DeviceId) -> bool:
        """Whether they have a link."""
        return frozenset((one, other)) in self.links

    def connect(self, one: DeviceId, other: DeviceId) -> bool:
        """A new link, where both directions are open and there is none."""
        pair = frozenset((one, other))
        if pair in self.links or not (self.reaches(one, other) and self.reaches(other, one)):
            return False
        self.links[pair] = Link((one, other))
        return True

    def drop(self, one: DeviceId, other: DeviceId) -> None:
        """End a link; both sides learn of it."""
        link = self.links.pop(frozenset((one, other)), None)
        if link is not None:
            self.broken(*link.ends)

    def drop_all(self, device: DeviceId) -> None:
        """End every link of a device."""
        for pair in [pair for pair in self.links if device in pair]:
            self.drop(*self.links[pair].ends)

    def cut(self, sources: Iterable[DeviceId], targets: Iterable[DeviceId]) -> None:
        """Nothing gets from these sources to these targets any more."""
        goals = list(targets)
        self.cuts |= {(a, b) for a in sources for b in goals if a != b}

    def heal(self) -> None:
        """Every direction is open again."""
        self.cuts.clear()

    def _rng(self, one: DeviceId, other: DeviceId) -> Random:
        pair = (one, other)
        rng = self._rngs.get(pair)
        if rng is None:
            rng = self._rngs[pair] = stream(self._seed, "link", one.hex(), other.hex())
        return rng

    def send(self, sender: DeviceId, peer: DeviceId, frame: bytes, arrive: Arrival) -> None:
        """On the link, if there is one: `arrive(frame)` later, perhaps twice, perhaps never."""
        link = self.links.get(frozenset((sender, peer)))
        if link is None or peer in link.deaf:
            return
        rng, conditions = self._rng(sender, peer), self.conditions
        self.frames += 1
        self.bytes += len(frame)
        if not self.reaches(sender, peer) or (conditions.loss and rng.random() < conditions.loss):
            link.deaf.add(peer)
            self._timeline.after(KEEP_ALIVE_MS, lambda: self._time_out(link))
            return
        delay = rng.randint(*conditions.latency)
        if conditions.bandwidth:
            delay += len(frame) * 1000 // conditions.bandwidth
        due = max(self._timeline.now + delay, link.due.get(peer, 0))
        if not conditions.reorder or rng.random() >= conditions.reorder:
            link.due[peer] = due
        else:
            due += rng.randint(0, 2 * conditions.latency[1])
        self._deliver(link, peer, frame, due, arrive)
        if conditions.duplication and rng.random() < conditions.duplication:
            self._deliver(link, peer, frame, due + rng.randint(0, conditions.latency[1]), arrive)

    def _deliver(self, link: Link, peer: DeviceId, frame: bytes, due: int, arrive: Arrival) -> None:
        pair = frozenset(link.ends)

        def event() -> None:
            if self.links.get(pair) is link and peer not in link.deaf:
                arrive(frame)

        self._timeline.at(due, event)

    def _time_out(self, link: Link) -> None:
        if self.links.get(frozenset(link.ends)) is link:
            self.drop(*link.ends)

    def hint(self, sender: DeviceId, peer: DeviceId, frame: bytes, arrive: Arrival) -> None:
        """Without a link: a gossip hint or a knock, lost where the direction is cut."""
        rng = self._rng(sender, peer)
        if self.reaches(sender, peer) and rng.random() >= self.conditions.loss:
            self._timeline.after(rng.randint(*self.conditions.latency), lambda: arrive(frame))
