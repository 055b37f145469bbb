"""What an accepted checkpoint says of rewards: terms in force, the open period with its reports, what was earned so far.

A function of the checkpoint before, labels of effective operations below the cut, the membership there and the
statement's time: every voter computes the same, whatever it may open (PROTOCOL §9, decision 15).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from medsync_protocol.codec import pack, unpack, want_array, want_bytes, want_int
from medsync_protocol.crypto import blake2b
from medsync_protocol.ids import ContextId, MemberId, NetworkId
from medsync_protocol.poseidon import Felt, felt_bytes, felt_of
from medsync_protocol.reward_labels import (
    TOKEN_BYTES, FalseReport, Report, RewardTerms, Rows, read_reward_label, want_terms,
)  # fmt: skip
from medsync_protocol.application import Label
from medsync_protocol.reward_points import Reported, Tokens, points
from medsync_protocol.reward_violations import proven
from medsync_protocol.rewards import PayTree, pool_hash, reward_root
from medsync_protocol.statement import quorum
from medsync_protocol.transition import Anchor

WAIT_S: Final = 86_400  # for reports after a period's last checkpoint: a member's node may be down for a night
MAX_REPORTED: Final = 262_144  # tokens of one member in a period, 4 MiB that everybody keeps; reports beyond count for nothing
Reports = Mapping[MemberId, Reported]
Said = tuple[MemberId, Label]
"""An author and the label that it wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a checkpoint says beside labels. `now`: its not_before, in seconds; `context`: its felt on the chain.

    `writers`: who is to report; `payees`: Stark keys by member.
    """

    network: NetworkId
    id: ContextId
    anchor: Anchor
    context: int
    k: int
    now: int
    voters: tuple[MemberId, ...]
    writers: frozenset[MemberId]
    payees: Mapping[MemberId, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """A period that was paid: who reported what, who was proven to have lied, points by member."""

    period: int
    k: int
    reports: Reports
    violators: frozenset[MemberId]
    points: Mapping[MemberId, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardBook:
    """`named`: terms by member, until a quorum of the voters named the same. `period`: the open one; `ended`: the checkpoint
    that holds all of its log, 0 before that, `ended_at` its time in seconds. `earned`: payee → amount, since ever."""

    named: Mapping[MemberId, RewardTerms] = field(default_factory=dict)
    terms: RewardTerms | None = None
    period: int = 0
    ended: int = 0
    ended_at: int = 0
    reports: Reports = field(default_factory=dict)
    violators: frozenset[MemberId] = frozenset()
    closed: Closed | None = None
    earned: Mapping[int, int] = field(default_factory=dict)
    root: Felt = field(default=Felt(0))

    def after(self, said: Iterable[Said], around: Surroundings) -> RewardBook:
        """At the next checkpoint, whose operations said this, in the order of chain and seq."""
        read = [(author, read_reward_label(label)) for author, label in said]
        book = self._listening(read)
        if book.terms is None:
            return book._in_force(around)
        book = replace(book, violators=book.violators | book._proven(read, around))
        if book.ended and (
            around.writers <= book.reports.keys() or around.now >= book.ended_at + WAIT_S
        ):
            book = book._closing(around)
        return book._ending(around)

    def _listening(self, read: Iterable[tuple[MemberId, Any]]) -> RewardBook:
        named, reports = dict(self.named), dict(self.reports)
        for author, one in read:
            if isinstance(one, RewardTerms) and self.terms is None:
                named[author] = one
            elif isinstance(one, Report) and self.ended and one.period == self.period:
                together = joined(reports.get(author, Reported()), one)
                if together.size <= MAX_REPORTED:
                    reports[author] = together
        return replace(self, named=named, reports=reports)

    def _in_force(self, around: Surroundings) -> RewardBook:
        """Terms that a quorum of the voters named; they never change again."""
        wanted = [self.named[voter] for voter in around.voters if voter in self.named]
        for terms in wanted:
            if wanted.count(terms) >= quorum(len(around.voters)):
                return replace(self, named={}, terms=terms, period=terms.first)._ending(around)
        return self

    def _proven(self, read: Iterable[tuple[MemberId, Any]], around: Surroundings) -> frozenset[MemberId]:
        """Who was shown to have reported falsely, in the open period or the one before."""
        held = {self.period: self.reports}
        if self.closed is not None:
            held[self.closed.period] = self.closed.reports
        shown = (one for _, one in read if isinstance(one, FalseReport) and one.period in held)
        found = (proven(one, held[one.period], around.network, around.id) for one in shown)
        return frozenset(member for member in found if member is not None)

    def _closing(self, around: Surroundings) -> RewardBook:
        assert self.terms is not None
        terms, earned = self.terms, dict(self.earned)
        made = points(self.reports, cap=terms.cap, least=terms.least, violators=self.violators)
        paid = {member: count for member, count in made.items() if member in around.payees}
        for member, count in paid.items():
            payee = around.payees[member]
            earned[payee] = earned.get(payee, 0) + count * terms.per_point
        closed = Closed(
            period=self.period, k=around.k, reports=self.reports, violators=self.violators, points=paid
        )
        return replace(
            self, period=self.period + 1, ended=0, ended_at=0, reports={}, violators=frozenset(), closed=closed,
            earned=earned, root=_root(self.pool(around), earned),
        )  # fmt: skip

    def _ending(self, around: Surroundings) -> RewardBook:
        """Whether this checkpoint comes after the open period's end: then its cut holds the period's log."""
        assert self.terms is not None
        if self.ended or around.now * 1000 < (self.period + 1) * self.terms.length:
            return self
        return replace(self, ended=around.k, ended_at=around.now)

    def slim(self) -> RewardBook:
        """Without tokens: what is left to know of a settled checkpoint that others have followed."""
        closed = None if self.closed is None else replace(self.closed, reports={})
        return replace(self, reports={}, closed=closed)

    def pool(self, around: Surroundings) -> Felt:
        """The pool's name. Only where terms are in force."""
        return self.pool_at(around.anchor, around.context)

    def pool_at(self, anchor: Anchor, context: int) -> Felt:
        """As `pool`."""
        assert self.terms is not None
        return pool_name(self.terms, anchor, context)

    @property
    def tree(self) -> PayTree:
        """What the pool owes."""
        return PayTree(self.earned)

    @property
    def digest(self) -> bytes:
        """Stands in a checkpoint's state root, once there is anything."""
        return blake2b(b"medsync/rewards/1", self.encode())

    def encode(self) -> bytes:
        """Canonical bytes, for the journal and the state root."""
        closed = self.closed
        return pack([
            [[member, terms.fields()] for member, terms in sorted(self.named.items())],
            None if self.terms is None else self.terms.fields(), self.period, self.ended, self.ended_at,
            _report_fields(self.reports), sorted(self.violators),
            None if closed is None else [
                closed.period, closed.k, _report_fields(closed.reports), sorted(closed.violators),
                sorted(closed.points.items()),
            ],
            [[felt_bytes(payee), amount.to_bytes(16, "big")] for payee, amount in sorted(self.earned.items())],
            felt_bytes(self.root),
        ])  # fmt: skip

    @staticmethod
    def decode(data: bytes) -> RewardBook:
        """What `encode` gave. Raises Malformed."""
        named, terms, period, ended, ended_at, reports, violators, closed, earned, root = want_array(
            unpack(data), 10
        )
        pairs = [want_array(row, 2) for row in want_array(named)]
        amounts = [want_array(row, 2) for row in want_array(earned)]
        return RewardBook(
            named={_member(member): want_terms(fields) for member, fields in pairs},
            terms=None if terms is None else want_terms(terms), period=want_int(period), ended=want_int(ended),
            ended_at=want_int(ended_at), reports=_want_reports(reports), violators=_members(violators),
            closed=None if closed is None else _want_closed(closed),
            earned={
                felt_of(want_bytes(payee, 32)): int.from_bytes(want_bytes(amount, 16), "big")
                for payee, amount in amounts
            },
            root=felt_of(want_bytes(root, 32)),
        )  # fmt: skip


NO_REWARDS: Final = RewardBook()


def pool_name(terms: RewardTerms, anchor: Anchor, context: int) -> Felt:
    """The name of the pool that these terms are about; `context` is the context's felt at the anchor."""
    return pool_hash(
        chain_id=anchor.chain_id, contract=terms.contract, context=context, token=terms.token,
        window=terms.window, salt=terms.salt,
    )  # fmt: skip


def _root(pool: Felt, earned: Mapping[int, int]) -> Felt:
    return reward_root(pool, PayTree(earned).root) if earned else Felt(0)


def joined(held: Reported, more: Report) -> Reported:
    """What a member reported, with one more of its reports."""
    return Reported(_union(held.given, more.given), _union(held.asked, more.asked))


def _union(held: Tokens, more: Rows) -> Tokens:
    found = dict(held)
    for member, tokens in more:
        found[member] = found.get(member, frozenset()) | tokens
    return found


def _report_fields(reports: Reports) -> list[Any]:
    return [
        [member, _token_fields(one.given), _token_fields(one.asked)] for member, one in sorted(reports.items())
    ]


def _token_fields(tokens: Tokens) -> list[Any]:
    return [[member, b"".join(sorted(held))] for member, held in sorted(tokens.items())]


def _want_reports(value: Any) -> dict[MemberId, Reported]:
    rows = [want_array(row, 3) for row in want_array(value)]
    return {_member(member): Reported(_want_tokens(given), _want_tokens(asked)) for member, given, asked in rows}


def _want_tokens(value: Any) -> dict[MemberId, frozenset[bytes]]:
    found = {}
    for row in want_array(value):
        member, tokens = want_array(row, 2)
        joined = want_bytes(tokens)
        cut = (joined[at : at + TOKEN_BYTES] for at in range(0, len(joined), TOKEN_BYTES))
        found[_member(member)] = frozenset(cut)
    return found


def _want_closed(value: Any) -> Closed:
    period, k, reports, violators, paid = want_array(value, 5)
    pairs = [want_array(row, 2) for row in want_array(paid)]
    return Closed(
        period=want_int(period), k=want_int(k), reports=_want_reports(reports), violators=_members(violators),
        points={_member(member): want_int(count) for member, count in pairs},
    )  # fmt: skip


def _member(value: Any) -> MemberId:
    return MemberId(want_bytes(value, 32))


def _members(value: Any) -> frozenset[MemberId]:
    return frozenset(map(_member, want_array(value)))
