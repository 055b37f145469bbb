"""Receipts re-compute bit for bit, at any party that holds the inputs (PROTOCOL §7)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from medsync_protocol.access import Answer, encode_request, match_id, request_hash
from medsync_protocol.decision import ConsentSettings, DecisionView, ImplicitRule
from medsync_protocol.errors import BadSignature, Invalid
from medsync_protocol.ids import Instant
from medsync_protocol.receipt import (
    Receipt,
    ReceiptEntry,
    Recomputed,
    ViewRecord,
    decode_receipt,
    decode_view,
    encode_receipt,
    encode_view,
    issue,
    recompute,
    request_of,
    verify_receipt,
)
from tests.consent_world import (
    ANN,
    CITY,
    DEVICES,
    NOW,
    World,
    deny,
    directive,
    permit,
    request,
    seed,
)


def _issued(world: World) -> tuple[Receipt, ViewRecord, DecisionView]:
    view, used = world.application.view(ANN, now=Instant(NOW), held=world.held, book=world.book)
    heads = {chain: bytes([count]) * 32 for chain, count in world.held.items()}
    record = world.application.record_view(view, used, held=world.held, heads=heads, k=7)
    return issue(view, record, request(), Instant(NOW), signer=CITY, seed=seed("city")), record, view


def _permitting() -> World:
    world = World.enrolled()
    world.direct(directive(permit(obligations=("delete-after-use",))))
    world.hear("mercy", "city", at=NOW)
    return world


def test_another_party_recomputes_a_receipt_from_its_own_replica() -> None:
    world = _permitting()
    receipt, record, _ = _issued(world)
    assert receipt.decision.answer is Answer.PERMIT
    other = World()
    for entry, verdict in reversed(world.entries):
        other.fold(entry, verdict)
    rebuilt = other.application.view_at(ANN, record, DEVICES)
    assert recompute(receipt, request(), rebuilt) is Recomputed.MATCHES


def test_what_came_after_the_view_does_not_change_a_receipt() -> None:
    world = _permitting()
    receipt, record, _ = _issued(world)
    world.direct(directive(deny(), number=2))
    assert world.ask().answer is Answer.DENY
    assert (
        recompute(receipt, request(), world.application.view_at(ANN, record, DEVICES)) is Recomputed.MATCHES
    )


def test_recomputation_says_what_differs() -> None:
    world = _permitting()
    receipt, record, view = _issued(world)
    again = world.application.view_at(ANN, record, DEVICES)
    forged = replace(receipt, decision=replace(receipt.decision, obligations=()))
    assert recompute(forged, request(), again) is Recomputed.BAD_SIGNATURE
    assert recompute(receipt, request(purposes=("TREAT",)), again) is Recomputed.OTHER_REQUEST
    other_settings = replace(view, settings=ConsentSettings(implicit=ImplicitRule.PERMIT))
    assert recompute(receipt, request(), other_settings) is Recomputed.OTHER_VERSION
    assert recompute(receipt, request(), replace(again, directives=())) is Recomputed.OTHER_INPUTS
    assert recompute(receipt, None, again) is Recomputed.INPUTS_ERASED
    assert recompute(receipt, request(), None) is Recomputed.INPUTS_ERASED


def test_a_signer_that_lies_about_the_answer_is_found_out() -> None:
    world = World.enrolled()
    receipt, _, view = _issued(world)
    assert receipt.decision.answer is Answer.NO_CONSENT
    permitting, _, _ = _issued(_permitting())
    lie = replace(receipt, decision=permitting.decision, signature=b"")
    from medsync_protocol import receipt as module
    from medsync_protocol.crypto import sign

    lie = replace(lie, signature=sign(seed("city"), module._DOMAIN, module._text(lie)))
    verify_receipt(lie)
    assert recompute(lie, request(), view) is Recomputed.DIFFERS


def test_a_receipt_round_trips_with_and_without_its_inputs() -> None:
    receipt, record, _ = _issued(_permitting())
    asked = encode_request(request())
    for entry in (ReceiptEntry(receipt, asked, encode_view(record)), ReceiptEntry(receipt)):
        payload = encode_receipt(entry)
        assert decode_receipt(payload) == entry
        assert encode_receipt(decode_receipt(payload)) == payload
        verify_receipt(decode_receipt(payload).receipt)
    assert request_of(ReceiptEntry(receipt, asked)) == request()
    assert request_of(ReceiptEntry(receipt)) is None
    assert request_of(ReceiptEntry(receipt, encode_request(request(purposes=("TREAT",))))) is None
    assert decode_view(encode_view(record)) == record
    assert receipt.view_id == record.id
    assert match_id(request_hash(asked)) == receipt.request_hash[:16]


def test_torn_receipts_are_invalid_and_nothing_else() -> None:
    receipt, record, _ = _issued(_permitting())
    payload = encode_receipt(ReceiptEntry(receipt, encode_request(request()), encode_view(record)))
    for end in range(len(payload)):
        with pytest.raises(Invalid):
            decode_receipt(payload[:end])


def test_a_receipt_by_another_key_does_not_verify() -> None:
    receipt, _, _ = _issued(_permitting())
    with pytest.raises(BadSignature):
        verify_receipt(replace(receipt, signer=DEVICES[next(iter(DEVICES))]))
    with pytest.raises(BadSignature):
        verify_receipt(replace(receipt, time=Instant(NOW + 1)))
