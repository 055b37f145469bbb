"""Explanations agree with decisions: what decides is named, what lacks nothing matches, and what is needed is said."""

from __future__ import annotations

import pytest

from medsync_protocol.access import Answer
from medsync_protocol.decision import _matches, judge
from medsync_protocol.explaining import explain
from medsync_protocol.ids import Instant
from medsync_protocol.rule import Effect
from tests.consent_world import NOW, World, deny, directive, permit, request
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
