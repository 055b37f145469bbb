"""Erasure: who may order it, what holds it up, that it hides at once and destroys only what is final (PROTOCOL §8)."""

from __future__ import annotations

import pytest

from medsync_protocol import erasing
from medsync_protocol.access import Answer
from medsync_protocol.application import Draft
from medsync_protocol.crypto import signing_public
from medsync_protocol.directive import Signed
from medsync_protocol.effects import Persist
from medsync_protocol.erasure import EraseOrder, sign_order
from medsync_protocol.errors import NotPermitted, Refused
from medsync_protocol.ids import ChainId, SubjectRef
from medsync_protocol.journal import OpRecord
from medsync_protocol.kinds import EntryKind
from medsync_protocol.operation import decode_body
from medsync_protocol.subject import encode_record
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
