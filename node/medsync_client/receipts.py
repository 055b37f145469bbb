"""A receipt as this node holds it, and what came of deciding again on the inputs that it names."""

from __future__ import annotations

from medsync_client.accesses import AnswerName
from medsync_client.calls import Call, path
from medsync_client.wire import Hex32, HexBytes, Millis, View


class ReceiptView(View):
    """A decision with its provenance. `recomputed` names the outcome, `outcome` says it in a sentence."""

    id: Hex32
    op: Hex32
    answer: AnswerName
    reason: str
    obligations: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    custodian: Hex32
    custodian_name: str = ""
    purposes: tuple[str, ...] = ()
    action: str = ""
    time: Millis
    evaluator: int
    tree: str
    receipt: HexBytes
    recomputed: str
    outcome: str


def receipt(context: str, subject: str, named: str) -> Call[ReceiptView]:
    """One receipt of a subject, re-computed now. NotFound when it isn't held or not for this member."""
    return Call(path=path("contexts", context, "receipts", named), query={"subject": subject}, answer=ReceiptView)
