"""Reports of reward periods: reads the log that a settled checkpoint fixed, and tells what this member found (PROTOCOL §9).

What is a relation, and what becomes of reports, is medsync_protocol's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import structlog
import trio

from medsync_protocol.acceptance import Acceptance
from medsync_protocol.application import Draft
from medsync_protocol.consent import MedSyncApplication
from medsync_protocol.effects import Effect
from medsync_protocol.errors import MedSyncError
from medsync_protocol.ids import ContextId, MemberId
from medsync_protocol.kinds import EntryKind, Role
from medsync_protocol.replica import Replica
from medsync_protocol.reward_book import Closed, RewardBook, joined
from medsync_protocol.reward_labels import DAY_MS, FalseReport, Report, Rows, proof_draft, read_reward_label, report_drafts
from medsync_protocol.reward_points import Reported
from medsync_protocol.reward_relations import Relation, RelationFinder, report_of, stands

if TYPE_CHECKING:
    from medsync_node.node import Node

log = structlog.get_logger()

PAGE: Final = 512  # entries read at once: others have their turn between
LOOK_SECONDS: Final = 60.0  # between looks, where nothing happens that makes us look at once
AGAIN_SECONDS: Final = 60.0  # after a report that could not be written: no key, a full disk
_KINDS: Final = (EntryKind.ACCESS, EntryKind.RECEIPT)


def book_of(acceptance: Acceptance, period: int) -> RewardBook | None:
    """Rewards as they stood when the period's log was complete; None before that."""
    complete = (book for _, book in acceptance.reward_books if book.period == period and book.ended)
    return next(complete, None)


async def log_of(node: Node, context: ContextId, period: int) -> RelationFinder | None:
    """What this node can open of the period's log, or of what there is of it before that is complete; None without terms."""
    replica, acceptance = node.engine.replica(context), node.engine.checkpoints(context).acceptance
    terms, complete = acceptance.rewards.terms, book_of(acceptance, period)
    if terms is None:
        return None
    cut = replica.vector if complete is None else acceptance.history[complete.ended].cut.vector
    finder = RelationFinder(period, terms)
    before: int | None = None
    early = (period * terms.length - DAY_MS) << 16
    while page := await node.log(context, _KINDS, None, before, PAGE):
        for _, entry, verdict in page:
            if verdict.effective and entry.seq < cut.get(entry.chain, 0):
                finder.take(entry)
        before = page[-1][0]
        if any(entry.chain == replica.chain and entry.hlc < early for _, entry, _ in page):
            break  # what was committed here before our own entries of then is older than the period
        await trio.lowlevel.checkpoint()
    return finder


async def relations_of(node: Node, context: ContextId, period: int) -> list[Relation]:
    """The period's relations in what this node can open of its log."""
    finder = await log_of(node, context, period)
    return [] if finder is None else _relations(node, context, finder)


def _relations(node: Node, context: ContextId, finder: RelationFinder) -> list[Relation]:
    desk = node.engine.desk(context)
    return finder.relations(lambda entry: stands(desk, entry))


def reports_in_labels(replica: Replica, author: MemberId, period: int) -> Iterator[Report]:
    """What a member wrote about a period, accepted or not."""
    for (chain, seq), labels in replica.labels.items():
        for _, label in labels:
            read = read_reward_label(label) if label.kind == EntryKind.REWARD_ROOT else None
            if isinstance(read, Report) and read.period == period:
                slot = replica.chains.slot(chain, seq)
                if replica.judge.author(chain, slot.heads, slot.seen) == author:
                    yield read


def reports_of(replica: Replica, acceptance: Acceptance, closed: Closed) -> Mapping[MemberId, Reported]:
    """What a closed period was paid by: as the book has it, or from labels once that keeps it no longer."""
    complete = book_of(acceptance, closed.period)
    if closed.reports or complete is None:
        return closed.reports
    low, high = (acceptance.history[k].cut.vector for k in (complete.ended, closed.k))
    found: dict[MemberId, Reported] = {}
    for chain, seq, slot in replica.chains.between(low, high):
        for _, label in replica.labels.get((chain, seq), ()) if slot.verdict.effective else ():
            read = read_reward_label(label)
            if isinstance(read, Report) and read.period == closed.period:
                author = replica.judge.author(chain, slot.heads, slot.seen)
                found[author] = joined(found.get(author, Reported()), read)
    return found


def _without(report: Report, written: Sequence[Report]) -> Report:
    """What of a report is in none of these."""
    given = {(member, token) for one in written for member, tokens in one.given for token in tokens}
    asked = {(member, token) for one in written for member, tokens in one.asked for token in tokens}
    return Report(period=report.period, given=_left(report.given, given), asked=_left(report.asked, asked))


def _left(rows: Rows, written: set[tuple[MemberId, bytes]]) -> Rows:
    left = ((member, frozenset(t for t in tokens if (member, t) not in written)) for member, tokens in rows)
    return tuple((member, tokens) for member, tokens in left if tokens)


class Reporter:
    """Writes this member's reports of every context, each once; and shows what others must not have reported."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._done: set[tuple[ContextId, int]] = set()
        self._worthless: dict[ContextId, dict[bytes, FalseReport]] = {}
        self._looked: dict[ContextId, RewardBook] = {}

    async def run(self) -> None:
        """For ever."""
        while True:
            await self._node.wait_for(lambda: bool(self._due()), LOOK_SECONDS)
            for context in self._due():
                try:
                    await self._look(context)
                except MedSyncError as error:
                    log.warning("a reward period could not be reported yet", why=str(error))
                    await trio.sleep(AGAIN_SECONDS)

    def _due(self) -> list[ContextId]:
        return [context for context in self._node.engine.replicas if self._wants(context)]

    def _wants(self, context: ContextId) -> bool:
        engine = self._node.engine
        replica, acceptance = engine.replicas[context], engine.checkpoints(context).acceptance
        writes = replica.role is not None and replica.role >= Role.MEMBER
        if not writes or not isinstance(replica.application, MedSyncApplication):
            return False
        return self._to_report(context, acceptance) is not None or (
            context in self._worthless and acceptance.rewards is not self._looked.get(context)
        )

    def _to_report(self, context: ContextId, acceptance: Acceptance) -> int | None:
        book = acceptance.rewards
        complete = 0 < book.ended <= acceptance.settled and (context, book.period) not in self._done
        return book.period if complete else None

    async def _look(self, context: ContextId) -> None:
        acceptance = self._node.engine.checkpoints(context).acceptance
        period = self._to_report(context, acceptance)
        if period is not None:
            await self._report(context, period)
        book = acceptance.rewards
        worthless = self._worthless.get(context, {})
        said = self._reported(book) & worthless.keys()
        await self._write(context, [proof_draft(worthless[token]) for token in sorted(said)])
        for token in said:
            del worthless[token]  # each is shown once
        self._looked[context] = book

    async def _report(self, context: ContextId, period: int) -> None:
        replica = self._node.engine.replica(context)
        finder = await log_of(self._node, context, period)
        assert finder is not None, "a period is open under terms only"
        report = report_of(replica.member, period, _relations(self._node, context, finder))
        written = list(reports_in_labels(replica, replica.member, period))
        left = _without(report, written)
        if not written or left.given or left.asked:
            await self._write(context, report_drafts(left))
        self._worthless.setdefault(context, {}).update(finder.worthless())
        self._done.add((context, period))

    def _reported(self, book: RewardBook) -> set[bytes]:
        """What custodians reported in the open period and the one before."""
        reports = [*book.reports.values(), *(book.closed.reports.values() if book.closed is not None else ())]
        return {token for one in reports for tokens in one.given.values() for token in tokens}

    async def _write(self, context: ContextId, drafts: Sequence[Draft]) -> None:
        """An operation each: a long report's parts fill one."""

        def write(now: int) -> tuple[None, list[Effect]]:
            effects: list[Effect] = []
            for draft in drafts:
                effects += self._node.engine.submit(now, context, [draft])[1]
            return None, effects

        await self._node.perform(write)
