"""Grants, denials and revocations at a member's own copy: what counts is carried, what would not is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from medsync_protocol.access import Answer
from medsync_protocol.directive import (
    Basis,
    Directive,
    Signed,
    encode_directive,
    sign_directive,
)
from medsync_protocol.errors import NotPermitted, UnknownSubject
from medsync_protocol.ids import ContextId, DirectiveId, Instant, SubjectRef
from medsync_protocol.rule import Effect, Rule, member_actor

from tests.desk_world import DAY, NOW, Context, key, seed
from tests.protocol.desk_steps import answer, document, grant, refusal, revoke, signed


@pytest.fixture
def context() -> Context:
    return Context()


@pytest.fixture
def ann(context: Context) -> SubjectRef:
    return context.enrol()


def test_a_signed_grant_is_carried_once(context: Context, ann: SubjectRef) -> None:
    written = grant(context, ann)
    one = signed(context, ann)
    again, drafts = context["city"].desk.grant_signed(NOW, one.document, one.signature)
    assert (again.id, again.number, drafts) == (written.id, 1, [])
    assert again.held is not None


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"context": ContextId(b"?" * 32)}, "wrong_context"),
        ({"until": NOW - 2 * DAY}, "until_before_from"),
        ({"signed_at": NOW - 31 * DAY}, "carried_late"),
        ({"signed_at": NOW + 2 * DAY}, "signed_early"),
        ({"basis": Basis.ATTESTED}, "basis"),
        ({"rules": (Rule(effect=Effect.PERMIT, purposes=()),)}, "empty_list"),
        ({"rules": (Rule(effect=Effect.PERMIT, purposes=("WHATEVER",)),)}, "unknown_purpose"),
        ({"rules": (Rule(effect=Effect.PERMIT, actions=("steal",)),)}, "unknown_action"),
        ({"rules": (), "base": None}, "empty_list"),
        ({"number": 0}, "number"),
    ],
)
def test_a_grant_that_would_not_count_is_refused(
    context: Context, ann: SubjectRef, changes: dict[str, Any], code: str
) -> None:
    made = document(context, ann, **changes)
    one = _sign_unchecked(made, "ann")
    assert refusal(lambda: context["mercy"].desk.grant_signed(NOW, one.document, one.signature)) == code


def _sign_unchecked(made: Directive, signer: str) -> Signed:
    """What a careless program signs: the form isn't looked at."""
    from medsync_protocol.crypto import sign

    encoded = encode_directive(made)
    return Signed(encoded, sign(seed(signer), b"medsync/directive/1", encoded))


def test_a_grant_by_a_key_outside_the_record_is_refused(context: Context, ann: SubjectRef) -> None:
    one = signed(context, ann, "bob")
    assert (
        refusal(lambda: context["mercy"].desk.grant_signed(NOW, one.document, one.signature))
        == "unknown_signer"
    )


def test_a_forged_or_unreadable_document_is_refused(context: Context, ann: SubjectRef) -> None:
    desk = context["mercy"].desk
    one = signed(context, ann)
    assert refusal(lambda: desk.grant_signed(NOW, one.document, bytes(64))) == "bad_signature"
    assert refusal(lambda: desk.grant_signed(NOW, b"\xc1", one.signature)) == "malformed"
    assert refusal(lambda: desk.revoke_signed(NOW, b"\xc1", one.signature)) == "malformed"


def test_a_number_is_used_once_and_never_after_a_sweep(context: Context, ann: SubjectRef) -> None:
    desk = context["mercy"].desk
    grant(context, ann)
    other = signed(context, ann, salt=b"t" * 16)
    assert refusal(lambda: desk.grant_signed(NOW, other.document, other.signature)) == "number_used"
    _, drafts = desk.revoke_attested(NOW, ann, series=key("ann"), all_before=5)
    context.write("mercy", drafts)
    swept = signed(context, ann, number=3)
    assert refusal(lambda: desk.grant_signed(NOW, swept.document, swept.signature)) == "number_taken_back"
    assert desk.application.next_number(ann, key("ann")) == 6


def test_an_unknown_subject_is_refused_everywhere(context: Context) -> None:
    desk = context["mercy"].desk
    nobody = SubjectRef(bytes(16))
    one = signed(context, nobody)
    for act in (
        lambda: desk.grant_signed(NOW, one.document, one.signature),
        lambda: desk.grant_attested(NOW, nobody, base=Effect.DENY),
        lambda: desk.revoke_attested(NOW, nobody, series=key("ann"), all_before=1),
        lambda: desk.change_keys(NOW, nobody),
        lambda: desk.link(NOW, (nobody, SubjectRef(b"\1" * 16))),
        lambda: desk.decide(NOW, context.request(nobody)),
    ):
        with pytest.raises(UnknownSubject):
            act()


def test_a_custodian_attests_but_not_to_itself_alone(context: Context) -> None:
    ann = context.enrol("lab", custodians=("mercy",))
    to_itself = (Rule(effect=Effect.PERMIT, actors=(member_actor(context["lab"].member),)),)
    lab, mercy = context["lab"].desk, context["mercy"].desk
    assert refusal(lambda: lab.grant_attested(NOW, ann, rules=to_itself)) == "self_attested"
    assert refusal(lambda: context["coast"].desk.grant_attested(NOW, ann, rules=to_itself)) == "not_custodian"
    written, drafts = mercy.grant_attested(NOW, ann, rules=to_itself)
    context.write("mercy", drafts)
    context.beat("mercy", "city")
    assert answer(context, ann).receipt.decision.directives == (written.id,)


def test_hiding_behind_an_exception_does_not_make_an_attested_grant_another_s(context: Context) -> None:
    """The exception names two, its rule only the lab: the lab stays the only recipient."""
    ann = context.enrol("lab", custodians=("mercy",))
    lab, coast = (member_actor(context[n].member) for n in ("lab", "coast"))
    both = Rule(effect=Effect.PERMIT, actors=tuple(sorted((lab, coast))))
    sly = (Rule(effect=Effect.DENY, actors=(lab,), exceptions=(both,)),)
    assert refusal(lambda: context["lab"].desk.grant_attested(NOW, ann, rules=sly)) == "self_attested"


def test_any_member_attests_a_denial(context: Context, ann: SubjectRef) -> None:
    grant(context, ann)
    _, drafts = context["coast"].desk.grant_attested(NOW, ann, base=Effect.DENY)
    context.write("coast", drafts)
    denial = Rule(effect=Effect.DENY, actors=(member_actor(context["lab"].member),))
    _, drafts = context["coast"].desk.grant_attested(NOW, ann, rules=(denial,))
    context.write("coast", drafts)
    assert answer(context, ann).receipt.decision.answer is Answer.DENY


def test_nobody_else_attests_in_a_member_s_name(context: Context, ann: SubjectRef) -> None:
    mercy = context["mercy"].replica.identity
    made = document(context, ann, signer="ann", basis=Basis.ATTESTED)
    one = sign_directive(replace(made, signer=mercy.member), mercy.signing_seed)
    assert (
        refusal(lambda: context["coast"].desk.grant_signed(NOW, one.document, one.signature))
        == "unknown_signer"
    )
    assert context["mercy"].desk.grant_signed(NOW, one.document, one.signature)[1]


def test_a_document_names_directives_of_its_own_subject(context: Context, ann: SubjectRef) -> None:
    other = context.enrol("mercy")
    written = grant(context, other)
    one = signed(context, ann, supersedes=(written.id,))
    desk = context["mercy"].desk
    assert refusal(lambda: desk.grant_signed(NOW, one.document, one.signature)) == "other_subject"
    assert (
        refusal(lambda: desk.revoke_attested(NOW, ann, targets=[DirectiveId(written.id)])) == "other_subject"
    )
    assert (
        refusal(lambda: desk.revoke_attested(NOW, ann, targets=[DirectiveId(bytes(32))]))
        == "unknown_directive"
    )
    assert refusal(lambda: desk.revoke_attested(NOW, ann)) == "empty_list"


def test_a_consent_is_verified_by_named_checks(context: Context, ann: SubjectRef) -> None:
    written = grant(context, ann)
    named = DirectiveId(written.id)
    found = context["lab"].desk.verify_consent(NOW, named)
    assert [name for name, ok in found.checks.items() if not ok] == ["held_by_a_majority_of_homes"]
    context.beat("mercy", "city")
    assert context["lab"].desk.verify_consent(NOW, named).ok
    revoke(context, ann, written.id)
    found = context["lab"].desk.verify_consent(NOW, named)
    assert {name for name, ok in found.checks.items() if not ok} == {"counts", "not_taken_back"}
    early = context["lab"].desk.verify_consent(Instant(NOW - 2 * DAY), named)
    assert not early.checks["in_force"]
    assert (
        refusal(lambda: context["lab"].desk.verify_consent(NOW, DirectiveId(bytes(32))))
        == "unknown_directive"
    )


def test_attested_denials_are_lifted_by_custodians_and_signed_ones_are_not(
    context: Context, ann: SubjectRef
) -> None:
    denial = grant(context, ann, rules=(), base=Effect.DENY)
    with pytest.raises(NotPermitted):
        context["coast"].desk.grant_attested(NOW, ann, base=Effect.PERMIT)
    _, drafts = context["mercy"].desk.revoke_attested(NOW, ann, targets=[DirectiveId(denial.id)])
    context.write("mercy", drafts)
    assert answer(context, ann).receipt.decision.answer is Answer.DENY
    revoke(context, ann, denial.id)
    context.beat("mercy", "city")
    assert answer(context, ann).receipt.decision.answer is Answer.NO_CONSENT
