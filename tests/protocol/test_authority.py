"""Who may write what: the table of PROTOCOL §1 and §3.5, from documents to answers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from medsync_protocol.access import Answer
from medsync_protocol.authority import WHO_MAY, Act, Source
from medsync_protocol.directive import Basis
from medsync_protocol.drafts import subject_draft
from medsync_protocol.ids import ChainId
from medsync_protocol.kinds import Verdict
from medsync_protocol.rule import Effect, member_actor
from medsync_protocol.subject import SubjectRecord, make_link
from tests.consent_world import (
    ANN,
    CITY,
    CONTEXT,
    DAY,
    LAB,
    MERCY,
    NETWORK,
    NOW,
    RECORD,
    World,
    deny,
    directive,
    key,
    named,
    permit,
    request,
    revocation,
    salt,
    seed,
)

ATTESTED = Basis.ATTESTED
CUT_OFF = Verdict.VOID_AFTER_CUT_OFF


def test_the_table_is_the_one_in_the_specification() -> None:
    everyone = set(Source) - {Source.NOBODY}
    assert {act: set(sources) for act, sources in WHO_MAY.items()} == {
        Act.GRANT: {Source.PATIENT, Source.DELEGATE, Source.CUSTODIAN},
        Act.DENY: everyone,
        Act.TAKE_BACK: everyone,
        Act.LIFT_OWN: {Source.PATIENT, Source.DELEGATE, Source.CUSTODIAN, Source.MEMBER},
        Act.LIFT_SIGNED: {Source.PATIENT},
        Act.LIFT_ATTESTED: {Source.PATIENT, Source.CUSTODIAN},
    }


@pytest.mark.parametrize(
    ("signer", "carrier", "verdict", "answer"),
    [
        ("ann", "mercy", Verdict.EFFECTIVE, Answer.PERMIT),
        ("ann", "lab", Verdict.EFFECTIVE, Answer.PERMIT),  # any holder carries what the patient signed
        ("ann", "lab", CUT_OFF, Answer.PERMIT),  # patient-signed directives always count (§3.5)
        ("guardian", "lab", Verdict.EFFECTIVE, Answer.PERMIT),
        ("mercy", "mercy", Verdict.EFFECTIVE, Answer.PERMIT),
        ("mercy", "lab", Verdict.EFFECTIVE, Answer.NO_CONSENT),  # an attestation is carried by who attests
        ("mercy", "mercy", CUT_OFF, Answer.NO_CONSENT),
        ("coast", "coast", Verdict.EFFECTIVE, Answer.NO_CONSENT),  # a home, but no custodian
        ("lab", "lab", Verdict.EFFECTIVE, Answer.NO_CONSENT),
        ("stranger", "lab", Verdict.EFFECTIVE, Answer.NO_CONSENT),
    ],
)
def test_who_may_grant(signer: str, carrier: str, verdict: Verdict, answer: Answer) -> None:
    world = World.enrolled()
    world.direct(directive(permit(), signer=signer), carrier, verdict)
    assert world.ask().answer is answer


@pytest.mark.parametrize(
    ("signer", "carrier", "verdict", "denies"),
    [
        ("ann", "lab", Verdict.EFFECTIVE, True),
        ("ann", "lab", Verdict.VOID_NOT_A_MEMBER, True),
        ("lab", "lab", Verdict.EFFECTIVE, True),
        ("stranger", "lab", Verdict.EFFECTIVE, True),  # the carrier is a member: it vouches
        ("lab", "lab", CUT_OFF, True),  # contested, in force until confirmed or lifted
        ("lab", "lab", Verdict.VOID_NOT_A_MEMBER, False),
        ("lab", "lab", Verdict.VOID_ROLE, False),
    ],
)
def test_who_may_deny(signer: str, carrier: str, verdict: Verdict, denies: bool) -> None:
    world = World.enrolled()
    world.direct(directive(permit()))
    world.direct(directive(deny(), signer=signer), carrier, verdict)
    assert world.ask().answer is (Answer.DENY if denies else Answer.PERMIT)


def test_a_custodian_cannot_attest_a_grant_to_itself_alone() -> None:
    world = World.enrolled()
    world.direct(directive(permit(actors=(member_actor(MERCY),)), signer="mercy", basis=ATTESTED))
    assert world.ask(request(requester=MERCY)).answer is Answer.NO_CONSENT
    [counted] = world.application.directives(ANN)
    assert counted.reason == "attested by its only recipient"
    both = tuple(sorted((member_actor(MERCY), member_actor(LAB))))
    world.direct(directive(permit(actors=both), signer="mercy", number=2, basis=ATTESTED))
    assert world.ask(request(requester=MERCY)).answer is Answer.NO_CONSENT, "decision 12: not with company either"
    assert world.ask(request(requester=LAB)).answer is Answer.PERMIT


def test_a_grant_that_is_carried_a_month_late_is_refused() -> None:
    for late, answer in ((30 * DAY, Answer.PERMIT), (30 * DAY + 1, Answer.NO_CONSENT)):
        world = World.enrolled()
        world.direct(directive(permit(), signed_at=NOW - late))
        assert world.ask().answer is answer
    world.direct(directive(deny(), number=2, signed_at=NOW - 300 * DAY))
    assert world.ask().answer is Answer.DENY


def test_the_first_carrier_counts_for_the_month() -> None:
    world = World.enrolled()
    signed = directive(permit(), signed_at=NOW - 40 * DAY)
    world.direct(signed, "city")
    assert world.ask().answer is Answer.NO_CONSENT
    world.direct(signed, "mercy", hlc=NOW - 39 * DAY)
    assert world.ask().answer is Answer.PERMIT


def test_a_void_operation_does_not_back_date_a_grant_and_none_can_spoil_one() -> None:
    """A removed member's clock must not vouch for a withheld grant; nor may a mad clock unmake a good one."""
    world = World.enrolled()
    signed = directive(permit(), signed_at=NOW - 40 * DAY)
    world.direct(signed, "city")
    world.direct(signed, "lab", CUT_OFF, hlc=NOW - 39 * DAY)
    assert world.ask().answer is Answer.NO_CONSENT
    fresh = directive(permit(), number=2)
    world.direct(fresh, "mercy")
    world.direct(fresh, "lab", hlc=NOW - 400 * DAY)
    assert world.ask().answer is Answer.PERMIT


@pytest.mark.parametrize("signer", ["ann", "guardian", "mercy", "lab"])
def test_anyone_takes_back_a_grant(signer: str) -> None:
    world = World.enrolled()
    signed = directive(permit())
    world.direct(signed)
    world.revoke(revocation(named(signed), signer=signer), "lab")
    assert world.ask().answer is Answer.NO_CONSENT
    [counted] = world.application.directives(ANN)
    assert counted.reason == "revoked"


@pytest.mark.parametrize(
    ("denier", "reviser", "carrier", "lifted"),
    [
        ("ann", "ann", "lab", True),
        ("ann", "guardian", "mercy", False),
        ("ann", "mercy", "mercy", False),
        ("ann", "lab", "lab", False),
        ("guardian", "ann", "mercy", True),
        ("lab", "lab", "lab", True),
        ("lab", "city", "city", True),
        ("lab", "coast", "coast", False),
        ("mercy", "ann", "mercy", True),
    ],
)
def test_who_lifts_a_denial(denier: str, reviser: str, carrier: str, lifted: bool) -> None:
    world = World.enrolled()
    signed = directive(deny(), signer=denier)
    world.direct(directive(permit(), number=9))
    world.direct(signed, denier if denier in ("lab", "mercy") else "mercy")
    assert world.ask().answer is Answer.DENY
    world.revoke(revocation(named(signed), signer=reviser), carrier)
    assert world.ask().answer is (Answer.PERMIT if lifted else Answer.DENY)


def test_taking_back_by_a_third_party_leaves_what_a_directive_denies() -> None:
    world = World.enrolled()
    signed = directive(permit(actors=(member_actor(LAB),)), base=Effect.DENY)
    world.direct(signed)
    world.revoke(revocation(named(signed), signer="coast"), "coast")
    assert world.ask().answer is Answer.DENY


def test_a_denial_under_an_exception_that_was_taken_back_stands() -> None:
    world = World.enrolled()
    signed = directive(deny(exceptions=(permit(purposes=("HRESCH",)),)))
    world.direct(signed)
    assert world.ask().answer is Answer.PERMIT
    world.revoke(revocation(named(signed), signer="coast"), "coast")
    assert world.ask().answer is Answer.DENY


def test_revoking_all_before_a_number_takes_back_what_was_never_seen() -> None:
    world = World.enrolled()
    world.revoke(revocation(series="ann", all_before=3))
    for number, answer in ((1, Answer.NO_CONSENT), (3, Answer.NO_CONSENT), (4, Answer.PERMIT)):
        world.direct(directive(permit(), number=number))
        assert world.ask().answer is answer
    assert world.application.next_number(ANN, key("ann")) == 5
    assert world.application.next_number(ANN, key("guardian")) == 1


def test_another_keys_directives_are_untouched_by_all_before() -> None:
    world = World.enrolled()
    world.direct(directive(permit(), signer="guardian"))
    world.revoke(revocation(series="ann", all_before=3))
    assert world.ask().answer is Answer.PERMIT


def test_a_superseding_directive_replaces_for_good() -> None:
    world = World.enrolled()
    old = directive(permit())
    new = directive(permit(purposes=("TREAT",)), number=2, supersedes=[named(old)])
    world.direct(new)
    world.direct(old)
    assert world.ask().answer is Answer.NO_CONSENT
    assert world.ask(request(purposes=("TREAT",))).answer is Answer.PERMIT
    world.revoke(revocation(named(new)))
    assert world.ask().answer is Answer.NO_CONSENT, "what was superseded doesn't come back"


def test_a_member_cannot_supersede_the_patients_denial_by_a_grant() -> None:
    world = World.enrolled()
    no = directive(deny())
    world.direct(no)
    world.direct(directive(permit(), signer="mercy", basis=ATTESTED, supersedes=[named(no)]))
    assert world.ask().answer is Answer.DENY
    world.direct(directive(permit(), number=2, supersedes=[named(no)]))
    assert world.ask().answer is Answer.PERMIT


def test_a_contested_denial_is_confirmed_or_lifted_by_a_custodian() -> None:
    world = World.enrolled()
    no = directive(deny(), signer="lab")
    world.direct(no, "lab", CUT_OFF)
    [counted] = world.application.directives(ANN)
    assert counted.contested
    world.direct(no, "city")
    [counted] = world.application.directives(ANN)
    assert not counted.contested
    world.revoke(revocation(named(no), signer="mercy"))
    assert world.ask().answer is Answer.NO_CONSENT


def test_a_lost_keys_grants_are_suspended_and_its_denials_stay() -> None:
    world = World.enrolled()
    world.direct(directive(permit(purposes=("TREAT",))))
    world.direct(directive(deny(purposes=("HRESCH",)), number=2))
    world.add(subject_draft(_revised(patient_keys=(key("ann's new phone"),))), "city")
    assert world.ask(request(purposes=("TREAT",))).answer is Answer.NO_CONSENT
    assert world.ask().answer is Answer.DENY


@pytest.mark.parametrize(
    ("lifter", "answer"), [("ann", Answer.DENY), ("city", Answer.DENY), ("new", Answer.NO_CONSENT)]
)
def test_a_dropped_keys_denials_are_lifted_by_the_new_key_alone(lifter: str, answer: Answer) -> None:
    """The old phone may be in a thief's hands: it denies and takes back, and lifts nothing."""
    world = World.enrolled()
    denial = directive(base=Effect.DENY)
    world.direct(denial)
    world.add(subject_draft(_revised(patient_keys=(key("new"),))), "city")
    world.revoke(revocation(named(denial), signer=lifter), "city")
    world.hear("mercy", "city", at=NOW + 1)
    assert world.ask(now=NOW + 1).answer is answer


def test_a_stranger_lifts_nothing_though_a_member_carries_it() -> None:
    world = World.enrolled()
    denial = directive(base=Effect.DENY, signer="stranger", basis=Basis.PATIENT_SIGNED)
    world.direct(denial, "lab")
    world.revoke(revocation(named(denial), signer="stranger"), "lab")
    assert world.ask().answer is Answer.DENY
    world.revoke(revocation(named(denial), signer="city"), "city")
    world.hear("mercy", "city", at=NOW + 1)
    assert world.ask(now=NOW + 1).answer is Answer.NO_CONSENT


def _revised(**changes: object) -> SubjectRecord:
    from medsync_protocol.subject import encode_record, record_id

    before = record_id(encode_record(RECORD))
    return replace(RECORD, revision=1, previous=before, **changes)  # type: ignore[arg-type]


def test_only_a_custodian_revises_a_record() -> None:
    world = World.enrolled()
    mine = _revised(patient_keys=(key("lab's own"),))
    world.add(subject_draft(mine), "lab")
    world.direct(directive(permit(), signer="lab's own"))
    assert world.ask().answer is Answer.NO_CONSENT
    assert world.application.subject(ANN).revision == 0


def test_nobody_enrols_over_anothers_pseudonym() -> None:
    world = World.enrolled()
    forged = replace(
        RECORD, founder=LAB, custodians=tuple(sorted((LAB, MERCY))), patient_keys=(key("lab's own"),)
    )
    assert forged.pseudonym(NETWORK, CONTEXT) != ANN
    world.add(subject_draft(replace(RECORD, patient_keys=(key("lab's own"),))), "lab")
    assert world.application.subject(ANN).patient_keys == {key("ann")}


def test_concurrent_revisions_leave_what_both_say() -> None:
    world = World.enrolled()
    world.add(subject_draft(_revised(patient_keys=(key("ann"),), homes=(MERCY,))), "mercy")
    world.add(subject_draft(_revised(patient_keys=(key("phone"),), homes=(CITY,))), "city")
    standing = world.application.subject(ANN)
    assert standing.patient_keys == frozenset()
    assert {(MERCY,), (CITY,), RECORD.homes} == set(standing.home_sets)
    world.application.set_final({ChainId(chain): n for chain, n in world.held.items()})
    assert {(MERCY,), (CITY,)} == set(world.application.subject(ANN).home_sets)


OTHER = SubjectRecord(
    salt=salt("other"),
    founder=LAB,
    subject_key=seed("other subject"),
    custodians=(LAB,),
    homes=(MERCY,),
    patient_keys=(key("puppet"),),
)
PUPPET = OTHER.pseudonym(NETWORK, CONTEXT)


def test_a_one_sided_link_carries_denials_and_no_grants() -> None:
    world = World.enrolled()
    world.add(subject_draft(OTHER), "lab")
    world.direct(directive(permit(), signer="puppet", subject=PUPPET), "lab")
    world.direct(directive(deny(purposes=("HMARKT",)), signer="puppet", subject=PUPPET, number=2), "lab")
    world.link(make_link(NETWORK, CONTEXT, (ANN, PUPPET)), "lab")
    world.hear("mercy", "city", "coast", at=NOW + 1)
    assert world.ask(now=NOW + 1).answer is Answer.NO_CONSENT
    assert world.ask(request(purposes=("HMARKT",)), now=NOW + 1).answer is Answer.DENY
    world.link(make_link(NETWORK, CONTEXT, (ANN, PUPPET), signer=key("ann"), seed=seed("ann")), "coast")
    assert world.ask(now=NOW + 1).answer is Answer.PERMIT


def test_a_link_by_neither_side_says_nothing() -> None:
    world = World.enrolled()
    world.add(subject_draft(OTHER), "lab")
    world.direct(directive(deny(), signer="puppet", subject=PUPPET), "lab")
    world.link(make_link(NETWORK, CONTEXT, (ANN, PUPPET)), "coast")
    assert world.ask().answer is Answer.NO_CONSENT
