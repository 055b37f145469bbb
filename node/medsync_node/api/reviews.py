"""Break-glass: breaking it, releasing on it, what is left to review, and the reviews. Who may is the protocol's to say."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter
from pydantic import Field

from medsync_client.glass import (
    MAX_LISTED,
    Breaker,
    Breakers,
    BreakerSet,
    BrokenGlass,
    GlassBreak,
    GlassList,
    GlassReview,
    OutcomeName,
    Released,
    ReviewText,
    StateName,
)
from medsync_client.wire import Level
from medsync_node.api.access_log import log_read
from medsync_node.api.deciding import custodian_of
from medsync_node.api.finding import find_member, find_replica, find_subject, member_names, pick
from medsync_node.api.levels import reached, require_writer, write
from medsync_protocol.access import encode_request, make_request, match_id, request_hash
from medsync_protocol.breaking import Breaking
from medsync_protocol.consent import MedSyncApplication
from medsync_protocol.glass import Outcome
from medsync_protocol.glass_book import Case
from medsync_protocol.ids import Instant, short

if TYPE_CHECKING:
    from medsync_node.node import Node
    from medsync_protocol.replica import Replica

OUTCOMES: Final[dict[OutcomeName, Outcome]] = {
    "justified": Outcome.JUSTIFIED, "not-justified": Outcome.NOT_JUSTIFIED, "follow-up": Outcome.FOLLOW_UP,
}  # fmt: skip
OUTCOME_NAMES: Final = {outcome: name for name, outcome in OUTCOMES.items()}


def glass_view(node: Node, replica: Replica, glass: Breaking, case: Case) -> BrokenGlass:
    """One broken glass as a caller reads it, as of now."""
    now = Instant(node.now())
    names, reviewers = member_names(replica), glass.reviewers(case)
    broken, request = case.broken, case.broken.request
    _, unit, user = (*request.actors[0].path, b"", b"")[:3]
    against = glass.refused(now, case)
    return BrokenGlass(
        id=case.id.hex(), op=case.op_id.hex(), effective=case.effective, subject=request.subject.hex(), requester=request.requester.hex(),
        requester_name=names.get(request.requester, ""), unit=unit.decode(errors="replace") or None,
        user=user.decode(errors="replace") or None, custodian=broken.custodian.hex(),
        custodian_name=names.get(broken.custodian, ""), purposes=request.purposes, action=request.action,
        types=request.types, match=match_id(request_hash(encode_request(request))).hex(), reason=broken.reason,
        time=request.time, until=broken.until, holds=not against, why_not=against, state=case.state(reviewers).value,
        due=case.due(glass.settings), overdue=case.overdue(reviewers, glass.settings, now),
        reviewers=tuple(sorted(names.get(one, short(one)) for one in reviewers)), mine=replica.member in reviewers,
        reviews=tuple(
            GlassReview(
                outcome=OUTCOME_NAMES[one.review.outcome], note=one.review.note, by=one.by.hex(), by_name=names.get(one.by, ""),
                time=one.review.time, op=one.op_id.hex(),
            )
            for one in case.by(reviewers)
        ),
    )  # fmt: skip


def unfinished_reviews(node: Node, replica: Replica) -> tuple[int, int]:
    """(how many reviews of broken glass held here are not done, how many of them are overdue); none where no consents are kept."""
    if not isinstance(replica.application, MedSyncApplication):
        return 0, 0
    return node.engine.desk(replica.context).glass.unfinished(Instant(node.now()))


def _breakers(node: Node, replica: Replica) -> Breakers:
    found, names = node.engine.desk(replica.context).glass.breakers(), member_names(replica)
    return Breakers(
        breakers=tuple(
            Breaker(member=one.hex(), name=names.get(one, ""), by_role=not given, given_by=tuple(names.get(by, short(by)) for by in given))
            for one, given in found.items()
        ),
        me=replica.member in found,
    )  # fmt: skip


def _find(glass: Breaking, named: str) -> Case:
    return pick(named, ((case.id, "", case) for case in glass.cases()), "glass", "access reviews CONTEXT")


def routes(node: Node) -> APIRouter:
    """Routes over this node."""
    router = APIRouter(tags=["access"])
    engine = node.engine

    @router.post("/contexts/{context}/access:break-glass")
    async def break_glass(context: str, body: GlassBreak, level: Level = "local") -> BrokenGlass:
        """Break the glass in an emergency: on record before this answers, for custodians and homes to see, and to review.

        No decision, and no freshness: the answer is no permit. The named custodian releases while `holds`.
        """
        replica = find_replica(node, context)
        require_writer(replica)
        subject = find_subject(replica, body.subject)
        custodian = custodian_of(node, replica, subject, body.custodian)
        request = make_request(
            replica.network, replica.context, subject, replica.member, purposes=(body.purpose,), action=body.action,
            time=Instant(node.now()), salt=os.urandom(16), unit=(body.unit or "").encode(), user=(body.user or "").encode(),
            types=body.types,
        )  # fmt: skip
        lasting = None if body.minutes is None else body.minutes * 60_000
        glass = engine.desk(replica.context).glass
        named, done = await write(
            node, replica,
            lambda now: glass.break_glass(Instant(now), request, custodian, reason=body.reason, lasting=lasting),
        )  # fmt: skip
        await reached(node, replica, done, level)
        return glass_view(node, replica, glass, glass.case(named))

    @router.get("/contexts/{context}/reviews")
    async def list_reviews(
        context: str, subject: str | None = None, state: StateName | None = None, since: int | None = None,
        limit: Annotated[int, Field(ge=1, le=MAX_LISTED)] = 100,
    ) -> GlassList:  # fmt: skip
        """Broken glass with its reviews, newest first, of one subject or of all. Reading is logged."""
        replica = find_replica(node, context)
        glass = engine.desk(replica.context).glass
        ref = None if subject is None else find_subject(replica, subject)
        if ref is not None:
            engine.desk(replica.context).application.subject(ref)
        found = [
            case
            for case in glass.cases(ref)
            if (since is None or case.broken.request.time >= since)
            and (state is None or case.state(glass.reviewers(case)).value == state)
        ]
        found.sort(key=lambda case: (-case.broken.request.time, case.id))
        shown = found[:limit]
        await log_read(node, replica, {case.broken.request.subject for case in shown})
        left, overdue = glass.unfinished(Instant(node.now()))
        return GlassList(
            glass=tuple(glass_view(node, replica, glass, case) for case in shown), total=len(found), open=left, overdue=overdue
        )

    @router.get("/contexts/{context}/reviews/{glass}")
    async def show_glass(context: str, glass: str) -> BrokenGlass:
        """One broken glass with its reviews; `holds`: its custodian may release on it now. Reading is logged."""
        replica = find_replica(node, context)
        breaking = engine.desk(replica.context).glass
        case = _find(breaking, glass)
        await log_read(node, replica, (case.broken.request.subject,))
        return glass_view(node, replica, breaking, case)

    @router.post("/contexts/{context}/reviews/{glass}")
    async def review_glass(context: str, glass: str, body: ReviewText) -> BrokenGlass:
        """Say as one of its reviewers what this member found. Said again, the newer counts."""
        replica = find_replica(node, context)
        breaking = engine.desk(replica.context).glass
        named = _find(breaking, glass).id
        await write(
            node, replica, lambda now: breaking.review(Instant(now), named, OUTCOMES[body.outcome], body.note)
        )
        return glass_view(node, replica, breaking, breaking.case(named))

    @router.post("/contexts/{context}/reviews/{glass}/release")
    async def release_glass(context: str, glass: str) -> Released:
        """Record as the custodian that was named that data is released on it: on record before this answers."""
        replica = find_replica(node, context)
        breaking = engine.desk(replica.context).glass
        named = _find(breaking, glass).id
        half, done = await write(node, replica, lambda now: breaking.release(Instant(now), named))
        assert done is not None, "a release is always written"
        return Released(glass=named.hex(), op=done.op_id.hex(), match=half.match.hex(), time=half.time)

    @router.get("/contexts/{context}/breakers")
    async def list_breakers(context: str) -> Breakers:
        """Who may break glass."""
        return _breakers(node, find_replica(node, context))

    @router.put("/contexts/{context}/breakers/{member}")
    async def set_breaker(context: str, member: str, body: BreakerSet) -> Breakers:
        """Give a member the right to break glass, or take it back, as an admin. The same again changes nothing."""
        replica = find_replica(node, context)
        glass = engine.desk(replica.context).glass
        act, whom, salt = glass.give_right if body.allowed else glass.take_right, find_member(replica, member), os.urandom(16)
        await write(node, replica, lambda now: act(whom, salt))
        return _breakers(node, replica)

    return router
