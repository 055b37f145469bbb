"""Points of one reward period from what the members reported: one for each relation that both sides name (PROTOCOL §9).

Integers only, and equal wherever the reports are. What was reported when is reward_book.py's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from medsync_protocol.ids import MemberId

Tokens = Mapping[MemberId, frozenset[bytes]]
NONE: Tokens = {}


@dataclass(frozen=True, slots=True)
class Reported:
    """What one member reported of a period: tokens by the other member."""

    given: Tokens = field(default_factory=dict)
    asked: Tokens = field(default_factory=dict)

    @property
    def size(self) -> int:
        """How many tokens."""
        return sum(map(len, self.given.values())) + sum(map(len, self.asked.values()))


def matched(reports: Mapping[MemberId, Reported]) -> dict[tuple[MemberId, MemberId], frozenset[bytes]]:
    """(custodian, requester) → tokens that both of them reported. Nobody deals with itself."""
    found: dict[tuple[MemberId, MemberId], frozenset[bytes]] = {}
    for custodian, reported in reports.items():
        for requester, given in reported.given.items():
            other = reports.get(requester)
            both = given & other.asked.get(custodian, frozenset()) if other is not None else frozenset()
            if both and requester != custodian:
                found[custodian, requester] = both
    return found


def points(
    reports: Mapping[MemberId, Reported], *, cap: int, least: int, violators: Iterable[MemberId] = ()
) -> dict[MemberId, int]:
    """What each custodian earned, those with nothing left out.

    A requester brings `cap` points at most, shared by its relations, of which at least `least` are counted; shares round
    down, so that nobody gains by coming as two. Violators lose their own after all was shared: nobody gains by that.
    """
    relations = {pair: len(tokens) for pair, tokens in matched(reports).items()}
    of_requester: dict[MemberId, int] = {}
    for (_, requester), count in relations.items():
        of_requester[requester] = of_requester.get(requester, 0) + count
    earned: dict[MemberId, int] = {}
    for (custodian, requester), count in sorted(relations.items()):
        share = cap * count // max(of_requester[requester], least)
        earned[custodian] = earned.get(custodian, 0) + share
    gone = set(violators)
    return {member: amount for member, amount in earned.items() if amount and member not in gone}
