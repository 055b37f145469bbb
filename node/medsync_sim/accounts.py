"""S11, by what really took place: who asked whom about which patient on which day; points counted a second, plainer way.

Reading a node's log and writing reports is what its daemon does (medsync_node.reward_reports), over the same rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from medsync_protocol.access import Answer
from medsync_protocol.ids import MemberId, SubjectRef
from medsync_protocol.journal import OpRecord
from medsync_protocol.kinds import EntryKind, Plane
from medsync_protocol.operation import join
from medsync_protocol.reward_book import Closed, RewardBook
from medsync_protocol.reward_labels import (
    FalseReport, Report, RewardTerms, proof_draft, read_reward_label, relation_token, report_drafts,
)  # fmt: skip
from medsync_protocol.reward_relations import RelationFinder, report_of, stands
from medsync_sim.ledger import Finding
from medsync_sim.moves import PURPOSE, submit

if TYPE_CHECKING:
    from medsync_sim.node import SimNode
    from medsync_sim.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """What took place between two members about a patient on one day, however often."""

    custodian: MemberId
    requester: MemberId
    subject: SubjectRef
    permitted: bool
    day: int


@dataclass(slots=True)
class Accounts:
    """Of one run. `asked`: every access, to be told again; `paid`: periods as the first node had them."""

    relations: list[Relation] = field(default_factory=list)
    asked: list[tuple[str, Any, Any, Any]] = field(default_factory=list)
    paid: dict[int, tuple[str, Any]] = field(default_factory=dict)
    shown: set[bytes] = field(default_factory=set)


def accounts(world: World) -> Accounts:
    """Of this run."""
    found: Accounts = world.stash.setdefault("accounts", Accounts())
    return found


# -- what a daemon does ---------------------------------------------------------------------------------------


def report(world: World, node: SimNode) -> None:
    """Write what this member found of the period whose log a settled checkpoint fixed; a second time adds nothing."""
    found = _finder(world, node)
    if found is not None:
        finder, period = found
        desk = node.engine.desk(world.the_context)
        mine = report_of(node.member, period, finder.relations(lambda entry: stands(desk, entry)))
        for draft in report_drafts(mine):
            submit(world, node, [draft])


def show_false_reports(world: World, node: SimNode) -> None:
    """Show each receipt whose custodian reported it and may not have, once."""
    found, book = _finder(world, node), _book(world, node)
    if found is None or book is None:
        return
    reported = {token for one in book.reports.values() for tokens in one.given.values() for token in tokens}
    for token, shown in sorted(found[0].worthless().items()):
        if token in reported and token not in accounts(world).shown:
            submit(world, node, [proof_draft(shown)])
            accounts(world).shown.add(token)


def report_falsely(world: World, node: SimNode, custodian: SimNode, asker: SimNode, *, late: bool = False) -> None:
    """One side of a report of what the custodian refused; `late`: of a period that is paid already."""
    book = _book(world, node)
    if book is None or (book.closed is None if late else not book.ended):
        return
    period = book.closed.period if late and book.closed is not None else book.period
    refused = [
        entry.receipt.id for _, request, entry, _ in accounts(world).asked
        if entry.receipt.signer == custodian.member and request.requester == asker.member
        and entry.receipt.decision.answer is not Answer.PERMIT
        and book.terms is not None and book.terms.period_of(entry.receipt.time) == period
    ]  # fmt: skip
    tokens = frozenset(relation_token(named, PURPOSE, period) for named in refused)
    if tokens:
        given = ((asker.member, tokens),) if node is custodian else ()
        asked = ((custodian.member, tokens),) if node is asker else ()
        for draft in report_drafts(Report(period=period, given=given, asked=asked)):
            submit(world, node, [draft])


def _book(world: World, node: SimNode) -> RewardBook | None:
    checkpoints = node.engine.checkpoints(world.the_context)
    return checkpoints.acceptance.rewards if checkpoints.anchoring is not None else None


def _finder(world: World, node: SimNode) -> tuple[RelationFinder, int] | None:
    """What the node can open of the log of the open period; None before that is complete and settled."""
    book, acceptance = _book(world, node), node.engine.checkpoints(world.the_context).acceptance
    if book is None or book.terms is None or not 0 < book.ended <= acceptance.settled:
        return None
    cut = acceptance.history[book.ended].cut.vector
    return _taken(world, node, RelationFinder(book.period, book.terms), cut), book.period


def _taken(world: World, node: SimNode, finder: RelationFinder, cut: Any) -> RelationFinder:
    replica = node.replica(world.the_context)
    for (context, chain, seq), record in node.bodies.items():
        below = context == world.the_context and record.plane == Plane.DATA and seq < cut.get(chain, 0)
        if below and replica.verdict(chain, seq).effective:
            for entry in replica.open(_wire(record)):
                if entry is not None and entry.kind in (EntryKind.ACCESS, EntryKind.RECEIPT):
                    finder.take(entry)
    return finder


def _wire(record: OpRecord) -> bytes:
    return join(record.header, record.signature, record.body)


# -- what must hold -------------------------------------------------------------------------------------------


def told_of(world: World, node: SimNode) -> Iterator[Finding]:
    """S11: a period that is paid is paid alike everywhere and for ever."""
    acceptance = node.engine.checkpoints(world.the_context).acceptance
    for since, book in acceptance.reward_books:
        if since > acceptance.settled or book.closed is None:
            continue
        closed = book.closed  # stands in every later book, too, until the next period is paid
        said = (closed.k, closed.violators, tuple(sorted(closed.points.items())), tuple(sorted(book.earned.items())))
        first = accounts(world).paid.setdefault(closed.period, (node.name, said))
        if first[1] != said:
            yield world.broke("S11", f"{first[0]} and {node.name} paid period {closed.period} otherwise")


def paid(world: World) -> Iterator[Finding]:
    """At the end: every member's periods, each against a plainer count of the reports that it was paid by."""
    for node in world.members():
        yield from told_of(world, node)
    for node in world.members()[:1]:
        acceptance = node.engine.checkpoints(world.the_context).acceptance
        earned: dict[MemberId, int] = {}
        for since, book in acceptance.reward_books:
            if since > acceptance.settled or book.closed is None or book.closed.k != since or book.terms is None:
                continue
            world.facts["periods paid"] = int(world.facts.get("periods paid", 0)) + 1
            world.facts["points"] = int(world.facts.get("points", 0)) + sum(book.closed.points.values())
            world.facts["violators"] = int(world.facts.get("violators", 0)) + len(book.closed.violators)
            yield from _counted(world, node, book.closed, book.terms)
            for member, points in book.closed.points.items():
                earned[member] = earned.get(member, 0) + points * book.terms.per_point
            if sum(earned.values()) != sum(book.earned.values()):
                yield world.broke("S11", f"period {book.closed.period}: what is owed is not what was earned")


def _counted(world: World, node: SimNode, closed: Closed, terms: RewardTerms) -> Iterator[Finding]:
    given, asked, shown = _reported(world, node, closed)
    for custodian in sorted({custodian for custodian, _, _ in given} | closed.points.keys()):
        both = {(other, token) for who, other, token in given & asked if who == custodian}
        points = sum(
            terms.cap * n // max(sum(1 for _, o, _ in given & asked if o == other), terms.least)
            for other in {other for other, _ in both}
            if (n := sum(1 for o, _ in both if o == other))
        )
        if closed.points.get(custodian, 0) not in (points, 0) or (points and not closed.points.get(custodian)) != (
            bool(points) and custodian in closed.violators
        ):
            yield world.broke("S11", f"period {closed.period}: points differ from what both sides reported")
        true = {
            (r.requester, r.subject) for r in accounts(world).relations
            if r.custodian == custodian and r.permitted and r.day * 86_400_000 // terms.length == closed.period
        }  # fmt: skip
        owner = world.node_of(custodian)
        if owner is not None and owner.honest and closed.points.get(custodian, 0) > len(true):
            yield world.broke("S11", f"period {closed.period}: {owner.name} earned more than it had relations")
        if owner is not None and not owner.honest and shown and closed.points.get(custodian, 0):
            yield world.broke("S11", f"period {closed.period}: {owner.name} earns though its lie was shown")


def _reported(
    world: World, node: SimNode, closed: Closed
) -> tuple[set[tuple[MemberId, MemberId, bytes]], set[tuple[MemberId, MemberId, bytes]], bool]:
    """(custodian, requester, token) as custodians reported them, as requesters did; and whether a lie was shown."""
    replica, acceptance = node.replica(world.the_context), node.engine.checkpoints(world.the_context).acceptance
    ended = next(book.ended for _, book in acceptance.reward_books if book.period == closed.period and book.ended)
    low, high = acceptance.history[ended].cut.vector, acceptance.history[closed.k].cut.vector
    given, asked, shown = set(), set(), False
    for chain, seq, slot in replica.chains.between(low, high):
        author = replica.judge.author(chain, slot.heads, slot.seen)
        for _, label in replica.labels.get((chain, seq), ()) if slot.verdict.effective else ():
            said = read_reward_label(label)
            if isinstance(said, Report) and said.period == closed.period:
                given |= {(author, other, token) for other, tokens in said.given for token in tokens}
                asked |= {(other, author, token) for other, tokens in said.asked for token in tokens}
            shown = shown or (isinstance(said, FalseReport) and said.period == closed.period)
    return given, asked, shown
