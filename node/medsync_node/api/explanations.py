"""Explaining decisions: a question put to this node's own view, now or of the past, or a receipt's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastapi import APIRouter

from medsync_client.documents import EFFECT_NAMES, period_of
from medsync_client.explanations import Basis, ExplainRequest, Explanation, RuleFinding
from medsync_node.api.deciding import ANSWER_NAMES, ended_view
from medsync_node.api.finding import find_anyone, find_replica, find_subject
from medsync_node.api.problems import unprocessable
from medsync_node.api.receipts import find_receipt, receipts_of
from medsync_protocol import explaining
from medsync_protocol.access import make_request
from medsync_protocol.errors import Invalid
from medsync_protocol.ids import Instant

if TYPE_CHECKING:
    from medsync_node.node import Node

MAX_PROOFS: Final = 8  # receipts tried for the freshness of a past moment: one is enough, most are alike
_NO_SALT = bytes(16)  # nothing is signed or kept of the question


def _view(found: explaining.Explanation, basis: Basis, time: int, proof: bytes | None = None) -> Explanation:
    decision = found.decision
    return Explanation(
        answer=ANSWER_NAMES[decision.answer], reason=decision.reason.value, obligations=decision.obligations, basis=basis,
        time=time, needed=found.needed, freshness="unknown" if found.fresh is None else "fresh" if found.fresh else "stale",
        proven_by=None if proof is None else proof.hex(),
        findings=tuple(
            RuleFinding(
                consent=one.rule[0].hex(), rule=one.rule[1], exception=one.rule[2], effect=EFFECT_NAMES[one.effect],
                decides=one.decides, missing=one.missing, unheard=one.unheard,
                ended=None if one.ended is None else ended_view(one.rule[0], one.ended),
            )
            for one in found.findings
        ),
    )  # fmt: skip


def routes(node: Node) -> APIRouter:
    """Routes over this node."""
    router = APIRouter(tags=["access"])

    @router.post("/contexts/{context}/access:explain")
    async def explain(context: str, body: ExplainRequest) -> Explanation:
        """Which consent and rule decide, and what would be needed. Nothing is released or logged as an access."""
        replica = find_replica(node, context)
        desk = node.engine.desk(replica.context)
        subject = find_subject(replica, body.subject)
        if body.receipt is not None:
            if body.purposes or body.at is not None or body.requester is not None:
                raise unprocessable("two_questions", "a receipt has its own question and time", "give the receipt alone")
            desk.application.subject(subject)
            _, entry = await find_receipt(node, replica, subject, body.receipt)
            return _view(desk.review.explain_receipt(entry), "receipt", entry.receipt.time)
        now = Instant(node.now())
        at = None if body.at is None else Instant(body.at)
        request = make_request(
            replica.network, replica.context, subject,
            replica.member if body.requester is None else find_anyone(replica, body.requester), purposes=body.purposes,
            action=body.action, time=now, salt=_NO_SALT, unit=(body.unit or "").encode(), user=(body.user or "").encode(),
            types=body.types, labels=body.labels, data_period=period_of(body.data_period),
        )  # fmt: skip
        if at is None:
            return _view(desk.explain(now, request), "now", now)
        desk.application.subject(subject)
        settings = desk.application.settings
        since = at - settings.age_for(request.purposes) - settings.skew  # what was heard before proves nothing of then
        for entry in await receipts_of(node, replica, subject, since, at, MAX_PROOFS):
            try:
                found = desk.explain(now, request, at, entry)
            except Invalid:
                continue  # whoever wrote it, it proves nothing
            if found.fresh:
                return _view(found, "past", at, entry.receipt.id)
        return _view(desk.explain(now, request, at), "past", at)

    return router
