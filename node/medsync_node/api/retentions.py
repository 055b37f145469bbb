"""How long the log's rows are kept, and legal holds on a month's. What ends them is medsync_protocol.retention's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fastapi import APIRouter

from medsync_client.erasures import Hold, HoldSet
from medsync_client.retentions import KeptMonth, Retention
from medsync_node.api.finding import find_replica, member_names, pick
from medsync_node.api.levels import write
from medsync_protocol.erasure import NOTHING, ErasureBook
from medsync_protocol.errors import Refused
from medsync_protocol.ids import OpId, SubjectRef, short
from medsync_protocol.retention import MONTH_ENDED, SETTING, RetentionBook, hold_month, month_text

if TYPE_CHECKING:
    from medsync_node.node import Node
    from medsync_protocol.replica import Replica


def _book(replica: Replica) -> RetentionBook:
    if replica.retention is None:
        raise Refused(
            "this context keeps no rows beyond their subject", code="no_retention",
            advice=f"found one with --setting {SETTING}=72 for six years",
        )  # fmt: skip
    return replica.retention


def _view(replica: Replica, erasure: ErasureBook) -> Retention:
    book, names = replica.retention, member_names(replica)
    if book is None:
        return Retention(months=None)
    kept = []
    for ref, made in sorted(book.held().items(), key=lambda one: (one[1].month, one[1].member)):
        holds = tuple(
            Hold(id=op_id.hex(), custodian=names.get(member, short(member)), reason=reason)
            for op_id, (member, reason) in sorted(erasure.holding(ref).items())
        )
        ends = datetime.fromtimestamp(book.ends(made.month), UTC).strftime("%Y-%m-%d")
        kept.append(
            KeptMonth(
                id=ref.hex(), month=month_text(made.month), member=names.get(made.member, short(made.member)), ends=ends,
                holds=holds,
            )
        )  # fmt: skip
    ended = sum(order == MONTH_ENDED for order in replica.erased.closed.values())
    return Retention(months=book.months, kept=tuple(kept), ended=ended)


def routes(node: Node) -> APIRouter:
    """Routes over this node."""
    router = APIRouter(tags=["erasure"])

    @router.get("/contexts/{context}/retention")
    async def show_retention(context: str) -> Retention:
        """The months whose rows are kept here."""
        replica = find_replica(node, context)
        return _view(replica, node.engine.desk(replica.context).application.erasure)

    @router.post("/contexts/{context}/retention/{month}/holds")
    async def hold_retention(context: str, month: str, body: HoldSet) -> Retention:
        """Hold a month's rows back from their end, or end a hold of this member's."""
        replica = find_replica(node, context)
        erasure = node.engine.desk(replica.context).application.erasure
        held = _book(replica).held()
        ref = pick(month, ((one, one.hex(), one) for one in held), "month", f"context retention {replica.name}")
        releases = NOTHING if body.releases is None else OpId(bytes.fromhex(body.releases))
        await write(node, replica, lambda now: hold_month(replica, erasure, SubjectRef(ref), body.reason, releases))
        return _view(replica, erasure)

    return router
