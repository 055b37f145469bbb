"""The consent map's entries are a function of the labels of effective operations (decisions/0001)."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from medsync_protocol.application import Label
from medsync_protocol.commitments import Commitments
from medsync_protocol.consent_map import ABSENT, ConsentMap, Status, directive_key, unpack_value
from medsync_protocol.directive import Signed, directive_label, revocation_label, series_tag
from medsync_protocol.ids import DirectiveId, OpId
from medsync_protocol.kinds import Audience, EntryKind
from tests.consent_world import NOW, RECORD, directive, key, named, permit, revocation, seed

OPS = [OpId(bytes([n]) * 32) for n in range(12)]


def _directive(signed: Signed) -> Label:
    return Label(
        kind=EntryKind.DIRECTIVE, audience=Audience.ALL, public=directive_label(signed, RECORD.subject_key)
    )


def _revocation(signed: Signed) -> Label:
    return Label(
        kind=EntryKind.REVOCATION, audience=Audience.ALL, public=revocation_label(signed, RECORD.subject_key)
    )


ONE = directive(permit(), valid_from=5, until=NOW)
TWO = directive(permit(), number=2, supersedes=[named(ONE)])
THREE = directive(permit(), number=3)
LABELS = [
    _directive(ONE),
    _directive(TWO),
    _directive(THREE),
    _directive(directive(permit(), signer="guardian")),
    _revocation(revocation(named(TWO), signer="lab")),
    _revocation(revocation(series="ann", all_before=1)),
    _revocation(revocation(series="ann", all_before=3, signer="lab")),
    Label(kind=EntryKind.DIRECTIVE, audience=Audience.ALL, public=(named(ONE), 9, 0, b"x" * 16, 1, ())),
    Label(kind=EntryKind.DIRECTIVE, audience=Audience.ALL, public=("nonsense",)),
    Label(kind=EntryKind.ACCESS, audience=Audience.PARTIES),
]
STEPS = st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(OPS), st.booleans()), max_size=30)


def _status(book: Commitments, signed: Signed) -> Status | None:
    value = book.entry(named(signed))
    return None if value == ABSENT else unpack_value(value)[0]


def _with(*labels: Label) -> Commitments:
    book = Commitments()
    for op, label in zip(OPS, labels, strict=False):
        book.fold(label, op, True)
    return book


def test_a_label_tells_id_validity_series_and_number() -> None:
    assert LABELS[0].public == (named(ONE), 5, NOW, series_tag(RECORD.subject_key, key("ann")), 1, ())
    assert LABELS[5].public == ((), series_tag(RECORD.subject_key, key("ann")), 1)
    assert series_tag(seed("another subject"), key("ann")) != LABELS[5].public[1]


def test_status_and_validity_follow_the_labels() -> None:
    book = _with(LABELS[0])
    assert unpack_value(book.entry(named(ONE))) == (Status.ACTIVE, 5, NOW)
    assert unpack_value(_with(LABELS[2]).entry(named(THREE))) == (Status.ACTIVE, 0, None)
    assert _status(_with(LABELS[0], LABELS[1]), ONE) is Status.SUPERSEDED
    assert _status(_with(LABELS[1], LABELS[0], LABELS[5]), ONE) is Status.REVOKED
    assert _status(_with(LABELS[1], LABELS[4]), TWO) is Status.REVOKED
    assert _status(_with(LABELS[4]), TWO) is None, "a revocation alone commits to nothing"


def test_all_before_covers_what_comes_later_and_only_its_series() -> None:
    book = _with(LABELS[6], LABELS[0], LABELS[2], LABELS[3])
    assert (_status(book, ONE), _status(book, THREE)) == (Status.REVOKED, Status.REVOKED)
    assert _status(book, directive(permit(), signer="guardian")) is Status.ACTIVE


def test_of_differing_labels_the_narrowest_validity_counts() -> None:
    assert unpack_value(_with(LABELS[0], LABELS[7]).entry(named(ONE))) == (Status.ACTIVE, 9, NOW)


def test_a_directive_carried_twice_falls_out_with_its_last_carrier() -> None:
    book = Commitments()
    for op in OPS[:2]:
        book.fold(LABELS[0], op, True)
    assert list(book.changes()) == [directive_key(named(ONE))]
    book.fold(LABELS[0], OPS[0], False)
    assert book.changes() == {}
    book.fold(LABELS[0], OPS[1], False)
    assert book.changes() == {directive_key(named(ONE)): ABSENT}
    assert book.entries() == {}


@given(STEPS, st.randoms(use_true_random=False))
def test_entries_depend_on_the_last_verdict_of_each_label_alone(
    steps: list[tuple[Label, OpId, bool]], shuffled: random.Random
) -> None:
    book, tree = Commitments(), ConsentMap()
    for label, op, effective in steps:
        book.fold(label, op, effective)
        if shuffled.random() < 0.3:
            tree = tree.put_many(book.changes())
    tree = tree.put_many(book.changes())
    last = {(str(label), op): (label, op, effective) for label, op, effective in steps}
    final = [step for step in last.values() if step[2]]
    shuffled.shuffle(final)
    plain = Commitments()
    for label, op, effective in final:
        plain.fold(label, op, effective)
    assert plain.entries() == book.entries() == dict(tree.items())
    assert ConsentMap().put_many(plain.entries()).root == tree.root


def test_ids_that_nobody_carries_leave_no_entry() -> None:
    assert Commitments().entry(DirectiveId(bytes(32))) == ABSENT
