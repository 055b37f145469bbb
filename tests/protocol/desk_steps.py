"""Steps that tests of the desk share: documents of Ann's, put on record, revoked, decided on; refusals and their codes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from medsync_protocol.desk import Written
from medsync_protocol.directive import (
    Basis,
    Directive,
    Revocation,
    Signed,
    sign_directive,
    sign_revocation,
)
from medsync_protocol.errors import Refused
from medsync_protocol.ids import DirectiveId, SubjectRef
from medsync_protocol.receipt import ReceiptEntry
from medsync_protocol.rule import Effect, Rule, member_actor

from tests.desk_world import DAY, NETWORK, NOW, Context, key, seed


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
