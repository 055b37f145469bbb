"""Reports of reward periods: reads the log that a settled checkpoint fixed, and tells what this member found (PROTOCOL §9).

What is a relation, and what becomes of reports, is medsync_protocol's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import structlog
import trio

from medsync_protocol.acceptance import Acceptance
from medsync_protocol.consent import MedSyncApplication
from medsync_protocol.effects import Effect
from medsync_protocol.errors import MedSyncError
from medsync_protocol.ids import ContextId, MemberId
from medsync_protocol.kinds import EntryKind, Role
from medsync_protocol.replica import Replica
from medsync_protocol.reward_book import RewardBook
from medsync_protocol.reward_labels import DAY_MS, Report, read_reward_label, report_drafts
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


async def relations_of(node: Node, context: ContextId, period: int) -> list[Relation]:
    """The period's relations in what this node can open of the log; of what there is so far, before that is complete."""
    replica, acceptance = node.engine.replica(context), node.engine.checkpoints(context).acceptance
    terms, complete = acceptance.rewards.terms, book_of(acceptance, period)
    if terms is None:
        return []
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


class Reporter:
    """Writes this member's reports of every context, each once."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._done: set[tuple[ContextId, int]] = set()

    async def run(self) -> None:
        """For ever."""
        while True:
            await self._node.wait_for(lambda: next(self._due(), None) is not None, LOOK_SECONDS)
            for context, period in list(self._due()):
                try:
                    await self._report(context, period)
                except MedSyncError as error:
                    log.warning("a reward period could not be reported yet", why=str(error))
                    await trio.sleep(AGAIN_SECONDS)

    def _due(self) -> Iterator[tuple[ContextId, int]]:
        engine = self._node.engine
        for context, replica in engine.replicas.items():
            if not isinstance(replica.application, MedSyncApplication):
                continue
            acceptance = engine.checkpoints(context).acceptance
            book = acceptance.rewards
            complete = 0 < book.ended <= acceptance.settled and (context, book.period) not in self._done
            if complete and replica.role is not None and replica.role >= Role.MEMBER:
                yield context, book.period

    async def _report(self, context: ContextId, period: int) -> None:
        node, replica = self._node, self._node.engine.replica(context)
        if not any(True for _ in reports_in_labels(replica, replica.member, period)):
            report = report_of(replica.member, period, await relations_of(node, context, period))

            def write(now: int) -> tuple[None, list[Effect]]:
                effects: list[Effect] = []
                for draft in report_drafts(report):
                    effects += node.engine.submit(now, context, [draft])[1]
                return None, effects

            await node.perform(write)
        self._done.add((context, period))
