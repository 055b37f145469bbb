"""A receipt as this node holds it, and what came of deciding again on the inputs that it names."""

from __future__ import annotations

from medsync_client.accesses import AnswerName
from medsync_client.calls import Call, path
from medsync_client.wire import Body, Hex32, HexBytes, Millis, View


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


class ReceiptPayload(Body):
    """A receipt as it was given out: its bytes in hex."""

    receipt: HexBytes


class ReceiptCheck(View):
    """What came of re-computing a receipt. `ok`: it matches, or its signature is valid and its inputs were erased.

    `signer_is_custodian`: of the subject, as its record stands today; None once that is erased, or where it isn't held.
    """

    id: Hex32
    answer: AnswerName
    custodian: Hex32
    custodian_name: str = ""
    time: Millis
    ok: bool
    signer_is_custodian: bool | None
    recomputed: str
    outcome: str


def verify_receipt(context: str, body: ReceiptPayload) -> Call[ReceiptCheck]:
    """Decide again on the inputs that a receipt names, from what this node holds."""
    return Call(method="POST", path=path("contexts", context, "receipts:verify"), body=body, answer=ReceiptCheck)


def receipt(context: str, subject: str, named: str) -> Call[ReceiptView]:
    """One receipt of a subject, re-computed now. NotFound when it isn't held or not for this member."""
    return Call(path=path("contexts", context, "receipts", named), query={"subject": subject}, answer=ReceiptView)
