"""Break-glass: the specification's table is what is executed; what is written, sealed and told; release, review, no reward."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsync_protocol.access import Answer, Half, decode_access, half_of
from medsync_protocol.actions import SetRole
from medsync_protocol.application import OpenedEntry
from medsync_protocol.authority import Counted
from medsync_protocol.codec import unpack
from medsync_protocol.decision import ConsentSettings, ImplicitRule, against_breaking
from medsync_protocol.drafts import access_draft
from medsync_protocol.effects import Notify
from medsync_protocol.errors import Malformed
from medsync_protocol.glass import (
    NOTICES, BrokenGlass, GlassId, GlassReview, GlassSettings, Outcome, decode_broken, decode_review, encode_broken, encode_review,
    glass_id, glass_settings,
)  # fmt: skip
from medsync_protocol.glass_book import GlassBook, State
from medsync_protocol.glass_right import GlassRight, decode_right, encode_right, right_draft, right_id
from medsync_protocol.ids import ChainId, DirectiveId, Instant, MemberId, OpId, SubjectRef
from medsync_protocol.kinds import EntryKind, Role, Verdict
from medsync_protocol.reward_labels import RewardTerms
from medsync_protocol.reward_relations import RelationFinder
from medsync_protocol.rule import Effect, Rule, member_actor
from medsync_protocol.serving import redacted
from tests.desk_world import DAY, MINUTE, NETWORK, NOW, Context
from tests.protocol.desk_steps import grant, refusal
from tests.protocol.test_narrowing import PLAIN, pair, rule, view

FOLDER = Path(__file__).resolve().parents[2] / "protocol"
PAGE = (FOLDER / "README.md").read_text("utf-8")
VECTOR = json.loads((FOLDER / "vectors" / "glass.json").read_text("utf-8"))
REASON = "found unconscious at the station"
HEADER = ["the consents", "ETREAT, implicit 0", "BTG, implicit 0", "ETREAT, implicit 1 to 3", "BTG, implicit 1 to 3"]


def broke(context: Context, subject: SubjectRef, purpose: str = "BTG", by: str = "lab", at: str = "mercy", **more: Any) -> GlassId:
    """By the lab, at Mercy, on record everywhere."""
    request = context.request(subject, by, (purpose,), user=b"eve")
    named, drafts = context[by].desk.glass.break_glass(context.clock, request, context[at].member, **{"reason": REASON, **more})
    context.write(by, drafts)
    return named


def deny(context: Context, subject: SubjectRef, at: str | None, *purposes: str) -> None:
    """A denying rule: the patient's own, or one that the member `at` attests."""
    rule = Rule(effect=Effect.DENY, purposes=purposes)
    if at is None:
        grant(context, subject, rules=(rule,))
        return
    _, drafts = context[at].desk.grant_attested(context.clock, subject, rules=(rule,))
    context.write(at, drafts)


def emergencies(context: Context, subject: SubjectRef) -> None:
    """The patient permits treatment of any kind."""
    grant(context, subject, rules=(Rule(effect=Effect.PERMIT, purposes=("TREAT",)),))


def erased(context: Context, subject: SubjectRef) -> None:
    """Both custodians order it."""
    for name in ("mercy", "city"):
        _, drafts = context[name].desk.erase_attested(context.clock, subject)
        context.write(name, drafts)


ROWS = {
    "permit it": emergencies,
    "say nothing of it": lambda context, subject: deny(context, subject, None, "HRESCH"),
    "deny it by a base decision": lambda context, subject: grant(context, subject, rules=(), base=Effect.DENY),
    "deny it by a rule that names no emergency": lambda context, subject: deny(context, subject, None, "TREAT"),
    "deny it by a rule that names ETREAT or BTG, of the patient's side": lambda c, s: deny(c, s, None, "BTG", "ETREAT"),
    "deny it by a rule that names ETREAT or BTG, of a custodian": lambda c, s: deny(c, s, "city", "ETREAT"),
    "deny it by a rule that names ETREAT or BTG, of another member": lambda c, s: deny(c, s, "coast", "BTG", "ETREAT"),
    "were erased": erased,
}  # fmt: skip


def written() -> dict[str, list[str]]:
    """The specification's table."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")]
    start = lines.index(HEADER)
    return {line[0]: line[1:] for line in lines[start + 2 : start + 2 + len(ROWS)]}


@pytest.mark.parametrize("implicit", range(4))
def test_the_table_of_what_it_overrides_is_the_one_that_is_executed(implicit: int) -> None:
    """No home was heard of at all: freshness is never asked."""
    assert written().keys() == ROWS.keys()
    for says, arrange in ROWS.items():
        context = Context({"implicit": implicit, "glass.role": 1})
        ann = context.enrol()
        if says == "say nothing of it" and implicit in (1, 2):
            continue  # then the implicit rule itself permits
        arrange(context, ann)
        for column, purpose in enumerate(("ETREAT", "BTG")):
            allowed = written()[says][column + (2 if implicit else 0)] == "yes"
            if allowed:
                assert broke(context, ann, purpose), (says, purpose)
            else:
                code = refusal(lambda context=context, ann=ann, purpose=purpose: broke(context, ann, purpose))  # type: ignore[misc]
                assert code == ("erased" if says == "were erased" else "glass_holds"), (says, purpose)


@pytest.fixture
def context() -> Context:
    return Context({"implicit": 3, "glass.role": 1})


@pytest.fixture
def ann(context: Context) -> SubjectRef:
    return context.enrol()


def test_both_entries_are_sealed_for_custodians_and_homes_and_the_reason_stands_nowhere_else(context: Context, ann: SubjectRef) -> None:
    lab = context["lab"]
    named, drafts = lab.desk.glass.break_glass(
        NOW, context.request(ann, "lab", ("BTG",)), context["mercy"].member, reason=f" {REASON} ", lasting=MINUTE
    )
    assert [draft.kind for draft in drafts] == [EntryKind.ACCESS, EntryKind.BREAK_GLASS]
    half, broken = decode_access(drafts[0].payload), decode_broken(drafts[1].payload)
    assert (half.half, half.outcome, half.receipt) == (Half.BREAK_GLASS, Answer.PERMIT, b"")
    assert (broken.reason, broken.until, glass_id(drafts[1].payload)) == (REASON, NOW + MINUTE, named)
    parties = {context[name].member for name in ("mercy", "city", "coast", "lab")}
    assert set(drafts[1].parties) == parties and all(draft.subject == ann for draft in drafts)
    assert not any(draft.public for draft in drafts)
    done, effects = lab.replica.submit(NOW, drafts)
    wire = next(one.operation.wire for one in lab.replica.news if one.operation.op_id == done.op_id)
    assert REASON.encode() not in wire and bytes(ann) not in wire
    for found in (effects, context["mercy"].replica.receive(NOW, wire)):
        notices = [one for one in found if isinstance(one, Notify) and one.what in NOTICES.values()]
        assert notices == [Notify("glass_broken", context.id, (("op", done.op_id[:4].hex()),))]
    for name, held in (("city", 1), ("auditor", 0)):  # what a third member hands on of it: all to a custodian, else hashes
        context[name].replica.receive(NOW, redacted(context["mercy"].replica, context[name].member, wire))
        assert len(list(context[name].desk.glass.cases(ann))) == held


def test_who_may_break_glass_for_what_and_for_how_long(context: Context, ann: SubjectRef) -> None:
    glass = context["lab"].desk.glass
    keeper = context["mercy"].member

    def code(**changed: Any) -> str:
        asked = {"purposes": ("BTG",), "requester": "lab", "custodian": keeper, "reason": REASON, "lasting": None, **changed}
        request = context.request(ann, asked["requester"], asked["purposes"])
        return refusal(lambda: glass.break_glass(NOW, request, asked["custodian"], reason=asked["reason"], lasting=asked["lasting"]))

    assert code(purposes=("BTG", "TREAT")) == code(purposes=("HRESCH",)) == "not_an_emergency"
    assert {code(reason=text) for text in ("", "  ", "two\nlines", "x" * 513)} == {"reason"}
    assert code(custodian=context["coast"].member) == "not_custodian"
    assert code(requester="city") == "wrong_context"
    assert {code(lasting=ms) for ms in (0, -1, 4 * 60 * MINUTE + 1)} == {"too_long"}
    few = Context({"implicit": 3, "glass.limit": 10 * MINUTE})
    bob = few.enrol()
    assert refusal(lambda: broke(few, bob)) == "may_not_break"
    assert few["mercy"].desk.glass.case(broke(few, bob, by="mercy")).broken.until == NOW + 10 * MINUTE
    assert glass_settings({"glass.role": 0, "glass.limit": -1, "glass.review": "week"}) == GlassSettings()


def test_admins_give_the_right_and_take_it_back(context: Context) -> None:
    few = Context({"implicit": 3})
    bob = few.enrol()
    mercy, city, lab = (few[name].member for name in ("mercy", "city", "lab"))

    def breakers() -> list[dict[MemberId, tuple[MemberId, ...]]]:
        return [few[name].desk.glass.breakers() for name in few.places]

    def right(at: str, give: bool, salt: bytes) -> None:
        glass = few[at].desk.glass
        few.write(at, (glass.give_right if give else glass.take_right)(lab, salt * 16)[1])

    def role(member: MemberId, to: Role) -> None:
        few["mercy"].replica.act(few.clock, SetRole(member=member, role=to))
        few.spread()

    assert breakers() == [{mercy: ()}] * 5
    assert refusal(lambda: few["lab"].desk.glass.give_right(lab, b"s" * 16)) == "not_permitted"
    assert refusal(lambda: few["mercy"].desk.glass.give_right(few["auditor"].member, b"s" * 16)) == "reader"
    assert refusal(lambda: few["mercy"].desk.glass.take_right(mercy, b"s" * 16)) == "by_role"
    assert few["mercy"].desk.glass.give_right(mercy, b"s" * 16)[1] == [] == few["mercy"].desk.glass.take_right(lab, b"s" * 16)[1]
    right("mercy", True, b"1")
    assert breakers()[3] == {lab: (mercy,), mercy: ()} and few["mercy"].desk.glass.give_right(lab, b"s" * 16)[1] == []
    named = broke(few, bob)
    forged = right_draft(GlassRight(member=few["coast"].member, salt=b"9" * 16))
    few.write("lab", [forged])  # who is no admin gives nothing
    right("mercy", False, b"2")
    assert breakers() == [{mercy: ()}] * 5 and refusal(lambda: broke(few, bob)) == "may_not_break"
    assert refusal(lambda: few["mercy"].desk.glass.release(NOW, named)) == "glass_holds"
    right("mercy", True, b"1")  # the very same again was taken back
    assert breakers() == [{mercy: ()}] * 5
    role(city, Role.ADMIN)
    right("city", True, b"3")
    assert breakers() == [{city: (), lab: (city,), mercy: ()}] * 5
    role(city, Role.MEMBER)
    assert breakers() == [{mercy: ()}] * 5  # what somebody gave counts as long as it is an admin
    role(city, Role.ADMIN)
    right("city", False, b"4")
    role(city, Role.MEMBER)
    assert breakers() == [{mercy: ()}] * 5  # what was taken back stays so


def test_a_refusal_by_name_reaches_across_pseudonyms_that_both_sides_link(
    context: Context, ann: SubjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else anybody could enrol somebody, refuse in that name, and keep emergencies from a patient by a link of its own."""
    other = context.enrol("coast", homes=("coast",), custodians=(), keys=("bob",))
    deny(context, other, "coast", "BTG")
    monkeypatch.setattr("medsync_protocol.consent.MAX_LINKED", 0)  # so many links that nothing else is decided
    for side in ("coast", "mercy"):
        assert broke(context, ann)
        _, drafts = context[side].desk.link(NOW, (ann, other))
        context.write(side, drafts)
    assert refusal(lambda: broke(context, ann)) == "glass_holds"


def test_the_named_custodian_releases_while_it_lasts_and_its_record_comes_first(context: Context, ann: SubjectRef) -> None:
    named = broke(context, ann, lasting=10 * MINUTE)
    mercy = context["mercy"].desk.glass
    assert refusal(lambda: context["city"].desk.glass.release(NOW, named)) == "not_custodian"
    half, drafts = mercy.release(Instant(NOW + MINUTE), named)
    request = mercy.case(named).broken.request
    assert (half.half, half.match) == (Half.DISCLOSED, half_of(request, Half.REQUESTED, half.custodian, Answer.PERMIT, receipt=b"", time=NOW).match)
    assert decode_access(drafts[0].payload) == half and half.purposes == ("BTG",)
    case = mercy.case(named)
    assert not mercy.refused(Instant(NOW - 2 * MINUTE), case) and mercy.refused(Instant(NOW - 2 * MINUTE - 1), case)
    over = Instant(NOW + 10 * MINUTE)
    assert not mercy.refused(Instant(over - 1), case)
    assert refusal(lambda: mercy.release(over, named)) == "glass_holds"
    context.clock = over
    assert broke(context, ann) != named and len(list(mercy.cases(ann))) == 2  # each is one of its own
    deny(context, ann, None, "BTG")
    assert "by name" in mercy.refused(Instant(NOW + MINUTE), case)


def test_it_is_reviewed_by_another_custodian_and_the_gravest_stands(context: Context, ann: SubjectRef) -> None:
    named = broke(context, ann, by="city")
    at = {name: context[name].desk.glass for name in ("mercy", "city", "coast", "lab")}
    case = at["mercy"].case(named)
    assert at["mercy"].reviewers(case) == {context["mercy"].member}
    assert refusal(lambda: at["city"].review(NOW, named, Outcome.JUSTIFIED)) == "own_glass"
    assert {refusal(lambda: at[name].review(NOW, named, Outcome.JUSTIFIED)) for name in ("coast", "lab")} == {"not_reviewer"}  # noqa: B023
    assert refusal(lambda: at["mercy"].review(NOW, GlassId(bytes(32)), Outcome.JUSTIFIED)) == "unknown_glass"
    assert refusal(lambda: at["mercy"].review(NOW, named, Outcome.JUSTIFIED, "two\nlines")) == "note"
    due = Instant(NOW + 7 * DAY)
    assert at["coast"].unfinished(Instant(due - 1)) == (1, 0) and at["coast"].unfinished(due) == (1, 1)
    states = []
    for outcome in (Outcome.FOLLOW_UP, Outcome.NOT_JUSTIFIED, Outcome.JUSTIFIED):
        _, drafts = context["mercy"].desk.glass.review(context.clock, named, outcome, "asked the ward")
        context.write("mercy", drafts)
        after = context["city"].desk.glass
        states.append((after.case(named).state(after.reviewers(case)), after.unfinished(due)))
    assert states == [(State.FOLLOW_UP, (1, 1)), (State.NOT_JUSTIFIED, (0, 0)), (State.JUSTIFIED, (0, 0))]
    erased(context, ann)
    assert refusal(lambda: context["mercy"].desk.glass.review(NOW, named, Outcome.JUSTIFIED)) == "unknown_glass"
    assert list(context["city"].desk.glass.cases()) == [] and context["city"].desk.glass.unfinished(due) == (0, 0)


def test_a_custodian_alone_is_reviewed_by_nobody_but_an_auditor(context: Context) -> None:
    bob = context.enrol("mercy", homes=("mercy",), custodians=())
    named = broke(context, bob, by="mercy")
    glass = context["mercy"].desk.glass
    assert glass.reviewers(glass.case(named)) == frozenset() and glass.unfinished(Instant(NOW + 7 * DAY)) == (1, 1)
    context["mercy"].replica.genesis = replace(context["mercy"].replica.genesis, auditors=(context["city"].member, context["mercy"].member))
    glass = context["mercy"].desk.glass
    assert glass.reviewers(glass.case(named)) == {context["city"].member}


def test_glass_in_a_void_operation_holds_no_more_and_is_still_reviewed(context: Context) -> None:
    """A member that is removed meanwhile can't make what it did go away; nor put off its review by a clock that runs ahead."""
    late = replace(decode_broken(BROKEN), until=Instant(NOW + 100 * DAY))
    late = replace(late, request=replace(late.request, time=Instant(NOW + 99 * DAY)))
    payload = encode_broken(late)
    for verdict, listed in ((Verdict.VOID_AFTER_CUT_OFF, True), (Verdict.VOID_FORK, True), (Verdict.VOID_NOT_A_MEMBER, False)):
        book = GlassBook(NETWORK, CONTEXT.id)
        book.take(_entry(1, PEOPLE[0], payload, EntryKind.BREAK_GLASS, NOW << 16), verdict)
        assert [one.effective for one in book.cases(BOB)] == [False] * listed
        for case in book.cases(BOB):
            assert case.due(GlassSettings()) == NOW + 7 * DAY and case.overdue(frozenset(PEOPLE), GlassSettings(), Instant(NOW + 7 * DAY))
            assert not case.lasts(Instant(NOW + 99 * DAY), replace(GlassSettings(), limit=DAY), 0)
            assert "void" in context["mercy"].desk.glass.refused(NOW, case)


def test_bulk_entry_takes_no_broken_glass(context: Context, ann: SubjectRef) -> None:
    request = context.request(ann, "lab", ("BTG",))
    half = half_of(request, Half.BREAK_GLASS, context["mercy"].member, Answer.PERMIT, receipt=b"", time=NOW)
    assert refusal(lambda: context["lab"].desk.logged(NOW, [half])) == "break_glass"


# -- properties -------------------------------------------------------------------------------------------------

PEOPLE = tuple(MemberId(bytes([n]) * 32) for n in range(1, 5))
BOB = SubjectRef(b"b" * 16)


def _payload(context: Context) -> bytes:
    request = context.request(BOB, "lab", ("BTG",))
    return encode_broken(
        BrokenGlass(request=replace(request, requester=PEOPLE[0], actors=(member_actor(PEOPLE[0]),)), custodian=PEOPLE[1], reason=REASON, until=Instant(NOW + 1))
    )


CONTEXT = Context()
BROKEN = _payload(CONTEXT)


def _entry(number: int, author: MemberId, payload: bytes, kind: EntryKind, hlc: int) -> OpenedEntry:
    return OpenedEntry(
        op_id=OpId(bytes([number]) * 32), index=0, kind=kind, payload=payload, subject=BOB, author=author,
        chain=ChainId(author + bytes(8)), seq=number, hlc=hlc,
    )  # fmt: skip


said = st.tuples(st.sampled_from(PEOPLE), st.sampled_from(Outcome), st.integers(0, 3), st.sampled_from([Verdict.EFFECTIVE, Verdict.VOID_ROLE]))


@given(st.lists(said, max_size=8), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_a_book_is_a_function_of_what_was_said_and_who_broke_it_clears_nobody(reviews: list[Any], shuffled: random.Random) -> None:
    told = [(_entry(0, PEOPLE[0], BROKEN, EntryKind.BREAK_GLASS, 0), Verdict.EFFECTIVE)]
    for number, (author, outcome, hlc, verdict) in enumerate(reviews, 1):
        review = GlassReview(subject=BOB, glass=glass_id(BROKEN), requester=PEOPLE[0], outcome=outcome, time=NOW)
        told.append((_entry(number, author, encode_review(review), EntryKind.REVIEW, hlc), verdict))
    books = []
    for _ in range(2):
        book = GlassBook(NETWORK, CONTEXT.id)
        for entry, _ in told:
            book.take(entry, Verdict.VOID_KEY)  # a verdict that changes later
        for entry, verdict in [*told, *told]:
            book.take(entry, verdict)
        books.append(book)
        shuffled.shuffle(told)
    first, second = (book.cases(BOB) for book in books)
    assert first == second and len(first) == 1
    reviewers = frozenset(PEOPLE)
    newest = {by: max((r[2], n, r[1]) for n, r in enumerate(reviews) if r[0] is by and r[3].effective)[2]
              for by in PEOPLE[1:] if any(r[0] is by and r[3].effective for r in reviews)}  # fmt: skip
    order = [Outcome.NOT_JUSTIFIED, Outcome.FOLLOW_UP, Outcome.JUSTIFIED]
    gravest = next((one for one in order if one in newest.values()), None)
    assert first[0].state(reviewers) is (State.OPEN if gravest is None else State[gravest.name])
    assert first[0].state(frozenset({PEOPLE[0]})) is State.OPEN
    assert sorted(books[0].close(BOB)) == sorted(((e.chain, e.seq), 0) for e, _ in told) and books[0].cases(BOB) == []


def test_learning_a_denial_never_opens_and_btg_goes_at_least_as_far_as_etreat() -> None:
    draw = random.Random(7)
    allowed = {"ETREAT": 0, "BTG": 0}
    for number in range(1500):
        seen = replace(view(draw), settings=ConsentSettings(implicit=ImplicitRule(number % 4)))
        refusing = replace(PLAIN, base=draw.choice((None, Effect.DENY)), rules=(rule(draw, Effect.DENY),), number=9)
        denial = Counted(id=DirectiveId(b"\x09" * 32), directive=refusing, permits=False, denies=True, contested=False, reason="")
        more = replace(seen, directives=(*seen.directives, denial))
        vouching = frozenset({PLAIN.signer} if draw.random() < 0.5 else ())
        like = pair(draw)[1]
        asked = {purposes: replace(like, purposes=purposes) for purposes in (("ETREAT",), ("BTG",), ("BTG", "ETREAT"))}
        opens = {purposes: against_breaking(seen, one, NOW, vouching) is None for purposes, one in asked.items()}
        assert opens["BTG",] >= opens["ETREAT",] == opens["BTG", "ETREAT"], (seen, asked)
        for purposes, one in asked.items():
            assert opens[purposes] >= (against_breaking(more, one, NOW, vouching) is None), (seen, one)
        allowed["ETREAT"] += opens["ETREAT",]
        allowed["BTG"] += opens["BTG",]
    assert 100 < allowed["ETREAT"] < allowed["BTG"] < 1450, allowed


def test_what_nobody_could_have_meant_is_passed_over() -> None:
    book = GlassBook(NETWORK, CONTEXT.id)
    for wrong in (_entry(1, PEOPLE[1], BROKEN, EntryKind.BREAK_GLASS, 0), replace(_entry(1, PEOPLE[0], BROKEN, EntryKind.BREAK_GLASS, 0), subject=None)):
        with pytest.raises(Malformed):
            book.take(wrong, Verdict.EFFECTIVE)
    with pytest.raises(Malformed):
        GlassBook(NETWORK, type(CONTEXT.id)(bytes(32))).take(_entry(1, PEOPLE[0], BROKEN, EntryKind.BREAK_GLASS, 0), Verdict.EFFECTIVE)
    assert book.subjects() == [] and book.find(glass_id(BROKEN)) is None


TERMS = RewardTerms(contract=1, token=2, window=3, salt=4, per_point=1, days=1, cap=1, least=1, first=0)


@given(purposes=st.sets(st.sampled_from(["BTG", "ETREAT", "HRESCH", "TREAT", "HPAYMT"]), min_size=1), receipts=st.booleans())
@settings(max_examples=40, deadline=None)
def test_broken_glass_is_never_rewarded(purposes: set[str], receipts: bool) -> None:
    """Whatever it is said to be for, with a receipt or without: the half itself earns nothing, and no emergency does."""
    context = CONTEXT
    request = replace(context.request(BOB, "lab", tuple(sorted(purposes))), salt=b"another salt 16b")
    finder = RelationFinder(NOW // DAY, TERMS)
    for half, author in ((Half.BREAK_GLASS, "lab"), (Half.DISCLOSED, "mercy")):
        told = half_of(request, half, context["mercy"].member, Answer.PERMIT, receipt=b"r" * 32 if receipts else b"", time=NOW)
        payload = access_draft(told, ()).payload
        finder.take(replace(_entry(1, context[author].member, payload, EntryKind.ACCESS, 0), subject=BOB))
    assert finder.relations(lambda entry: True) == [] == list(finder.worthless())


# -- vectors ----------------------------------------------------------------------------------------------------


def test_both_entries_have_the_bytes_of_the_vector_and_others_are_refused() -> None:
    payload = bytes.fromhex(VECTOR["broken"])
    broken, review = decode_broken(payload), decode_review(bytes.fromhex(VECTOR["review"]))
    assert encode_broken(broken) == payload and glass_id(payload).hex() == VECTOR["id"] == review.glass.hex()
    assert (broken.reason, broken.until, review.outcome.name) == (VECTOR["reason"], VECTOR["until"], VECTOR["outcome"])
    assert encode_review(review).hex() == VECTOR["review"] and unpack(payload)[0] == 1
    for why, text in VECTOR["refused"].items():
        with pytest.raises(Malformed):
            decode_broken(bytes.fromhex(text))
            pytest.fail(why)
    given, taken = (decode_right(bytes.fromhex(VECTOR[name])) for name in ("given", "taken"))
    assert right_id(encode_right(given)).hex() == VECTOR["right"] == taken.takes[0].hex() and encode_right(taken).hex() == VECTOR["taken"]
    assert GlassSettings().role is Role.ADMIN
