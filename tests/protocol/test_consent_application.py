"""The application's state is a function of the set of (entry, verdict): any order, duplicates, changed verdicts."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsync_protocol.access import Answer, Half, half_of
from medsync_protocol.application import Draft, OpenedEntry
from medsync_protocol.consent import MedSyncApplication
from medsync_protocol.directive import Signed
from medsync_protocol.drafts import access_draft, directive_draft, link_draft, revocation_draft, subject_draft
from medsync_protocol.errors import Refused, UnknownSubject
from medsync_protocol.ids import Instant, MemberId, SubjectRef
from medsync_protocol.kinds import EntryKind, Verdict
from medsync_protocol.rule import Effect, Rule, member_actor
from medsync_protocol.subject import SubjectRecord, encode_record, make_link, record_id
from tests.consent_world import (
    ANN,
    CITY,
    COAST,
    CONTEXT,
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
    opened,
    permit,
    request,
    revocation,
    salt,
    seed,
)

BOB_RECORD = SubjectRecord(
    salt=salt("bob"),
    founder=CITY,
    subject_key=seed("bob subject key"),
    custodians=(CITY,),
    homes=(CITY,),
    patient_keys=(key("bob"),),
)
BOB = BOB_RECORD.pseudonym(NETWORK, CONTEXT)
REVISED = replace(
    RECORD,
    revision=1,
    previous=record_id(encode_record(RECORD)),
    patient_keys=tuple(sorted((key("ann"), key("bob")))),
)

GRANT, TREAT_ONLY = (
    directive(permit(), number=1),
    directive(permit(purposes=("TREAT",)), base=Effect.DENY, number=2),
)
DRAFTS: list[tuple[Draft, str]] = [
    (subject_draft(RECORD), "mercy"),
    (subject_draft(REVISED), "city"),
    (subject_draft(BOB_RECORD), "city"),
    (link_draft(make_link(NETWORK, CONTEXT, (ANN, BOB))), "city"),
    (link_draft(make_link(NETWORK, CONTEXT, (ANN, BOB), signer=key("bob"), seed=seed("bob"))), "lab"),
    (directive_draft(GRANT, RECORD.subject_key), "mercy"),
    (directive_draft(GRANT, RECORD.subject_key), "lab"),
    (directive_draft(TREAT_ONLY, RECORD.subject_key), "coast"),
    (directive_draft(directive(deny(purposes=("HMARKT",)), signer="lab"), RECORD.subject_key), "lab"),
    (directive_draft(directive(permit(), number=3, supersedes=[named(GRANT)]), RECORD.subject_key), "city"),
    (directive_draft(directive(permit(), signer="bob", subject=BOB), BOB_RECORD.subject_key), "city"),
    (revocation_draft(revocation(named(TREAT_ONLY), signer="city"), RECORD.subject_key), "city"),
    (revocation_draft(revocation(series="ann", all_before=2), RECORD.subject_key), "lab"),
    (Draft(kind=EntryKind.DIRECTIVE, payload=b"\xc1", subject=ANN), "lab"),
    (Draft(kind=EntryKind.NOTE, payload=b"", subject=None), "lab"),
]
ENTRIES = [opened(draft, author, seq) for seq, (draft, author) in enumerate(DRAFTS)]
VERDICTS = st.sampled_from([Verdict.EFFECTIVE, Verdict.VOID_AFTER_CUT_OFF, Verdict.VOID_NOT_A_MEMBER])


def _folded(steps: list[tuple[OpenedEntry, Verdict]]) -> MedSyncApplication:
    application = MedSyncApplication(NETWORK, CONTEXT)
    for entry, verdict in steps:
        application.fold(entry, verdict)
    return application


def _answers(application: MedSyncApplication) -> list[object]:
    found: list[object] = []
    for subject in (ANN, BOB):
        world = World(application=application)
        world.hear("mercy", "city", "coast")
        found += [
            world.ask(request(subject=subject, purposes=(code,))) for code in ("HRESCH", "TREAT", "HMARKT")
        ]
        found.append(application.standing(subject))
    return found


@given(
    st.lists(VERDICTS, min_size=len(ENTRIES), max_size=len(ENTRIES)),
    st.randoms(use_true_random=False),
    st.data(),
)
def test_order_repeats_and_earlier_verdicts_leave_no_trace(
    verdicts: list[Verdict], shuffled: random.Random, data: st.DataObject
) -> None:
    final = list(zip(ENTRIES, verdicts, strict=True))
    earlier = [(entry, data.draw(VERDICTS)) for entry in data.draw(st.lists(st.sampled_from(ENTRIES)))]
    late = list(final)
    shuffled.shuffle(late)
    straight, mixed = _folded(final), _folded([*earlier, *late])
    assert straight.state_digest() == mixed.state_digest()
    assert _answers(straight) == _answers(mixed)
    assert straight.subject_keys() == mixed.subject_keys()


@given(st.lists(VERDICTS, min_size=len(ENTRIES), max_size=len(ENTRIES)))
def test_asking_between_entries_changes_nothing(verdicts: list[Verdict]) -> None:
    application = MedSyncApplication(NETWORK, CONTEXT)
    for entry, verdict in zip(ENTRIES, verdicts, strict=True):
        application.fold(entry, verdict)
        _answers(application)
    assert _answers(application) == _answers(_folded(list(zip(ENTRIES, verdicts, strict=True))))


# -- properties of decisions ----------------------------------------------------------------------------------

CODES = st.sampled_from(["PurposeOfUse", "TREAT", "ETREAT", "HRESCH", "CLINTRCH", "HMARKT", "HPAYMT"])
ACTORS = st.sampled_from(
    [member_actor(one) for one in (LAB, CITY, MERCY)] + [member_actor(LAB, b"u", b"eve")]
)
TYPES, LABELS = st.sampled_from(["Observation", "Condition", "Consent"]), st.sampled_from(["N", "R", "PSY"])


def _some(items: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.none() | st.sets(items, min_size=1, max_size=2).map(lambda found: tuple(sorted(found)))  # type: ignore[type-var]


def _rules(effect: Effect, depth: int = 0) -> st.SearchStrategy[Rule]:
    inner: st.SearchStrategy[object] = st.none()
    if not depth:
        inner = st.none() | st.lists(_rules(effect.opposite, 1), min_size=1, max_size=2).map(tuple)
    return st.builds(
        Rule,
        effect=st.just(effect),
        actors=_some(ACTORS),
        purposes=_some(CODES),
        types=_some(TYPES),
        labels=_some(LABELS),
        exceptions=inner,
    )


ANY_RULE = _rules(Effect.PERMIT) | _rules(Effect.DENY)
PLAIN_DENIAL = _rules(Effect.DENY, 1)
DIRECTIVES = st.tuples(st.lists(ANY_RULE, max_size=3), st.sampled_from([None, *Effect])).filter(
    lambda pair: bool(pair[0]) or pair[1] is not None
)
REQUESTS = st.builds(
    lambda purposes, types, labels, user: request(
        purposes=tuple(purposes),
        types=types,
        labels=labels,
        unit=b"u" if user else b"",
        user=b"eve" if user else b"",
    ),
    st.sets(CODES, min_size=1, max_size=2),
    _some(TYPES),
    _some(LABELS),
    st.booleans(),
)


def _signed(given_directives: list[tuple[list[Rule], Effect | None]], first: int = 1) -> list[Signed]:
    return [
        directive(*rules, base=base, number=number)
        for number, (rules, base) in enumerate(given_directives, start=first)
    ]


@given(st.lists(DIRECTIVES, max_size=4), PLAIN_DENIAL, REQUESTS)
def test_learning_a_denial_only_shrinks_what_is_permitted(
    held: list[tuple[list[Rule], Effect | None]], denial: Rule, asked: object
) -> None:
    world = World.enrolled()
    for signed in _signed(held):
        world.direct(signed)
    before = world.ask(asked)  # type: ignore[arg-type]
    world.direct(directive(denial, signer="lab", number=1), "lab")
    after = world.ask(asked)  # type: ignore[arg-type]
    assert after.answer is Answer.DENY or after == before


@given(st.lists(DIRECTIVES, max_size=4), st.integers(0, 3), REQUESTS)
def test_a_third_partys_revocation_never_widens(
    held: list[tuple[list[Rule], Effect | None]], which: int, asked: object
) -> None:
    world = World.enrolled()
    signed = _signed(held)
    for one in signed:
        world.direct(one)
    before = world.ask(asked)  # type: ignore[arg-type]
    if which < len(signed):
        world.revoke(revocation(named(signed[which]), signer="coast"), "coast")
    after = world.ask(asked)  # type: ignore[arg-type]
    assert after.answer is not Answer.PERMIT or before.answer is Answer.PERMIT


@given(st.lists(DIRECTIVES, max_size=3), DIRECTIVES, REQUESTS)
def test_a_directive_about_someone_else_or_another_time_changes_nothing(
    held: list[tuple[list[Rule], Effect | None]], other: tuple[list[Rule], Effect | None], asked: object
) -> None:
    world = World.enrolled()
    world.add(subject_draft(BOB_RECORD), "city")
    for signed in _signed(held):
        world.direct(signed)
    before = world.ask(asked)  # type: ignore[arg-type]
    rules, base = other
    world.direct(directive(*rules, base=base, signer="bob", subject=BOB))
    world.direct(directive(*rules, base=base, number=50, valid_from=NOW + 1))
    world.direct(directive(*rules, base=base, number=51, until=NOW))
    assert world.ask(asked) == before  # type: ignore[arg-type]


@given(st.lists(DIRECTIVES, min_size=1, max_size=4), REQUESTS, st.randoms(use_true_random=False))
def test_the_answer_is_a_function_of_the_set(
    held: list[tuple[list[Rule], Effect | None]], asked: object, shuffled: random.Random
) -> None:
    signed = _signed(held)
    one, other = World.enrolled(), World.enrolled()
    for document in signed:
        one.direct(document)
    shuffled.shuffle(signed)
    for document in signed:
        other.direct(document, "city")
    assert one.ask(asked) == other.ask(asked)  # type: ignore[arg-type]


# -- reading --------------------------------------------------------------------------------------------------


def test_entries_that_are_not_what_they_claim_count_for_nothing() -> None:
    world = World.enrolled()
    digest = world.application.state_digest()
    foreign = directive(permit(), context=CONTEXT.__class__(b"X" * 32))
    bent = Signed(directive(permit()).document, bytes(64))
    for draft in (
        directive_draft(foreign, RECORD.subject_key),
        directive_draft(bent, RECORD.subject_key),
        replace(directive_draft(directive(permit()), RECORD.subject_key), subject=BOB),
        replace(directive_draft(directive(permit()), RECORD.subject_key), subject=None),
        Draft(kind=EntryKind.SUBJECT, payload=b"\x90"),
        Draft(kind=EntryKind.REVOCATION, payload=directive(permit()).payload, subject=ANN),
    ):
        world.add(draft, "lab")
    assert world.application.unreadable == 6
    assert world.application.state_digest() == digest
    assert world.ask().answer is Answer.NO_CONSENT


def test_parties_are_requester_custodian_and_homes() -> None:
    world = World.enrolled()
    half = half_of(request(), Half.DISCLOSED, CITY, Answer.PERMIT, receipt=b"r" * 32, time=Instant(NOW))
    draft = access_draft(half, world.application.subject(ANN).homes)
    entry = opened(draft, "city", 0)
    expected: set[MemberId] = {LAB, CITY, MERCY, COAST}
    assert set(world.application.parties(entry)) == expected == set(draft.parties)
    assert list(world.application.parties(replace(entry, payload=b"\x00"))) == []
    assert world.application.indexed == {EntryKind.ACCESS, EntryKind.RECEIPT}


def test_questions_are_answered_by_name() -> None:
    world = World.enrolled()
    signed = directive(permit())
    world.direct(signed)
    ask = world.application.query
    assert ask("subjects", ()) == [ANN]
    assert ask("subject", (ANN,)).homes == {MERCY, CITY, COAST}
    assert [one.id for one in ask("directives", (ANN,))] == [named(signed)]
    status = ask("directive", (named(signed), world.book))
    assert (status.counted.permits, status.level) == (True, "recorded")
    world.hear("mercy", "city", at=NOW + 1)
    assert ask("directive", (named(signed), world.book)).level == "effective"
    with pytest.raises(UnknownSubject):
        ask("directives", (SubjectRef(bytes(16)),))
    for method, arguments in (("nothing", ()), ("subject", ()), ("directive", (bytes(32),))):
        with pytest.raises(Refused):
            ask(method, arguments)


def test_subject_keys_come_from_records() -> None:
    world = World.enrolled()
    assert world.application.subject_keys() == {ANN: RECORD.subject_key}
