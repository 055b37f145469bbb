"""Receipts re-computed by every party, and what is said where the inputs differ, are missing or were erased."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from medsync_protocol.access import Answer
from medsync_protocol.codec import pack, unpack
from medsync_protocol.errors import Invalid
from medsync_protocol.ids import Instant, SubjectRef
from medsync_protocol.receipt import Recomputed, decode_receipt, encode_receipt
from medsync_protocol.rule import Effect

from tests.desk_world import NOW, Context
from tests.protocol.desk_steps import answer, grant, signed


@pytest.fixture
def context() -> Context:
    return Context()


@pytest.fixture
def ann(context: Context) -> SubjectRef:
    return context.enrol()


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
    assert desk.recompute(replace(entry, request=b"")) is Recomputed.INPUTS_MISSING
    assert desk.recompute(replace(entry, view=b"")) is Recomputed.INPUTS_MISSING
    assert desk.recompute(replace(entry, view=b"\xc1")) is Recomputed.OTHER_INPUTS
    fields = unpack(entry.view)
    other = pack([*fields[:2], 7, *fields[3:]])
    assert desk.recompute(replace(entry, view=other)) is Recomputed.OTHER_INPUTS


def test_no_changed_byte_of_a_receipt_passes_for_it_or_for_an_erased_one(context: Context, ann: SubjectRef) -> None:
    grant(context, ann)
    context.beat("mercy", "coast")
    entry = answer(context, ann)
    desk, whole = context["city"].desk, encode_receipt(entry)
    passed = (Recomputed.MATCHES, Recomputed.INPUTS_ERASED)
    for at in range(len(whole)):
        with suppress(Invalid):
            changed = decode_receipt(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            assert desk.recompute(changed) not in passed, f"byte {at}"


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
