"""Explanations agree with decisions: what decides is named, what lacks nothing matches, and what is needed is said."""

from __future__ import annotations

from dataclasses import replace

import pytest

from medsync_protocol.access import Answer
from medsync_protocol.decision import ConsentSettings, _matches, judge
from medsync_protocol.directive import revocation_id
from medsync_protocol.drafts import revocation_draft
from medsync_protocol.errors import BadSignature
from medsync_protocol.explaining import explain
from medsync_protocol.ids import Instant
from medsync_protocol.rule import Effect
from tests.consent_world import NOW, RECORD, World, deny, directive, named, permit, request, revocation
from tests.desk_world import DAY, Context
from tests.protocol.test_decision import TABLE, Row


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.says)
def test_an_explanation_agrees_with_the_decision(row: Row) -> None:
    world = World.enrolled()
    for signed in row.directives:
        world.direct(signed)
    asked = request(**row.ask)
    view, _ = world.application.view(asked.subject, now=NOW, held={}, book=world.book)
    found = explain(view, asked, NOW)
    assert found.decision == judge(view, asked, NOW) and found.decision.answer is row.answer
    assert {one.rule for one in found.findings if one.decides} == set(found.decision.rules)
    rules = {one.id: one.directive for one in view.directives}
    for one in found.findings:
        named, index, exception = one.rule
        if index is not None:
            rule = rules[named].rules[index]
            rule = rule if exception is None else (rule.exceptions or ())[exception]
            needed = all if one.effect is Effect.PERMIT else any
            assert (not one.missing) == needed(_matches(rule, asked, purpose, NOW) for purpose in asked.purposes)
        assert not (one.decides and one.unheard)
    assert bool(found.needed) == (row.answer is not Answer.PERMIT)


def test_what_would_have_been_needed_is_said() -> None:
    world = World.enrolled()
    asked = request()
    narrow = world.direct(directive(permit(types=("Observation",), purposes=("TREAT",)), number=1))
    view, _ = world.application.view(asked.subject, now=NOW, held={}, book=world.book)
    (needed,) = explain(view, asked, NOW).needed
    assert "purposes, types" in needed and narrow is not None
    world.direct(directive(deny(), number=2))
    view, _ = world.application.view(asked.subject, now=NOW, held={}, book=world.book)
    found = explain(view, asked, NOW)
    (needed,) = found.needed
    assert found.decision.answer is Answer.DENY and "taken back" in needed


def test_a_consent_that_was_taken_back_says_when_and_by_what() -> None:
    world = World.enrolled()
    kept, replaced = directive(permit(), number=1), directive(permit(), number=2)
    world.direct(kept)
    world.direct(replaced)
    later = directive(permit(purposes=("TREAT",)), number=3, supersedes=[named(kept), named(replaced)], signed_at=NOW - 3_000)
    world.direct(later)
    first, second = (revocation(named(kept), signer=signer) for signer in ("ann", "guardian"))
    for signed, at in ((second, NOW), (first, NOW - 500)):
        world.add(revocation_draft(signed, RECORD.subject_key), "lab", hlc=at)
    asked = request()
    view, _ = world.application.view(asked.subject, now=NOW, held={}, book=world.book)
    found = explain(view, asked, NOW)
    ended = {one.rule[0]: one.ended for one in found.findings}
    assert ended[named(later)] is None and found.decision.answer is Answer.NO_CONSENT
    one, other = ended[named(kept)], ended[named(replaced)]
    assert one is not None and (one.why, one.document, one.signed_at, one.recorded) == ("revoked", revocation_id(first.document), NOW - DAY, NOW - 500)
    assert other is not None and (other.why, other.document) == ("superseded", named(later)), "a revocation is told first"
    assert any(f"revoked on 2027-01-14 08:00:00 UTC by revocation {one.document.hex()}" in text for text in found.needed)


def test_the_past_is_explained_by_what_was_written_until_then() -> None:
    context = Context()
    subject = context.enrol()
    before = context.clock
    context.clock = Instant(context.clock + DAY)
    _, drafts = context["mercy"].desk.grant_attested(context.clock, subject, base=Effect.PERMIT)
    context.write("mercy", drafts)
    asked = context.request(subject)
    desk = context["city"].desk
    assert desk.explain(context.clock, asked).decision.answer is Answer.INDETERMINATE  # no heartbeat was heard
    assert desk.explain(context.clock, asked, context.clock).decision.answer is Answer.PERMIT
    past = desk.explain(context.clock, asked, Instant(before + 1))
    assert (past.decision.answer, past.findings) == (Answer.NO_CONSENT, ())


def test_a_receipt_is_explained_by_the_view_that_it_was_decided_on() -> None:
    context = Context()
    subject = context.enrol()
    _, drafts = context["mercy"].desk.grant_attested(context.clock, subject, base=Effect.PERMIT)
    context.write("mercy", drafts)
    context.beat("mercy", "city", "coast")
    entry, drafts = context["mercy"].desk.decide(context.clock, context.request(subject))
    context.write("mercy", drafts)
    context.clock = Instant(context.clock + DAY)
    _, drafts = context["mercy"].desk.grant_attested(context.clock, subject, base=Effect.DENY)
    context.write("mercy", drafts)
    found = context["city"].desk.review.explain_receipt(entry)
    assert found.decision.answer is Answer.PERMIT and [one.decides for one in found.findings] == [True]


def test_a_receipt_proves_that_a_view_was_fresh_when_it_was_decided_and_for_as_long_as_its_heartbeats_hold() -> None:
    context = Context()
    subject = context.enrol()
    _, drafts = context["mercy"].desk.grant_attested(context.clock, subject, base=Effect.PERMIT)
    context.write("mercy", drafts)
    context.beat("mercy", "city", "coast")
    entry, drafts = context["mercy"].desk.decide(context.clock, context.request(subject))
    context.write("mercy", drafts)
    decided, asked, desk = context.clock, context.request(subject), context["city"].desk
    assert desk.explain(context.clock, asked).fresh is True
    assert desk.review.explain_receipt(entry).fresh is True
    assert desk.explain(context.clock, asked, decided).fresh is None, "nobody keeps heartbeats"
    limit = ConsentSettings().age_for(asked.purposes)
    for at, fresh in ((decided, True), (decided + limit, True), (decided + limit + 1, None), (decided - 1, None)):
        assert desk.explain(context.clock, asked, Instant(at), entry).fresh is fresh, at - decided
    other = context.enrol("city", keys=("bob",))
    assert desk.explain(context.clock, context.request(other), decided, entry).fresh is None, "another patient's proves nothing"
    forged = replace(entry, receipt=replace(entry.receipt, signature=bytes(64)))
    with pytest.raises(BadSignature):
        desk.explain(context.clock, asked, decided, forged)
    context.clock = Instant(context.clock + DAY)
    assert context["city"].desk.explain(context.clock, asked).fresh is False
