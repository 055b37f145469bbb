"""A subject's record at a member's own copy: enrolling, keys, custodians and homes, links."""

from __future__ import annotations


import pytest
from medsync_protocol.access import Answer
from medsync_protocol.ids import SubjectRef
from medsync_protocol.rule import Effect
from medsync_protocol.subject import make_link

from tests.desk_world import NETWORK, NOW, Context, key, seed
from tests.protocol.desk_steps import answer, grant, refusal, revoke


@pytest.fixture
def context() -> Context:
    return Context()


@pytest.fixture
def ann(context: Context) -> SubjectRef:
    return context.enrol()


def test_every_member_learns_an_enrolled_subject(context: Context, ann: SubjectRef) -> None:
    for place in context.places.values():
        record = place.desk.application.subject(ann)
        assert record.custodians == {context["mercy"].member, context["city"].member}
        assert record.homes == {context[n].member for n in ("mercy", "city", "coast")}
        assert record.patient_keys == {key("ann")}


def test_enrolling_alone_makes_a_custodian_and_a_home(context: Context) -> None:
    subject, drafts = context["city"].desk.enrol(NOW)
    context.write("city", drafts)
    record = context["lab"].desk.application.subject(subject)
    assert record.custodians == record.homes == {context["city"].member}


def test_no_reader_and_no_stranger_is_a_home_or_custodian(context: Context) -> None:
    desk = context["mercy"].desk
    assert refusal(lambda: desk.enrol(NOW, homes=[context["auditor"].member])) == "reader"
    assert refusal(lambda: desk.enrol(NOW, custodians=[key("stranger")])) == "unknown_member"  # type: ignore[list-item]


def test_a_lost_key_is_replaced_by_a_custodian_and_by_nobody_else(context: Context, ann: SubjectRef) -> None:
    grant(context, ann)
    refused = lambda: context["lab"].desk.change_keys(NOW, ann, drop=[key("ann")])  # noqa: E731
    assert refusal(refused) == "not_custodian"
    revision, drafts = context["city"].desk.change_keys(NOW, ann, add_patient=[key("new")], drop=[key("ann")])
    context.write("city", drafts)
    assert revision == 1
    record = context["lab"].desk.application.subject(ann)
    assert record.patient_keys == {key("new")}
    assert record.former_keys == {key("ann")}
    context.beat("mercy", "city")
    assert answer(context, ann).receipt.decision.answer is Answer.NO_CONSENT


def test_a_dropped_key_lifts_none_of_its_denials(context: Context, ann: SubjectRef) -> None:
    denial = grant(context, ann, rules=(), base=Effect.DENY)
    _, drafts = context["city"].desk.change_keys(NOW, ann, add_patient=[key("new")], drop=[key("ann")])
    context.write("city", drafts)
    revoke(context, ann, denial.id)
    assert answer(context, ann).receipt.decision.answer is Answer.DENY


def test_a_key_that_is_not_there_is_not_dropped(context: Context, ann: SubjectRef) -> None:
    assert refusal(lambda: context["city"].desk.change_keys(NOW, ann, drop=[key("bob")])) == "unknown_key"


def test_concurrent_revisions_are_joined_by_the_next(context: Context, ann: SubjectRef) -> None:
    made = [
        context[name].desk.change_keys(NOW, ann, add_patient=[key(new)])[1]
        for name, new in (("mercy", "one"), ("city", "two"))
    ]
    missed = context.write("mercy", made[0], "city")
    context.write("city", made[1])
    context.deliver(missed, "city")
    application = context["city"].desk.application
    assert application.subject(ann).patient_keys == {key("ann")}
    assert len(application.records(ann)) == 2
    keys = [key("one"), key("two")]
    _, drafts = context["city"].desk.change_keys(NOW, ann, add_patient=keys)
    context.write("city", drafts)
    assert application.subject(ann).patient_keys == {key("ann"), *keys}


def test_other_homes_are_named_by_custodians(context: Context, ann: SubjectRef) -> None:
    mercy = context["mercy"]
    _, drafts = mercy.desk.change_members(NOW, ann, custodians=[mercy.member], homes=[mercy.member])
    context.write("mercy", drafts)
    record = context["city"].desk.application.subject(ann)
    assert record.custodians == {mercy.member}
    assert len(record.home_sets) == 2  # both answer until a checkpoint settles the change


def test_pseudonyms_are_linked_by_a_custodian_or_the_patient(context: Context, ann: SubjectRef) -> None:
    other = context.enrol("coast", homes=("coast",), custodians=())
    refused = lambda: context["lab"].desk.link(NOW, (ann, other))  # noqa: E731
    assert refusal(refused) == "not_custodian"
    by_patient = make_link(NETWORK, context.id, (ann, other), signer=key("ann"), seed=seed("ann"))
    wrong = lambda: context["lab"].desk.link(NOW, (ann, other), signer=key("ann"), signature=bytes(64))  # noqa: E731
    assert refusal(wrong) == "bad_signature"
    bob = make_link(NETWORK, context.id, (ann, other), signer=key("bob"), seed=seed("bob"))
    strange = lambda: context["lab"].desk.link(NOW, (ann, other), signer=key("bob"), signature=bob.signature)  # noqa: E731
    assert refusal(strange) == "unknown_signer"
    _, drafts = context["lab"].desk.link(NOW, (ann, other), signer=key("ann"), signature=by_patient.signature)
    context.write("lab", drafts)
    denial = grant(context, other, at="coast", base=Effect.DENY, rules=())
    decided = answer(context, ann).receipt.decision
    assert (decided.answer, decided.directives) == (Answer.DENY, (denial.id,))
