"""What is wrong between the nodes of a cluster, as values: who is apart from whom, whose links are slow. doors.py does it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from medsync_protocol.errors import OperatorError

MAX_DELAY_MS: Final = 60_000  # one way: beyond it a link is down, not slow
RETRANSMISSION_MS: Final = 200  # Linux' shortest time-out: what a lost segment costs at least


@dataclass(frozen=True, slots=True)
class Slow:
    """One way of a link: delayed by `ms`; `percent` of what is sent gets lost and is sent again, as TCP does."""

    ms: int
    percent: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """`sides` empty: everybody reaches everybody. `slow` by node: every link of it, in both directions."""

    sides: tuple[frozenset[str], ...] = ()
    slow: Mapping[str, Slow] = field(default_factory=dict)

    def apart(self, one: str, other: str) -> bool:
        """Whether nothing passes between two nodes. A name that is in no side reaches all."""
        homes = [side for side in self.sides if one in side or other in side]
        return len(homes) == 2

    def between(self, one: str, other: str) -> Slow:
        """How slow one way between two nodes is: the delays of both add up."""
        found = [self.slow[name] for name in (one, other) if name in self.slow]
        return Slow(sum(each.ms for each in found), min(100.0, sum(each.percent for each in found)))

    def fields(self) -> dict[str, Any]:
        """For a JSON message."""
        return {
            "sides": [sorted(side) for side in self.sides],
            "slow": {name: [one.ms, one.percent] for name, one in self.slow.items()},
        }

    @staticmethod
    def of(fields: Mapping[str, Any]) -> Faults:
        """Back from `fields`."""
        return Faults(
            sides=tuple(frozenset(side) for side in fields["sides"]),
            slow={name: Slow(int(ms), float(percent)) for name, (ms, percent) in fields["slow"].items()},
        )


def read_sides(words: Sequence[str], nodes: Sequence[str]) -> tuple[frozenset[str], ...]:
    """Sides written as `north,south / east`. Raises OperatorError unless every node is on exactly one of two or more."""
    sides = [[name.strip() for name in part.split(",") if name.strip()] for part in " ".join(words).split("/")]
    named = [name for side in sides for name in side]
    unknown = sorted(set(named) - set(nodes))
    if unknown:
        raise OperatorError(f"there is no node {unknown[0]}", advice=f"there are {', '.join(nodes)}")
    missing = [name for name in nodes if name not in named]
    if missing or len(named) != len(set(named)) or len(sides) < 2 or not all(sides):
        what = f"{missing[0]} is on no side" if missing else "a node is on two sides, or a side is empty"
        raise OperatorError(what, advice=f"write every node once, such as `{nodes[0]} / {','.join(nodes[1:])}`")
    return tuple(map(frozenset, sides))


def read_slow(delay: str, loss: str = "0%") -> Slow:
    """`200ms` or `1.5s`, and `5%`. Raises OperatorError."""
    time, share = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s)", delay), re.fullmatch(r"(\d+(?:\.\d+)?)%", loss)
    if time is None or share is None:
        raise OperatorError("this is no delay and loss", advice="write 200ms or 1.5s, and 5%")
    ms, percent = round(float(time[1]) * (1000 if time[2] == "s" else 1)), float(share[1])
    if ms > MAX_DELAY_MS or percent >= 100:
        raise OperatorError("that is no slow link but none", advice="use `medsync cluster partition` to cut links")
    return Slow(ms, percent)
