"""What one context holds of broken glass and of its reviews: which entries count, and what is left to do (PROTOCOL §7).

A function of the set of (entry, verdict), in any order, with repeats. Who may review is the caller's to say: members and
records change.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from medsync_protocol.application import OpenedEntry
from medsync_protocol.authority import AUTHOR_WAS_MEMBER
from medsync_protocol.errors import Malformed
from medsync_protocol.glass import (
    BrokenGlass,
    GlassId,
    GlassReview,
    GlassSettings,
    Outcome,
    decode_broken,
    decode_review,
    glass_id,
)
from medsync_protocol.glass_right import RightBook
from medsync_protocol.ids import ChainId, ContextId, Instant, MemberId, NetworkId, OpId, Place, SubjectRef
from medsync_protocol.kinds import EntryKind, Verdict



class State(Enum):
    """How far the review of a broken glass is."""

    OPEN = "open"
    FOLLOW_UP = "follow-up"
    JUSTIFIED = "justified"
    NOT_JUSTIFIED = "not-justified"

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return self in (State.JUSTIFIED, State.NOT_JUSTIFIED)


GRAVEST_FIRST: Final = (
    (Outcome.NOT_JUSTIFIED, State.NOT_JUSTIFIED), (Outcome.FOLLOW_UP, State.FOLLOW_UP), (Outcome.JUSTIFIED, State.JUSTIFIED),
)  # fmt: skip
"""Of several reviewers the gravest outcome stands, until its reviewer says otherwise."""


@dataclass(frozen=True, slots=True)
class Carried:
    """The entry that carries a broken glass or a review."""

    op_id: OpId
    index: int
    author: MemberId
    chain: ChainId
    seq: int
    hlc: int
    verdict: Verdict

    @property
    def order(self) -> tuple[int, OpId, int]:
        """Orders what one member said, by its own clock."""
        return self.hlc, self.op_id, self.index


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A review that counts, and where it stands."""

    review: GlassReview
    by: MemberId
    op_id: OpId


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A broken glass with the newest review of each member that said something of it, by member.

    `effective` False: what carries it is void, so that nothing is released on it; it is reviewed all the same, for the glass
    was broken by somebody who was a member. `written`: ms UTC by the clock of the operation, which can't lie ahead.
    """

    id: GlassId
    broken: BrokenGlass
    op_id: OpId
    effective: bool
    written: Instant
    reviews: tuple[Reviewed, ...]

    def by(self, reviewers: frozenset[MemberId]) -> tuple[Reviewed, ...]:
        """The reviews that count: those of `reviewers`, who broke it never being one."""
        return tuple(one for one in self.reviews if one.by in reviewers - {self.broken.request.requester})

    def state(self, reviewers: frozenset[MemberId]) -> State:
        """How far its review is, as these members say."""
        found = {one.review.outcome for one in self.by(reviewers)}
        return next((state for outcome, state in GRAVEST_FIRST if outcome in found), State.OPEN)

    def due(self, settings: GlassSettings) -> Instant:
        """Until when it is to be reviewed."""
        return Instant(min(self.broken.request.time, self.written) + settings.review)

    def overdue(self, reviewers: frozenset[MemberId], settings: GlassSettings, now: Instant) -> bool:
        """Whether somebody should have come to an end with it before `now`."""
        return not self.state(reviewers).done and now >= self.due(settings)

    def lasts(self, now: Instant, settings: GlassSettings, skew: int) -> bool:
        """Whether it holds at `now`: from when it was broken, by clocks that differ by `skew` at most, until its end."""
        begun = self.broken.request.time
        return self.effective and begun - skew <= now < self.broken.until and self.broken.until - begun <= settings.limit


class GlassBook:
    """See the module. What nobody could have meant (another author, another place) is passed over."""

    def __init__(self, network: NetworkId, context: ContextId) -> None:
        self._network, self._context = network, context
        self.rights = RightBook()
        self._broken: dict[SubjectRef, dict[GlassId, tuple[BrokenGlass, dict[tuple[OpId, int], Carried]]]] = {}
        self._reviews: dict[SubjectRef, dict[tuple[OpId, int], tuple[GlassReview, Carried]]] = {}

    def take(self, entry: OpenedEntry, verdict: Verdict) -> None:
        """Take an entry under its verdict; the last verdict counts. Raises Malformed."""
        if entry.kind == EntryKind.GLASS_RIGHT:
            self.rights.take(entry, verdict)
            return
        carried = Carried(entry.op_id, entry.index, entry.author, entry.chain, entry.seq, entry.hlc, verdict)
        if entry.kind == EntryKind.REVIEW:
            review = decode_review(entry.payload)
            self._require(review.subject == entry.subject)
            self._reviews.setdefault(review.subject, {})[entry.op_id, entry.index] = review, carried
            return
        broken, named = decode_broken(entry.payload), glass_id(entry.payload)
        request = broken.request
        self._require(request.subject == entry.subject and request.requester == entry.author)
        self._require((request.network, request.context) == (self._network, self._context))
        held = self._broken.setdefault(request.subject, {}).setdefault(named, (broken, {}))
        held[1][entry.op_id, entry.index] = carried

    @staticmethod
    def _require(meant: bool) -> None:
        if not meant:
            raise Malformed("an entry about glass of another subject, context or member")

    def subjects(self) -> list[SubjectRef]:
        """Those for whose data glass was broken, ascending."""
        return sorted(self._broken)

    def cases(self, subject: SubjectRef) -> list[Case]:
        """Those that are to be answered for, newest first."""
        found = [self._case(subject, named) for named in self._broken.get(subject, ())]
        return sorted((one for one in found if one is not None), key=lambda one: (-one.broken.request.time, one.id))

    def find(self, named: GlassId) -> Case | None:
        """The one with this id, if it is to be answered for."""
        return next((self._case(subject, named) for subject, held in self._broken.items() if named in held), None)

    def _case(self, subject: SubjectRef, named: GlassId) -> Case | None:
        broken, carriers = self._broken[subject][named]
        effective = [one for one in carriers.values() if one.verdict.effective]
        counting = effective or [one for one in carriers.values() if one.verdict in AUTHOR_WAS_MEMBER]
        if not counting:
            return None
        first = min(counting, key=lambda one: one.order)
        newest: dict[MemberId, tuple[Carried, GlassReview]] = {}
        for review, carried in self._reviews.get(subject, {}).values():
            if review.glass == named and carried.verdict.effective:
                before = newest.get(carried.author)
                if before is None or before[0].order < carried.order:
                    newest[carried.author] = carried, review
        return Case(
            id=named, broken=broken, op_id=first.op_id, effective=bool(effective), written=Instant(first.hlc >> 16),
            reviews=tuple(Reviewed(review, member, carried.op_id) for member, (carried, review) in sorted(newest.items())),
        )  # fmt: skip

    def close(self, subject: SubjectRef) -> Iterable[tuple[Place, int]]:
        """Forget a subject; where the entries about it stood."""
        broken = self._broken.pop(subject, {}).values()
        carried = [one for _, carriers in broken for one in carriers.values()]
        carried += [one for _, one in self._reviews.pop(subject, {}).values()]
        return [((one.chain, one.seq), one.index) for one in carried]
