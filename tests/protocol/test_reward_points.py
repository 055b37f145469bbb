"""Points of a reward period: properties of PROTOCOL §9 over random reports, and the book that checkpoints keep of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsync_protocol import stark
from medsync_protocol.application import Label
from medsync_protocol.crypto import blake2b
from medsync_protocol.errors import Malformed
from medsync_protocol.ids import ContextId, MemberId, NetworkId
from medsync_protocol.kinds import Audience, EntryKind
from medsync_protocol.operation import decode_label, encode_label
from medsync_protocol.reward_book import NO_REWARDS, WAIT_S, RewardBook, Surroundings
from medsync_protocol.reward_labels import (
    MAX_TOKENS, Report, RewardTerms, read_reward_label, report_drafts, terms_draft,
)  # fmt: skip
from medsync_protocol.reward_points import Reported, points
from medsync_protocol.rewards import PayTree, reward_root
from medsync_protocol.transition import Anchor

NAMES = ("mercy", "city", "coast", "lab")
DAY = 86_400
FIRST = 20_000  # days since 1970


def member(name: str) -> MemberId:
    return MemberId(blake2b(b"member", name.encode()))


def token(number: int) -> bytes:
    return blake2b(number.to_bytes(4, "big"), size=16)


Dealing = tuple[str, str, int]
"""(custodian, requester, which relation of theirs)."""
dealings = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES), st.integers(0, 40)), max_size=40
)


def reports_of(dealt: Iterable[Dealing], names: Sequence[str] = NAMES) -> dict[MemberId, Reported]:
    """What honest members report."""
    made = {name: (dict[MemberId, frozenset[bytes]](), dict[MemberId, frozenset[bytes]]()) for name in names}
    for custodian, requester, number in dealt:
        one = frozenset({token(number + 1000 * names.index(custodian))})
        given, asked = made[custodian][0], made[requester][1]
        given[member(requester)] = given.get(member(requester), frozenset()) | one
        asked[member(custodian)] = asked.get(member(custodian), frozenset()) | one
    return {member(name): Reported(*sides) for name, sides in made.items()}


@given(dealings)
def test_each_distinct_relation_that_both_sides_report_is_worth_one_point(dealt: list[Dealing]) -> None:
    earned = points(reports_of(dealt), cap=1000, least=1000)
    wanted = {member(n): len({d for d in dealt if d[0] == n != d[1]}) for n in NAMES}
    assert earned == {m: count for m, count in wanted.items() if count}
    assert points(reports_of([*dealt, *dealt[::-1]]), cap=1000, least=1000) == earned


@given(dealings, st.sampled_from(NAMES))
def test_what_one_side_does_not_report_earns_nothing(dealt: list[Dealing], silent: str) -> None:
    reports = reports_of(dealt)
    heard = {m: one for m, one in reports.items() if m != member(silent)}
    without = [d for d in dealt if silent not in d[:2]]
    assert points(heard, cap=50, least=50) == points(reports_of(without), cap=50, least=50)


@given(dealings, st.integers(1, 20), st.integers(0, 20), st.sets(st.sampled_from(NAMES)))
def test_a_violator_earns_nothing_and_nobody_elses_points_move(
    dealt: list[Dealing], cap: int, more: int, bad: set[str]
) -> None:
    reports = reports_of(dealt)
    before = points(reports, cap=cap, least=cap + more)
    after = points(reports, cap=cap, least=cap + more, violators=map(member, bad))
    assert after == {m: count for m, count in before.items() if m not in set(map(member, bad))}


@given(dealings, st.integers(1, 20), st.integers(0, 20), st.data())
def test_coming_as_two_never_pays_more(dealt: list[Dealing], cap: int, more: int, data: st.DataObject) -> None:
    dealt = [d for d in set(dealt) if d[0] != d[1]]
    whole = points(reports_of(dealt), cap=cap, least=cap + more)
    names = (*NAMES, "mercy-2")
    moved = [
        ("mercy-2" if c == "mercy" and data.draw(st.booleans()) else c, r, n) for c, r, n in sorted(dealt)
    ]
    split = points(reports_of(moved, names), cap=cap, least=cap + more)
    together = split.get(member("mercy"), 0) + split.get(member("mercy-2"), 0)
    assert together <= whole.get(member("mercy"), 0)
    assert all(split.get(member(n), 0) == whole.get(member(n), 0) for n in NAMES[1:])


@given(dealings, st.integers(1, 20), st.integers(0, 20))
def test_a_requester_never_brings_more_than_its_cap(dealt: list[Dealing], cap: int, more: int) -> None:
    for requester in NAMES:
        by_one = [d for d in dealt if d[1] == requester]
        assert sum(points(reports_of(by_one), cap=cap, least=cap + more).values()) <= cap


# -- the book -------------------------------------------------------------------------------------------------

TERMS = RewardTerms(contract=0x7A, token=0x47, window=DAY, salt=1, per_point=1000, days=1, cap=100, least=100, first=FIRST)
KEYS = {member(name): stark.public_key(7000 + at) for at, name in enumerate(NAMES)}


def around(k: int, now: int, writers: Iterable[str] = NAMES) -> Surroundings:
    return Surroundings(
        network=NetworkId(bytes(32)), id=ContextId(bytes(32)), anchor=Anchor(chain_id=5, contract=6), context=77, k=k,
        now=now, voters=tuple(map(member, NAMES)), writers=frozenset(map(member, writers)), payees=KEYS,
    )  # fmt: skip


def labels(author: MemberId, *drafts: object) -> list[tuple[MemberId, Label]]:
    return [
        (author, Label(kind=EntryKind.REWARD_ROOT, audience=Audience.ALL, public=draft.public))  # type: ignore[attr-defined]
        for draft in drafts
    ]


def said(reports: Mapping[MemberId, Reported], period: int = FIRST) -> list[tuple[MemberId, Label]]:
    found = []
    for author, one in sorted(reports.items()):
        report = Report(period=period, given=tuple(sorted(one.given.items())), asked=tuple(sorted(one.asked.items())))
        found += labels(author, *report_drafts(report))
    return found


def begun() -> RewardBook:
    """Terms are in force, and the first period's log is complete by checkpoint 2."""
    wanted = [one for name in NAMES[:3] for one in labels(member(name), terms_draft(TERMS))]
    book = NO_REWARDS.after(wanted[:2], around(1, FIRST * DAY + 5))
    assert book.terms is None, "two of four are no quorum"
    book = book.after(wanted[2:], around(2, FIRST * DAY + 9))
    assert (book.terms, book.period, book.ended) == (TERMS, FIRST, 0)
    return book.after([], around(3, (FIRST + 1) * DAY))


DEALT: list[Dealing] = [("mercy", "lab", 1), ("mercy", "lab", 2), ("city", "lab", 3), ("mercy", "city", 1)]


@given(st.permutations(said(reports_of(DEALT))), st.lists(st.integers(0, 3), max_size=4))
def test_order_and_repeats_of_reports_change_nothing(order: list[tuple[MemberId, Label]], again: list[int]) -> None:
    book = begun()
    assert book.ended == 3
    repeated = [*order, *(order[at] for at in again)]
    done = book.after(repeated, around(4, (FIRST + 1) * DAY + 60))
    assert done == book.after(said(reports_of(DEALT)), around(4, (FIRST + 1) * DAY + 60))
    assert done.closed is not None and done.closed.points == {member("mercy"): 3, member("city"): 1}
    assert done.earned == {KEYS[member("mercy")]: 3000, KEYS[member("city")]: 1000}
    assert done.root == reward_root(done.pool_at(Anchor(chain_id=5, contract=6), 77), PayTree(done.earned).root)
    assert RewardBook.decode(done.encode()) == done and done.digest != book.digest


def test_a_period_waits_for_all_members_but_not_for_ever() -> None:
    reports = reports_of(DEALT)
    heard = {m: one for m, one in reports.items() if m != member("coast")}
    book = begun().after(said(heard), around(4, (FIRST + 1) * DAY + 60))
    assert book.closed is None and book.earned == {}
    late = book.after([], around(5, (FIRST + 1) * DAY + WAIT_S))
    assert late.closed is not None and late.closed.points == {member("mercy"): 3, member("city"): 1}


def test_what_is_paid_is_never_counted_again() -> None:
    done = begun().after(said(reports_of(DEALT)), around(4, (FIRST + 1) * DAY + 60))
    more = said(reports_of([*DEALT, ("coast", "lab", 9)]))
    later = done.after(more, around(5, (FIRST + 1) * DAY + 120))
    assert later == done and later.period == FIRST + 1
    ended = later.after(more, around(6, (FIRST + 2) * DAY))
    assert ended.earned == done.earned and ended.ended == 6
    nothing = ended.after(said(reports_of([]), FIRST + 1), around(7, (FIRST + 2) * DAY + 60))
    assert (nothing.earned, nothing.root, nothing.period) == (done.earned, done.root, FIRST + 2)


def test_amounts_add_up_over_periods_and_who_left_earns_nothing_more() -> None:
    done = begun().after(said(reports_of(DEALT)), around(4, (FIRST + 1) * DAY + 60))
    ended = done.after([], around(5, (FIRST + 2) * DAY))
    second = said(reports_of(DEALT), FIRST + 1)
    left = {m: key for m, key in KEYS.items() if m != member("city")}
    paid = ended.after(second, replace(around(6, (FIRST + 2) * DAY + 60), payees=left))
    assert paid.earned == {KEYS[member("mercy")]: 6000, KEYS[member("city")]: 1000}


def test_terms_change_by_nobody_once_they_are_in_force() -> None:
    book = begun()
    others = [one for name in NAMES for one in labels(member(name), terms_draft(replace(TERMS, per_point=9)))]
    assert book.after(others, around(4, (FIRST + 1) * DAY + 1)) == book


@pytest.mark.parametrize("changed", [{"per_point": 0}, {"days": 0}, {"cap": 0}, {"least": 99}, {"token": 2**252}])
def test_terms_out_of_range_are_refused(changed: dict[str, int]) -> None:
    with pytest.raises(Malformed):
        replace(TERMS, **changed)


@given(st.integers(1, 3 * MAX_TOKENS))
def test_a_long_report_is_written_in_parts_that_add_up(count: int) -> None:
    tokens = frozenset(map(token, range(count)))
    report = Report(period=FIRST, given=((member("lab"), tokens),), asked=((member("city"), frozenset({token(0)})),))
    seen: set[bytes] = set()
    for draft in report_drafts(report):
        label = Label(kind=EntryKind.REWARD_ROOT, audience=Audience.ALL, public=draft.public)
        read = read_reward_label(decode_label(encode_label(label)))
        assert isinstance(read, Report)
        assert sum(len(t) for _, t in (*read.given, *read.asked)) <= MAX_TOKENS
        seen |= set().union(*(t for m, t in read.given if m == member("lab")))
    assert seen == tokens


@given(st.recursive(st.integers(-9, 9) | st.binary(max_size=40), lambda inner: st.lists(inner, max_size=4).map(tuple)))
def test_any_other_label_means_nothing(public: object) -> None:
    for given_public in ((1, public), (2, 3, public, public), (3, 1, public, public), (public,)):
        read = read_reward_label(Label(kind=EntryKind.REWARD_ROOT, audience=Audience.ALL, public=given_public))
        assert read is None or isinstance(read, Report)
