"""Erasure of subjects: orders, legal holds, and how far it is. Who may is the desk's to say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter

from medsync_client.erasures import Erasure, Hold, HoldSet, OrderSigned
from medsync_node.api.finding import find_replica, find_subject, member_names
from medsync_node.api.levels import write
from medsync_protocol.erasing import attestations
from medsync_protocol.erasure import NOTHING
from medsync_protocol.errors import UnknownSubject
from medsync_protocol.ids import Instant, OpId, SubjectRef, short

if TYPE_CHECKING:
    from medsync_node.node import Node
    from medsync_protocol.consent import MedSyncApplication
    from medsync_protocol.replica import Replica


def erasure_view(replica: Replica, application: MedSyncApplication, subject: SubjectRef) -> Erasure:
    """How far an erasure is here. Raises UnknownSubject."""
    standing, destroyed = application.standing(subject), subject in replica.erased.closed
    if standing is None and not destroyed:
        raise UnknownSubject("no such subject here", code="unknown_subject", advice="enrol or link it first")
    names = member_names(replica)
    holds = {} if standing is None else application.erasure.holds(subject, standing)
    said, members = attestations(replica, subject)
    return Erasure(
        subject=subject.hex(), ordered=application.hidden(subject), destroyed=destroyed, attested=said, members=members,
        holds=tuple(
            Hold(id=op_id.hex(), custodian=names.get(member, short(member)), reason=reason)
            for op_id, (member, reason) in sorted(holds.items())
        ),
    )  # fmt: skip


def routes(node: Node) -> APIRouter:
    """Routes over this node."""
    router = APIRouter(tags=["erasure"])
    engine = node.engine

    @router.get("/contexts/{context}/subjects/{named}/erasure")
    async def show_erasure(context: str, named: str) -> Erasure:
        """How far an erasure is."""
        replica = find_replica(node, context)
        return erasure_view(replica, engine.desk(replica.context).application, find_subject(replica, named))

    @router.post("/contexts/{context}/subjects/{named}/erasure")
    async def order_erasure(context: str, named: str, body: OrderSigned) -> Erasure:
        """Order an erasure, by a patient's signed document or as a custodian."""
        replica = find_replica(node, context)
        desk = engine.desk(replica.context)
        subject = find_subject(replica, named)
        document, signature = bytes.fromhex(body.document), bytes.fromhex(body.signature)
        if document:
            await write(node, replica, lambda now: desk.erase_signed(document, signature))
        else:
            await write(node, replica, lambda now: desk.erase_attested(Instant(now), subject))
        return erasure_view(replica, desk.application, subject)

    @router.post("/contexts/{context}/subjects/{named}/holds")
    async def hold_subject(context: str, named: str, body: HoldSet) -> Erasure:
        """Hold a record back from erasure as a custodian, or end a hold of this member's."""
        replica = find_replica(node, context)
        desk = engine.desk(replica.context)
        subject = find_subject(replica, named)
        releases = NOTHING if body.releases is None else OpId(bytes.fromhex(body.releases))
        await write(node, replica, lambda now: desk.hold(subject, body.reason, releases))
        return erasure_view(replica, desk.application, subject)

    return router
