"""Receipts of a subject: found in the log, shown, and re-computed from what this node holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, Path

from medsync_client.receipts import ReceiptCheck, ReceiptPayload, ReceiptView
from medsync_node.api.deciding import ANSWER_NAMES
from medsync_node.api.finding import find_replica, find_subject, member_names
from medsync_node.api.problems import not_found, unprocessable
from medsync_protocol.errors import BadSignature, Malformed
from medsync_protocol.ids import OpId, SubjectRef
from medsync_protocol.kinds import EntryKind
from medsync_protocol.receipt import Receipt, ReceiptEntry, Recomputed, decode_receipt, encode_receipt, request_of
from medsync_protocol.receipt import verify_receipt as verify_signature

if TYPE_CHECKING:
    from medsync_node.node import Node
    from medsync_protocol.replica import Replica

Id = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]
PAGE: Final = 200  # entries read at once
MAX_LOOKED_AT: Final = 20_000  # receipts of one subject looked through for one of them: older ones are in the export


async def find_receipt(node: Node, replica: Replica, subject: SubjectRef, named: str) -> tuple[OpId, ReceiptEntry]:
    """A receipt of a subject by its id in hex, and the operation that holds it. Raises Failure."""
    wanted, before = bytes.fromhex(named), None
    for _ in range(MAX_LOOKED_AT // PAGE):
        page = await node.log(replica.context, (EntryKind.RECEIPT,), subject, before, PAGE)
        for cursor, opened, _ in page:
            before = cursor
            try:
                entry = decode_receipt(opened.payload)
            except Malformed:
                continue
            if entry.receipt.id == wanted:
                return opened.op_id, entry
        if not page:
            break
    raise not_found("unknown_receipt", "no such receipt here", "receipts are held by the parties of an access and by auditors")


async def receipts_of(
    node: Node, replica: Replica, subject: SubjectRef, since: int, until: int, limit: int
) -> list[ReceiptEntry]:
    """Receipts of a subject with their views, decided within [since, until] (ms), up to `limit` of those that came last."""
    found: list[ReceiptEntry] = []
    before = None
    for _ in range(MAX_LOOKED_AT // PAGE):
        page = await node.log(replica.context, (EntryKind.RECEIPT,), subject, before, PAGE)
        for cursor, opened, _ in page:
            before = cursor
            try:
                entry = decode_receipt(opened.payload)
            except Malformed:
                continue
            if entry.view and since <= entry.receipt.time <= until:
                found.append(entry)
            if len(found) == limit:
                return found
        if not page:
            break
    return found


def _misplaced(node: Node, receipt: Receipt) -> ReceiptCheck:
    """Of a receipt that names another network or context: it is damaged. Raises Failure where it really is another's."""
    try:
        verify_signature(receipt)
    except BadSignature:
        outcome = f"damaged: it names another network or context, and {Recomputed.BAD_SIGNATURE.value}"
        return ReceiptCheck(
            id=receipt.id.hex(), answer=ANSWER_NAMES[receipt.decision.answer], custodian=receipt.signer.hex(), time=receipt.time, ok=False,
            recomputed=Recomputed.BAD_SIGNATURE.name.lower(), outcome=outcome, signer_is_custodian=None,
        )  # fmt: skip
    held = node.engine.replicas.get(receipt.context)
    if held is None or held.network != receipt.network:
        raise unprocessable("wrong_context", "the receipt is of a context that this node doesn't hold", "verify it at a node of that context")
    raise unprocessable("wrong_context", f"the receipt is of the context {held.name}", f"`medsync receipt verify {held.name} FILE`")


def routes(node: Node) -> APIRouter:
    """Routes over this node."""
    router = APIRouter(tags=["access"])
    engine = node.engine

    @router.get("/contexts/{context}/receipts/{receipt}")
    async def show_receipt(context: str, receipt: Id, subject: str) -> ReceiptView:
        """One receipt, and whether deciding again on its inputs gives the same answer."""
        replica = find_replica(node, context)
        ref = find_subject(replica, subject)
        desk = engine.desk(replica.context)
        desk.application.subject(ref)
        op_id, entry = await find_receipt(node, replica, ref, receipt)
        found, decision, outcome = entry.receipt, entry.receipt.decision, desk.recompute(entry)
        request = request_of(entry)
        return ReceiptView(
            id=receipt, op=op_id.hex(), answer=ANSWER_NAMES[decision.answer], reason=decision.reason.value,
            obligations=decision.obligations,
            rules=tuple(
                ":".join([named.hex(), *(str(part) for part in places if part is not None)])
                for named, *places in decision.rules
            ),
            custodian=found.signer.hex(), custodian_name=member_names(replica).get(found.signer, ""),
            purposes=() if request is None else request.purposes, action="" if request is None else request.action,
            time=found.time, evaluator=found.evaluator, tree=found.tree, receipt=encode_receipt(entry).hex(),
            recomputed=outcome.name.lower(), outcome=outcome.value,
        )  # fmt: skip

    @router.post("/contexts/{context}/receipts:verify")
    async def verify_receipt(context: str, body: ReceiptPayload) -> ReceiptCheck:
        """Decide again on the inputs that a receipt names, as it was given out; what it says needs no entry of the log."""
        replica = find_replica(node, context)
        try:
            entry = decode_receipt(bytes.fromhex(body.receipt))
        except Malformed as error:
            raise unprocessable("malformed", "these bytes are no receipt", "give what `access request` printed as receipt") from error
        receipt = entry.receipt
        if (receipt.network, receipt.context) != (replica.network, replica.context):
            return _misplaced(node, receipt)
        desk = engine.desk(replica.context)
        outcome, standing = desk.recompute(entry), desk.application.standing(receipt.subject)
        known = standing is not None and not desk.application.hidden(receipt.subject)
        return ReceiptCheck(
            id=receipt.id.hex(), answer=ANSWER_NAMES[receipt.decision.answer], custodian=receipt.signer.hex(),
            custodian_name=member_names(replica).get(receipt.signer, ""), time=receipt.time,
            ok=outcome in (Recomputed.MATCHES, Recomputed.INPUTS_ERASED), recomputed=outcome.name.lower(), outcome=outcome.value,
            signer_is_custodian=receipt.signer in standing.custodians if standing is not None and known else None,
        )  # fmt: skip

    return router
