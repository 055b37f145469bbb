"""What a member does at its own copy: writes that make sense, decisions with receipts, checks by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from medsync_protocol.access import Answer, Half, decode_access, half_of
from medsync_protocol.codec import pack, unpack
from medsync_protocol.desk import Written
from medsync_protocol.directive import (
    Basis,
    Directive,
    Revocation,
    Signed,
    encode_directive,
    sign_directive,
    sign_revocation,
)
from medsync_protocol.errors import NotPermitted, Refused, UnknownSubject
from medsync_protocol.ids import ContextId, DirectiveId, Instant, SubjectRef
from medsync_protocol.kinds import EntryKind
from medsync_protocol.receipt import ReceiptEntry, Recomputed, decode_receipt
from medsync_protocol.rule import Effect, Rule, group_actor, member_actor
from medsync_protocol.subject import make_link

from tests.desk_world import DAY, MINUTE, NETWORK, NOW, Context, key, seed


@pytest.fixture
def context() -> Context:
    return Context()


@pytest.fixture
def ann(context: Context) -> SubjectRef:
    return context.enrol()


def document(world: Context, subject: SubjectRef, signer: str = "ann", **changes: Any) -> Directive:
    fields: dict[str, Any] = {
        "network": NETWORK, "context": world.id, "subject": subject, "signer": key(signer), "number": 1, "base": None,
        "rules": (Rule(effect=Effect.PERMIT, actors=(member_actor(world["lab"].member),), purposes=("HRESCH",)),),
        "valid_from": NOW - DAY, "until": None, "basis": Basis.PATIENT_SIGNED, "signed_at": NOW, "salt": b"s" * 16,
    }  # fmt: skip
    return Directive(**{**fields, **changes})


def signed(context: Context, subject: SubjectRef, signer: str = "ann", **changes: Any) -> Signed:
    return sign_directive(document(context, subject, signer, **changes), seed(signer))


def grant(context: Context, subject: SubjectRef, at: str = "mercy", **changes: Any) -> Written:
    one = signed(context, subject, **changes)
    written, drafts = context[at].desk.grant_signed(context.clock, one.document, one.signature)
    context.write(at, drafts)
    return written


def revoke(
    context: Context, subject: SubjectRef, *targets: bytes, at: str = "city", without: tuple[str, ...] = ()
) -> bytes:
    one = sign_revocation(
        Revocation(
            network=NETWORK, context=context.id, subject=subject, signer=key("ann"), targets=tuple(map(DirectiveId, targets)),
            signed_at=context.clock, salt=b"r" * 16,
        ),
        seed("ann"),
    )  # fmt: skip
    written, drafts = context[at].desk.revoke_signed(context.clock, one.document, one.signature)
    context.write(at, drafts, *without)
    return written.id


def answer(context: Context, subject: SubjectRef, at: str = "mercy", **more: Any) -> ReceiptEntry:
    entry, drafts = context[at].desk.decide(context.clock, context.request(subject, **more))
    context.write(at, drafts)
    return entry


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(Refused) as caught:
        act()
    assert caught.value.advice
    return caught.value.code


# -- subjects -----------------------------------------------------------------------------------------------------


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


# -- grants -------------------------------------------------------------------------------------------------------


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


# -- decisions ----------------------------------------------------------------------------------------------------


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


# -- re-computation -----------------------------------------------------------------------------------------------


def test_every_party_recomputes_a_receipt(context: Context, ann: SubjectRef) -> None:
    grant(context, ann)
    context.beat("mercy", "coast")
    entry = answer(context, ann)
    grant(context, ann, number=2, base=Effect.DENY, rules=())  # what comes later changes nothing
    for name in ("mercy", "city", "coast", "lab"):
        assert context[name].desk.recompute(entry) is Recomputed.MATCHES


def test_a_receipt_recomputes_across_the_finality_of_a_change_of_homes(
    context: Context, ann: SubjectRef
) -> None:
    """Before a change of homes is final both sets are asked: the receipt says which, and nobody can leave one out."""
    grant(context, ann)
    custodians = [context["mercy"].member, context["city"].member]
    _, drafts = context["city"].desk.change_members(
        NOW, ann, custodians=custodians, homes=[context["coast"].member]
    )
    context.write("city", drafts)
    context.beat("mercy", "city", "coast")
    entry = answer(context, ann)
    assert entry.receipt.decision.answer is Answer.PERMIT
    for name in ("city", "lab"):
        context[name].desk.application.set_final(context[name].replica.vector)
        assert context[name].desk.recompute(entry) is Recomputed.MATCHES
    fields = unpack(entry.view)
    assert len(fields[4]) == 2
    for spoilt in ([], fields[4][:1], [[context["lab"].member]]):
        view = pack([*fields[:4], spoilt, fields[5]])
        assert context["lab"].desk.recompute(replace(entry, view=view)) is Recomputed.OTHER_INPUTS


def test_recomputing_says_what_is_wrong(context: Context, ann: SubjectRef) -> None:
    grant(context, ann)
    context.beat("mercy", "coast")
    entry = answer(context, ann)
    desk = context["city"].desk
    lied = replace(entry.receipt, time=Instant(NOW + 1))
    assert desk.recompute(replace(entry, receipt=lied)) is Recomputed.BAD_SIGNATURE
    assert desk.recompute(replace(entry, request=b"")) is Recomputed.INPUTS_ERASED
    assert desk.recompute(replace(entry, view=b"")) is Recomputed.INPUTS_ERASED
    assert desk.recompute(replace(entry, view=b"\xc1")) is Recomputed.OTHER_INPUTS
    fields = unpack(entry.view)
    other = pack([*fields[:2], 7, *fields[3:]])
    assert desk.recompute(replace(entry, view=other)) is Recomputed.OTHER_INPUTS


def test_a_copy_that_lacks_an_input_says_so(context: Context, ann: SubjectRef) -> None:
    one = signed(context, ann)
    _, drafts = context["mercy"].desk.grant_signed(NOW, one.document, one.signature)
    context.write("mercy", drafts, "lab")
    context.beat("mercy", "coast")
    entry, _ = context["mercy"].desk.decide(NOW, context.request(ann))
    assert context["lab"].desk.recompute(entry) is Recomputed.INPUTS_MISSING
    assert context["city"].desk.recompute(entry) is Recomputed.MATCHES


def test_a_permit_beside_something_unreadable_rests_on_what_others_recompute(
    context: Context, ann: SubjectRef
) -> None:
    grant(context, ann)
    context.beat("mercy", "coast")
    grant(context, ann, at="lab", number=2, salt=b"t" * 16)
    lab = context["lab"].replica
    context["mercy"].hidden[lab.chain] = lab.vector[lab.chain] - 1
    entry, _ = context["mercy"].desk.decide(NOW, context.request(ann))
    assert entry.receipt.decision.answer is Answer.PERMIT
    assert len(entry.receipt.decision.directives) == 1
    assert context["city"].desk.recompute(entry) is Recomputed.MATCHES


# -- the log, and checks by name ----------------------------------------------------------------------------------


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
