"""Erasure: who may order it, what holds it up, that it hides at once and destroys only what is final (PROTOCOL §8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace

import pytest

from medsync_protocol import erasing
from medsync_protocol.access import Answer
from medsync_protocol.application import Draft
from medsync_protocol.candidate import Cut
from medsync_protocol.crypto import signing_public
from medsync_protocol.directive import Signed
from medsync_protocol.effects import Persist, Reread
from medsync_protocol.erasure import Attestation, EraseOrder, attestation_draft, sign_order
from medsync_protocol.errors import NotPermitted, Refused
from medsync_protocol.ids import ChainId, OpId, SubjectRef
from medsync_protocol.journal import OpRecord
from medsync_protocol.kinds import EntryKind
from medsync_protocol.operation import decode_body, join, prune, split
from medsync_protocol.settled_cuts import SettledCuts
from medsync_protocol.subject import SubjectRecord, decode_record, encode_record, record_id
from tests.desk_world import NETWORK, NOW, Context, key, seed


def signed(context: Context, subject: SubjectRef, who: str = "ann", salt: bytes = b"s" * 16) -> Signed:
    """The patient's order."""
    order = EraseOrder(network=NETWORK, context=context.id, subject=subject, signer=key(who), signed_at=NOW, salt=salt)
    return sign_order(order, seed(who))


def ordered(context: Context, subject: SubjectRef, who: str = "ann", carrier: str = "coast") -> None:
    """Carried into the record by anyone."""
    order = signed(context, subject, who)
    context.write(carrier, context[carrier].desk.erase_signed(order.document, order.signature)[1])


def settle(context: Context, name: str) -> list[object]:
    """All that this member holds is final; what follows from it."""
    replica = context[name].replica
    replica.application.set_final({ChainId(c): n for c, n in replica.vector.items()})  # type: ignore[union-attr]
    return list(erasing.due(replica))


def closed(context: Context, name: str) -> set[SubjectRef]:
    """Who was destroyed there."""
    return set(context[name].replica.erased.closed)


def test_a_patients_order_hides_at_once_and_destroys_once_it_is_final() -> None:
    context = Context()
    subject = context.enrol()
    ordered(context, subject)
    mercy = context["mercy"]
    assert mercy.desk.application.hidden(subject) and subject not in mercy.desk.application.subjects()
    with pytest.raises(Refused) as refused:
        mercy.desk.grant_attested(NOW, subject, rules=())
    assert refused.value.code == "erased"
    entry, drafts = mercy.desk.decide(NOW, context.request(subject))
    assert entry.receipt.decision.answer is Answer.ERASED and drafts
    assert not erasing.due(mercy.replica) and not closed(context, "mercy"), "nothing is final yet"
    assert settle(context, "mercy") and closed(context, "mercy") == {subject}
    assert subject not in mercy.desk.application.subject_keys()
    with pytest.raises(Refused, match="erased"):
        mercy.desk.decide(NOW, context.request(subject))
    with pytest.raises(Refused):
        mercy.replica.submit(NOW, [Draft(kind=EntryKind.NOTE, payload=b"more", subject=subject)])
    assert not settle(context, "mercy"), "once"


@pytest.mark.parametrize(("who", "counts"), [("ann", True), ("guardian", True), ("stranger", False)])
def test_keys_of_the_record_order_and_no_others(who: str, counts: bool) -> None:
    context = Context()
    subject = context.enrol()
    if not counts:
        with pytest.raises(Refused, match="nobody who may"):
            ordered(context, subject, who)
        order = signed(context, subject, who)
        context.write("lab", [Draft(kind=EntryKind.ERASE_ORDER, payload=order.payload)])
    else:
        ordered(context, subject, who)
    assert context["city"].desk.application.hidden(subject) is counts


def test_two_custodians_order_together_and_one_alone_does_not() -> None:
    context = Context()
    subject = context.enrol()
    with pytest.raises(NotPermitted):
        context["lab"].desk.erase_attested(NOW, subject)
    for name, hidden in (("mercy", False), ("mercy", False), ("city", True)):
        context.write(name, context[name].desk.erase_attested(NOW, subject)[1])
        assert context["coast"].desk.application.hidden(subject) is hidden
    assert settle(context, "coast")


def test_a_custodians_legal_hold_keeps_what_is_ordered_until_it_releases_it_itself() -> None:
    context = Context()
    subject = context.enrol()
    with pytest.raises(NotPermitted):
        context["lab"].desk.hold(subject, "mine")
    hold = context.write("city", context["city"].desk.hold(subject, "case 12/3")[1])
    ordered(context, subject)
    assert context["mercy"].desk.application.hidden(subject), "hidden all the same"
    assert not settle(context, "mercy") and not closed(context, "mercy")
    with pytest.raises(Refused, match="no such hold"):
        context["mercy"].desk.hold(subject, "", hold)
    context.write("city", context["city"].desk.hold(subject, "", hold)[1])
    assert settle(context, "mercy") and closed(context, "mercy") == {subject}


def test_every_member_attests_and_both_kinds_of_order_of_arrival_say_the_same() -> None:
    context = Context()
    subject = context.enrol()
    ordered(context, subject)
    for name in ("mercy", "city", "coast", "lab"):
        replica = context[name].replica
        for effect in settle(context, name):
            if type(effect).__name__ == "Reread":
                replica.reread(context.wires[replica.chains.slot(effect.chain, effect.seq).op_id])  # type: ignore[attr-defined]
        assert erasing.attest(replica, NOW) and not erasing.attest(replica, NOW)
        context.spread()
    assert erasing.attestations(context["mercy"].replica, subject) == (4, 4)
    assert not erasing.attest(context["auditor"].replica, NOW)


def test_what_was_destroyed_is_pruned_again_when_somebody_carries_it_again() -> None:
    context = Context()
    subject = context.enrol()
    record = context["lab"].desk.application.records(subject)
    (text,) = [Draft(kind=EntryKind.SUBJECT, payload=encode_record(one)) for one in record.values()]
    ordered(context, subject)
    settle(context, "mercy")
    op_id = context.write("lab", [text])
    mercy = context["mercy"]
    assert subject not in mercy.desk.application.subject_keys()
    effects = mercy.replica.reread(context.wires[op_id])
    records = [r for e in effects if isinstance(e, Persist) for r in e.records if isinstance(r, OpRecord)]
    assert all(entry.pruned for record in records for entry in decode_body(record.body).entries)
    assert records and mercy.replica.erased.places


def test_an_order_is_for_one_context_and_by_the_key_it_names() -> None:
    context = Context()
    subject = context.enrol()
    order = signed(context, subject)
    with pytest.raises(Refused):
        context["city"].desk.erase_signed(order.document, bytes(64))
    with pytest.raises(Refused, match="not the one"):
        sign_order(EraseOrder(network=NETWORK, context=context.id, subject=subject, signer=key("ann"), signed_at=NOW, salt=b"s" * 16), seed("guardian"))
    assert signing_public(seed("ann")) == key("ann")


def reread(context: Context, name: str, effects: list[object]) -> list[bool]:
    """Perform what is to be read again; of each operation whether something of it is still there."""
    replica = context[name].replica
    left = []
    for effect in effects:
        if isinstance(effect, Reread):
            wire = context.wires[replica.chains.slot(effect.chain, effect.seq).op_id]
            records = [r for e in replica.reread(wire) if isinstance(e, Persist) for r in e.records]
            bodies = [decode_body(r.body) for r in records if isinstance(r, OpRecord)]
            left.append(any(not entry.pruned for body in bodies for entry in body.entries))
    return left


def test_notes_about_a_subject_go_with_it_and_later_ones_are_pruned_when_they_come() -> None:
    context = Context()
    subject = context.enrol()
    context.write("lab", [Draft(kind=EntryKind.NOTE, payload=b"seen", subject=subject)])
    ordered(context, subject)
    note = context["lab"].replica.submit(NOW, [Draft(kind=EntryKind.NOTE, payload=b"later", subject=subject)])[0]
    assert reread(context, "mercy", settle(context, "mercy")) == [False, False], "the record and the note"
    context.spread("mercy")
    effects = context["mercy"].replica.receive(NOW, context.wires[note.op_id])
    assert reread(context, "mercy", effects) == [False]


def test_a_release_that_is_not_final_yet_ends_no_hold() -> None:
    context = Context()
    subject = context.enrol()
    hold = context.write("city", context["city"].desk.hold(subject, "case 12/3")[1])
    ordered(context, subject)
    final = dict(context["mercy"].replica.vector)
    context.write("city", context["city"].desk.hold(subject, "", hold)[1])
    application = context["mercy"].desk.application
    application.set_final(final)
    assert not application.erasable(), "who released it may yet turn out to have been removed"
    application.set_final(context["mercy"].replica.vector)
    assert application.erasable()


def test_who_has_no_record_to_judge_by_destroys_what_most_of_the_others_say_they_did() -> None:
    context = Context()
    subject, drafts = context["mercy"].desk.enrol(NOW, patient_keys=[key("ann")])
    record = context.write("mercy", drafts, "lab")
    context["lab"].replica.receive(NOW, _pruned(context.wires[record]))
    ordered(context, subject)
    made = attestation_draft(Attestation(subject=subject, order=_order(context, subject), entries=1))
    for name in ("mercy", "city"):
        context.write(name, [made])
    assert not settle(context, "lab"), "two of four others are not most of them"
    context.write("coast", [made])
    assert not erasing.due_again(context["lab"].replica), "said, and not settled"
    assert settle(context, "lab") and closed(context, "lab") == {subject}


def test_an_old_backup_destroys_again_what_its_member_said_it_had_though_it_is_held_now() -> None:
    context = Context()
    subject = context.enrol()
    ordered(context, subject)
    city = context["city"]
    made = Attestation(subject=subject, order=_order(context, subject), entries=1)
    context.write("mercy", [attestation_draft(made)])
    context.write("city", city.desk.hold(subject, "too late for some")[1])
    assert settle(context, "mercy") and closed(context, "mercy") == {subject}
    assert not settle(context, "city") and not closed(context, "city")


def test_what_came_pruned_to_everybody_else_is_waited_for_no_more_once_one_says_that_it_destroyed_it() -> None:
    context = Context()
    subject = context.enrol()
    wire = context.wires[context.write("lab", [Draft(kind=EntryKind.NOTE, payload=b"x", subject=subject)], "mercy")]
    replica, others = context["mercy"].replica, [context[n].member for n in ("city", "coast", "lab", "auditor")]
    replica.receive(NOW, _pruned(wire))
    (place,) = replica.opener.blank
    ordered(context, context.enrol())
    for member in others[1:]:
        assert not erasing.told_gone(replica, member, place, lacking=True)
    assert place[0] not in replica.readable(), "nobody destroyed it: somebody may have it yet"
    assert erasing.told_gone(replica, others[0], place) and replica.readable()[place[0]] == 1


def test_where_nothing_was_ordered_to_be_destroyed_nothing_is_gone_whoever_says_so() -> None:
    context = Context()
    subject = context.enrol()
    wire = context.wires[context.write("lab", [Draft(kind=EntryKind.NOTE, payload=b"x", subject=subject)], "mercy")]
    replica = context["mercy"].replica
    replica.receive(NOW, _pruned(wire))
    (place,) = replica.opener.blank
    others = [context[name].member for name in ("city", "coast", "lab", "auditor")]
    assert not any(erasing.told_gone(replica, member, place) for member in others)
    assert replica.opener.told_gone(place) == set(others), "so that they are not asked for it"


def test_a_custodian_takes_no_order_back_by_dropping_the_key_that_signed_it() -> None:
    context = Context()
    subject = context.enrol()
    before = dict(context["city"].replica.vector)
    ordered(context, subject)
    record = _record(context)
    following = replace(record, revision=1, previous=record_id(encode_record(record)), patient_keys=(), delegate_keys=())
    context.write("mercy", [Draft(kind=EntryKind.SUBJECT, payload=encode_record(following))])
    application = context["coast"].desk.application
    assert application.hidden(subject), "it is out of the record now, and was in it at the last checkpoint"
    after = dict(context["coast"].replica.vector)
    application.set_final(after)
    application.cuts = settled_at(before, after)
    assert application.erasable(), "both settled at once"
    application.cuts = settled_at(before, {**after, context["coast"].replica.chain: 0}, after)
    assert not application.hidden(subject), "the key was out before the order settled: it may have been stolen"


def settled_at(*cuts: Mapping[ChainId, int]) -> SettledCuts:
    """Checkpoints with these cuts, after the opening's empty one."""
    made = [Cut(tuple((c, n, OpId(bytes(32))) for c, n in sorted(cut.items()) if n)) for cut in ({}, *cuts)]
    return SettledCuts([SimpleNamespace(cut=cut) for cut in made], len(cuts))  # type: ignore[misc]


def _record(context: Context) -> SubjectRecord:
    """As it was enrolled, from the operation that carries it."""
    mercy = context["mercy"].replica
    for wire in context.wires.values():
        for entry in mercy.open(wire):
            if entry is not None and entry.kind == EntryKind.SUBJECT:
                return decode_record(entry.payload)
    raise AssertionError("it was enrolled")


def test_entries_that_wait_for_several_keys_are_read_when_any_of_them_comes() -> None:
    context = Context()
    first, records = context["mercy"].desk.enrol(NOW)
    context.write("mercy", records, "lab")
    second, others = context["mercy"].desk.enrol(NOW)
    context.write("mercy", others, "lab")
    notes = [Draft(kind=EntryKind.NOTE, payload=b"x", subject=subject) for subject in (first, second)]
    op_id = context.write("city", notes)
    for missing in (first, second):
        (place,) = context["lab"].replica.opener.waiting_for(missing)
        assert context["lab"].replica.chains.slot(*place).op_id == op_id


def _order(context: Context, subject: SubjectRef) -> OpId:
    found = context["mercy"].desk.application.order(subject)
    assert found is not None
    return found


def _pruned(wire: bytes) -> bytes:
    header, signature, body = split(wire)
    return join(header, signature, prune(decode_body(body), frozenset({0})))
