"""Planted bugs of rewards: what earns, what is counted twice, what is paid again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from medsync_protocol import reward_book, reward_points
from medsync_protocol.reward_book import RewardBook, joined
from medsync_protocol.reward_labels import Report, relation_token
from medsync_protocol.reward_points import Reported, points
from medsync_protocol.reward_relations import Relation, RelationFinder
from medsync_sim.bugs.planting import Patch, PlantedBug


def _recomputed() -> list[Patch]:
    listening = RewardBook._listening

    def again(self: RewardBook, read: list[tuple[Any, Any]]) -> RewardBook:
        book = listening(self, read)
        closed = book.closed
        if closed is None or book.terms is None:
            return book
        reports = dict(closed.reports)
        for author, one in read:
            if isinstance(one, Report) and one.period == closed.period:
                reports[author] = joined(reports.get(author, Reported()), one)
        if reports == closed.reports:
            return book
        made = points(reports, cap=book.terms.cap, least=book.terms.least, violators=closed.violators)
        return replace(book, closed=replace(closed, reports=reports, points=made))

    return [(RewardBook, "_listening", again)]


def _repeats() -> list[Patch]:
    def each(self: RelationFinder, holds: Any) -> list[Relation]:
        found = []
        for named, entry in sorted(self._found.receipts.items()):
            half = self._matched(named, entry)
            if half is None:
                continue
            for purpose in half.purposes:
                token = relation_token(named, purpose, self._period)
                found.append(Relation(
                    subject=half.subject, requester=half.requester, custodian=half.custodian, purpose=purpose,
                    receipt=named, token=token,
                ))  # fmt: skip
        return found

    return [(RelationFinder, "relations", each)]


def _liar() -> list[Patch]:
    return [(reward_book, "proven", lambda *shown: None)]


def _one_side() -> list[Patch]:
    def given(reports: Any) -> Any:
        return {(who, other): tokens for who, one in reports.items() for other, tokens in one.given.items() if other != who}

    return [(reward_points, "matched", given)]


def _last_report() -> list[Patch]:
    def last(held: Reported, more: Report) -> Reported:
        return Reported(dict(more.given), dict(more.asked))

    return [(reward_book, "joined", last)]


def _violators_too() -> list[Patch]:
    def generous(reports: Any, *, cap: int, least: int, violators: Iterable[Any] = ()) -> Any:
        return points(reports, cap=cap, least=least)

    return [(reward_book, "points", generous)]


PLANTED: Final = (
    PlantedBug(name="points-recomputed", about="What is reported of a period that was paid is counted, too.", scenario="rewards", patches=_recomputed),
    PlantedBug(name="repeats-earn", about="Each access earns, not each relation.", scenario="rewards", patches=_repeats),
    PlantedBug(name="proof-ignored", about="A false report that is shown proves nothing.", scenario="rewards", patches=_liar),
    PlantedBug(name="one-side-suffices", about="What a custodian reports counts, whatever the requester says.", scenario="rewards", patches=_one_side),
    PlantedBug(name="last-report-counts", about="A later report of a member takes the place of its earlier one.", scenario="rewards", patches=_last_report),
    PlantedBug(name="violators-earn", about="Whoever was proven to lie is paid all the same.", scenario="rewards", patches=_violators_too),
)  # fmt: skip
