"""Which releases rested on the patient's own authorisation, by their receipts: those need no accounting. Pure.

Source: 45 CFR 164.528(a)(1)(iv); what makes an authorisation valid: 164.508(c)(1). Where anything is missing a release counts
as not authorised: more may be told than must be.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from medsync_client.accesses import AccessRow
from medsync_protocol.access import Answer
from medsync_protocol.directive import Basis, Directive
from medsync_protocol.errors import Invalid, Refused
from medsync_protocol.ids import DirectiveId
from medsync_protocol.purposes import contains, is_known, overlaps
from medsync_protocol.receipt import ReceiptEntry, request_of, verify_receipt
from medsync_protocol.rule import Effect

RESEARCH: Final = "HRESCH"
MARKETING: Final = "HMARKT"
"""Needs a statement of its own, 164.508(a)(3), which no directive holds."""


def authorises(directive: Directive, rule: int | None, exception: int | None) -> bool:
    """Whether a rule that permitted is an authorisation: signed for the patient, to whom, for what, and until when.

    An end may be missing for research alone (164.508(c)(1)(v)). A delegate's key signs for the patient: 164.502(g).
    """
    if directive.basis is not Basis.PATIENT_SIGNED or rule is None:
        return False
    outer = directive.rules[rule]
    said = outer if exception is None else (outer.exceptions or ())[exception]
    if said.effect is not Effect.PERMIT or said.actors is None or said.purposes is None:
        return False
    if any(overlaps(MARKETING, code) for code in said.purposes):
        return False
    return directive.until is not None or all(contains(RESEARCH, code) for code in said.purposes)


def authorised(row: AccessRow, entry: ReceiptEntry, directive_of: Callable[[DirectiveId], Directive]) -> bool:
    """Whether a release was what its receipt permits, and all that permitted it authorises it.

    `directive_of` raises Refused for one that isn't held.
    """
    receipt, decision = entry.receipt, entry.receipt.decision
    if row.half != "disclosed" or row.outcome != "PERMIT" or not row.effective or row.receipt != receipt.id.hex():
        return False
    if (receipt.subject.hex(), receipt.signer.hex()) != (row.subject, row.custodian) or decision.answer is not Answer.PERMIT:
        return False
    try:
        request = request_of(entry)
        if request is None or request.requester.hex() != row.requester or not _covers(request.purposes, row.purposes):
            return False
        if not decision.rules or not all(authorises(directive_of(named), *place) for named, *place in decision.rules):
            return False
        verify_receipt(receipt)
    except (Invalid, Refused):
        return False
    return True


def _covers(asked: tuple[str, ...], told: tuple[str, ...]) -> bool:
    return all(is_known(code) and any(contains(one, code) for one in asked) for code in told)
