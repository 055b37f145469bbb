"""Whether a shown receipt proves that its signer's report is false: everyone can check it, whoever shows it (PROTOCOL §9)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from medsync_protocol.access import Answer
from medsync_protocol.codec import pack, unpack
from medsync_protocol.errors import Invalid
from medsync_protocol.ids import ContextId, MemberId, NetworkId
from medsync_protocol.purposes import ANCESTORS
from medsync_protocol.receipt import Receipt, ReceiptEntry, decode_receipt, encode_receipt, verify_receipt
from medsync_protocol.reward_labels import FalseReport, relation_token
from medsync_protocol.reward_points import Reported

UNREWARDED: Final = frozenset({"ETREAT", "BTG", "HMARKT"})
"""Purposes that never earn, and all below them: emergencies and marketing must not pay."""


def is_rewarded(purpose: str) -> bool:
    """Whether disclosing for a purpose can earn a point; False for a code the tree doesn't know."""
    return purpose in ANCESTORS and not ANCESTORS[purpose] & UNREWARDED


def false_report(period: int, receipt: Receipt) -> FalseReport:
    """What to show when a receipt's signer reported it and may not have."""
    text, signature, *_ = unpack(encode_receipt(ReceiptEntry(receipt)))
    return FalseReport(period=period, text=text, signature=signature)


def proven(
    shown: FalseReport, reports: Mapping[MemberId, Reported], network: NetworkId, context: ContextId
) -> MemberId | None:
    """The custodian that signed this receipt, reported it, and may not have: it says no, or is about what never earns."""
    try:
        receipt = decode_receipt(pack([shown.text, shown.signature, b"", b""])).receipt
        verify_receipt(receipt)
    except Invalid:
        return None
    reported = reports.get(receipt.signer)
    if reported is None or (receipt.network, receipt.context) != (network, context):
        return None
    said = frozenset().union(*reported.given.values())
    permits = receipt.decision.answer is Answer.PERMIT
    wrong = (code for code in ANCESTORS if not permits or not is_rewarded(code))
    found = any(relation_token(receipt.id, code, shown.period) in said for code in wrong)
    return receipt.signer if found else None
