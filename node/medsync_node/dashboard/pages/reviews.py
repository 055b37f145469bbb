"""What somebody should look into, of all patients: glass that was broken, reviewed here, and halves that don't fit together."""

from __future__ import annotations

from typing import Final, get_args

from starlette.responses import Response

from medsync_client import accounting, glass
from medsync_client.errors import BadRequest
from medsync_client.glass import OutcomeName, ReviewText
from medsync_node.dashboard.visit import Visit

DAYS: Final = (1, 7, 30, 90)  # how far back, as offered
SHOWN: Final = 200  # broken glass of one page: those left to review come first
OUTCOMES: Final[dict[str, OutcomeName]] = {outcome: outcome for outcome in get_args(OutcomeName)}


async def reviews(visit: Visit) -> Response:
    """Of the last days, once somebody asks: reading the log is logged for every patient in it."""
    days = visit.query.get("days")
    if days is None:
        return visit.show("reviews.html", broken=None, found=None, days=DAYS, chosen=7, may_review=False, reviewed=False)
    if days not in map(str, DAYS):
        raise BadRequest("that is no such time", code="days", advice="choose one from the list")
    since = visit.now - int(days) * 86_400_000
    broken = await visit.ask(glass.reviews(visit.context, since=since, limit=SHOWN))
    found = await visit.ask(accounting.reconcile(visit.context, since=since))
    return visit.show(
        "reviews.html", broken=broken, found=found, days=DAYS, chosen=int(days), may_review=may_review(visit),
        reviewed="reviewed" in visit.query,
    )  # fmt: skip


def may_review(visit: Visit) -> bool:
    """Whether the form is offered at all: the scope, and read-only mode. Whose review counts, the protocol says of each."""
    call = glass.review_glass(visit.context, "any", ReviewText(outcome="justified"))
    return visit.may(call.method, call.path)


async def review(visit: Visit) -> Response:
    """Put a review on record, as this node's member."""
    outcome = OUTCOMES.get(visit.form.get("outcome", ""))
    if outcome is None:
        raise BadRequest("there is no such outcome", code="outcome", advice="go back and choose one that is offered")
    text = ReviewText(outcome=outcome, note=visit.form.get("note", "")[: glass.MAX_WHY])
    await visit.ask(glass.review_glass(visit.context, visit.place("glass"), text))
    return visit.go(f"/c/{visit.context}/reviews?days=90&reviewed=1")


PAGES: Final = (("GET", "/c/{context}/reviews", reviews), ("POST", "/c/{context}/reviews/{glass}", review))
