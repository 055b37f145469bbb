"""Decisions at a member's own copy: a receipt and both halves, or a refusal; and what else is logged there."""

from __future__ import annotations

from dataclasses import replace

import pytest
from medsync_protocol.access import Answer, Half, decode_access, half_of
from medsync_protocol.errors import Refused
from medsync_protocol.ids import ContextId, Instant, SubjectRef
from medsync_protocol.kinds import EntryKind
from medsync_protocol.receipt import decode_receipt
from medsync_protocol.rule import Effect, Rule, group_actor, member_actor

from tests.desk_world import MINUTE, NOW, Context
from tests.protocol.desk_steps import answer, grant, refusal, revoke


@pytest.fixture
def context() -> Context:
    return Context()


@pytest.fixture
def ann(context: Context) -> SubjectRef:
    return context.enrol()


def test_a_permit_leaves_a_receipt_and_both_halves(context: Context, ann: SubjectRef) -> None:
    written = grant(context, ann)
    context.beat("mercy", "coast")
    asked = context.request(ann)
    entry, drafts = context["mercy"].desk.decide(NOW, asked)
    assert entry.receipt.decision.answer is Answer.PERMIT
    assert entry.receipt.decision.directives == (written.id,)
    assert [draft.kind for draft in drafts] == [EntryKind.RECEIPT, EntryKind.ACCESS]
    parties = {context[name].member for name in ("mercy", "city", "coast", "lab")}
    assert all(set(draft.parties) == parties for draft in drafts)
    assert decode_receipt(drafts[0].payload) == entry
    custodian_half = decode_access(drafts[1].payload)
    half, more = context["lab"].desk.requested(NOW, asked, entry)
    assert decode_access(more[0].payload) == half
    assert (custodian_half.half, half.half) == (Half.DISCLOSED, Half.REQUESTED)
    assert custodian_half.match == half.match
    assert custodian_half.receipt == half.receipt == entry.receipt.id


def test_no_consent_and_deny_leave_a_refusal(context: Context, ann: SubjectRef) -> None:
    context.beat("mercy", "coast")
    for base in (None, Effect.DENY):
        if base is not None:
            grant(context, ann, rules=(), base=base)
        entry, drafts = context["mercy"].desk.decide(NOW, context.request(ann))
        half = decode_access(drafts[1].payload)
        assert half.half is Half.REFUSED
        assert (
            half.outcome
            is entry.receipt.decision.answer
            is (Answer.NO_CONSENT if base is None else Answer.DENY)
        )


def test_a_revocation_binds_where_it_is_made_before_it_is_effective(
    context: Context, ann: SubjectRef
) -> None:
    written = grant(context, ann)
    context.beat("mercy", "city", "coast")
    revocation = revoke(context, ann, written.id, at="city", without=("mercy", "coast", "lab"))
    city = context["city"].desk
    assert city.application.revocation_level(ann, revocation, context["city"].book) == "recorded"
    assert answer(context, ann, "city").receipt.decision.answer is Answer.NO_CONSENT
    assert answer(context, ann, "mercy").receipt.decision.answer is Answer.PERMIT


def test_an_effective_revocation_is_honoured_within_the_age(context: Context, ann: SubjectRef) -> None:
    """Mercy misses it; once two of three homes hold it, five minutes later Mercy permits no more."""
    written = grant(context, ann)
    context.beat("mercy", "city", "coast")
    revocation = revoke(context, ann, written.id, at="city", without=("mercy", "lab"))
    context.clock = Instant(NOW + MINUTE)
    context.beat("city", "coast")
    city = context["city"]
    assert city.desk.application.revocation_level(ann, revocation, city.book) == "effective"
    assert answer(context, ann, "mercy").receipt.decision.answer is Answer.PERMIT
    context.clock = Instant(NOW + 5 * MINUTE + 1)
    context.beat("mercy", "city", "coast")
    assert answer(context, ann, "mercy").receipt.decision.answer is Answer.INDETERMINATE


def test_only_custodians_decide_and_only_members_ask(context: Context, ann: SubjectRef) -> None:
    assert refusal(lambda: context["coast"].desk.decide(NOW, context.request(ann))) == "not_custodian"
    mercy = context["mercy"].desk
    assert refusal(lambda: mercy.decide(NOW, context.request(ann, "auditor"))) == "not_permitted"
    elsewhere = replace(context.request(ann), context=ContextId(b"?" * 32))
    assert refusal(lambda: mercy.decide(NOW, elsewhere)) == "wrong_context"


def test_groups_count_only_when_attested_to_the_custodian(context: Context, ann: SubjectRef) -> None:
    team = group_actor(b"oncology board")
    grant(context, ann, rules=(Rule(effect=Effect.PERMIT, actors=(team,)),))
    context.beat("mercy", "coast")
    asked = context.request(ann, groups=(team,))
    desk = context["mercy"].desk
    assert refusal(lambda: desk.decide(NOW, asked)) == "group_not_attested"
    assert desk.decide(NOW, asked, groups=[team])[0].receipt.decision.answer is Answer.PERMIT


def test_nobody_asks_in_another_member_s_name(context: Context, ann: SubjectRef) -> None:
    with pytest.raises(Refused, match="another member's name"):
        context.request(ann, groups=(member_actor(context["city"].member),))


def test_a_receipt_that_does_not_hold_is_not_logged(context: Context, ann: SubjectRef) -> None:
    grant(context, ann)
    context.beat("mercy", "coast")
    asked = context.request(ann)
    entry, _ = context["mercy"].desk.decide(NOW, asked)
    lab = context["lab"].desk
    forged = replace(entry, receipt=replace(entry.receipt, signature=bytes(64)))
    assert refusal(lambda: lab.requested(NOW, asked, forged)) == "bad_receipt"
    other = replace(asked, salt=b"another salt 16b")
    assert refusal(lambda: lab.requested(NOW, other, entry)) == "bad_receipt"
    assert refusal(lambda: context["city"].desk.requested(NOW, asked, entry)) == "not_permitted"
    _, drafts = context["city"].desk.change_members(
        NOW, ann, custodians=[context["city"].member], homes=[context["city"].member]
    )
    context.write("city", drafts)
    assert refusal(lambda: lab.requested(NOW, asked, entry)) == "bad_receipt"


def test_halves_are_logged_by_those_they_belong_to(context: Context, ann: SubjectRef) -> None:
    asked = context.request(ann)
    mercy = context["mercy"].member
    halves = {
        half: half_of(asked, half, mercy, Answer.PERMIT, receipt=b"", time=NOW)
        for half in (Half.REQUESTED, Half.DISCLOSED, Half.REFUSED, Half.LOG_READ)
    }
    count, drafts = context["mercy"].desk.logged(NOW, [halves[Half.DISCLOSED], halves[Half.REFUSED]])
    assert (count, len(drafts)) == (2, 2)
    lab = context["lab"].desk
    assert lab.logged(NOW, [halves[Half.REQUESTED], halves[Half.LOG_READ]])[0] == 2
    assert refusal(lambda: lab.logged(NOW, [halves[Half.DISCLOSED]])) == "other_half"
    foreign = half_of(asked, Half.REQUESTED, context["coast"].member, Answer.PERMIT, receipt=b"", time=NOW)
    assert refusal(lambda: lab.logged(NOW, [foreign])) == "not_custodian"
    unknown = replace(halves[Half.REQUESTED], purposes=("WHATEVER",))
    assert refusal(lambda: lab.logged(NOW, [unknown])) == "unknown_purpose"
    strange = replace(halves[Half.REQUESTED], action="steal")
    assert refusal(lambda: lab.logged(NOW, [strange])) == "unknown_action"
