"""Asking a custodian on a caller's behalf: whom to ask, and what came of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from medsync_client.accesses import AccessAnswer, AccessRequest, AnswerName, Ended
from medsync_client.documents import period_of
from medsync_node.api.finding import find_member, find_replica, find_subject, member_names
from medsync_node.api.levels import require_writer
from medsync_protocol import authority
from medsync_protocol.access import Answer, Half, decode_access, make_request
from medsync_protocol.errors import Malformed, Refused
from medsync_protocol.explaining import Explanation
from medsync_protocol.ids import DirectiveId, Instant, MemberId, OpId, SubjectRef
from medsync_protocol.kinds import EntryKind
from medsync_protocol.receipt import ReceiptEntry, encode_receipt

if TYPE_CHECKING:
    from medsync_node.node import Node
    from medsync_protocol.replica import Replica

ANSWER_NAMES: Final[dict[Answer, AnswerName]] = {
    Answer.PERMIT: "PERMIT", Answer.DENY: "DENY", Answer.NO_CONSENT: "NO_CONSENT",
    Answer.INDETERMINATE: "INDETERMINATE", Answer.ERASED: "ERASED",
}  # fmt: skip
NEWEST_HALVES: Final = 16  # among them is the one just written, unless a burst of others came between


def custodian_of(node: Node, replica: Replica, subject: SubjectRef, named: str | None) -> MemberId:
    """Whom to ask: the one named, else this member, else one that is linked now, else any of the record."""
    custodians = node.engine.desk(replica.context).application.subject(subject).custodians
    if named is not None:
        return find_member(replica, named)
    if not custodians:
        raise Refused(
            "the subject's record was changed at two places at once, and no custodian stands in both",
            code="no_custodian", advice="enrol the patient anew, and link the two pseudonyms with `medsync subject link`",
        )  # fmt: skip
    linked = {replica.membership.devices.get(device) for device in node.transport.linked()}

    def preference(member: MemberId) -> tuple[bool, bool, MemberId]:
        return member != replica.member, member not in linked, member

    return min(custodians, key=preference)


def answer_of(entry: ReceiptEntry, op: OpId | None, names: Mapping[MemberId, str]) -> AccessAnswer:
    """What a caller is told of a decision; `op`: where the requester's half stands; `names` of members."""
    receipt = entry.receipt
    decision = receipt.decision
    return AccessAnswer(
        answer=ANSWER_NAMES[decision.answer], reason=decision.reason.value, obligations=decision.obligations,
        rules=tuple(
            ":".join([named.hex(), *(str(part) for part in places if part is not None)])
            for named, *places in decision.rules
        ),
        custodian=receipt.signer.hex(), custodian_name=names.get(receipt.signer, ""), receipt_id=receipt.id.hex(), receipt=encode_receipt(entry).hex(),
        op=None if op is None else op.hex(), time=receipt.time,
    )  # fmt: skip


async def _own_half(node: Node, replica: Replica, subject: SubjectRef, receipt: bytes) -> tuple[OpId, int, int] | None:
    """Operation, its seq and the index of the requester's half of an answer that just came."""
    for _, opened, _ in await node.log(replica.context, (EntryKind.ACCESS,), subject, None, NEWEST_HALVES):
        try:
            entry = decode_access(opened.payload)
        except Malformed:
            continue
        if entry.half is Half.REQUESTED and entry.receipt == receipt:
            return opened.op_id, opened.seq, opened.index
    return None


async def ask(node: Node, context: str | None, body: AccessRequest) -> tuple[AccessAnswer, tuple[OpId, int, int] | None]:
    """Put a request; the answer, and where the requester's half stands. Raises Failure and Refused."""
    replica = find_replica(node, context)
    require_writer(replica)
    subject = find_subject(replica, body.subject)
    custodian = custodian_of(node, replica, subject, body.custodian)
    request = make_request(
        replica.network, replica.context, subject, replica.member, purposes=body.purposes,
        action=body.action, time=Instant(node.now()), salt=os.urandom(16), unit=(body.unit or "").encode(),
        user=(body.user or "").encode(), types=body.types, labels=body.labels,
        data_period=period_of(body.data_period),
    )  # fmt: skip
    entry = await node.ask(replica.context, custodian, request)
    half = await _own_half(node, replica, subject, entry.receipt.id)
    answer = answer_of(entry, None if half is None else half[0], member_names(replica))
    if entry.receipt.decision.answer is Answer.NO_CONSENT:
        explained = node.engine.desk(replica.context).explain(Instant(node.now()), request)
        answer = answer.model_copy(update={"ended": ended_in(explained)})
    return answer, half


def ended_view(consent: DirectiveId, one: authority.Ended) -> Ended:
    """What took a consent back, as a caller reads it."""
    return Ended(
        consent=consent.hex(), why=one.why, document=one.document.hex(), signed_at=one.signed_at, recorded=one.recorded
    )


def ended_in(found: Explanation) -> tuple[Ended, ...]:
    """What took back the consents that would have permitted a request, each once."""
    once = {one.rule[0]: one.ended for one in found.findings if one.ended is not None and not one.missing}
    return tuple(ended_view(consent, one) for consent, one in sorted(once.items()))
