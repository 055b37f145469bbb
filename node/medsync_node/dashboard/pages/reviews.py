"""What somebody should look into: glass that was broken, and halves of accesses that don't fit together, of all patients."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from medsync_client import accesses, accounting
from medsync_client.errors import BadRequest
from medsync_node.dashboard.visit import Visit

DAYS: Final = (1, 7, 30, 90)  # how far back, as offered
SHOWN: Final = 200  # broken glass of one page: more in the access log


async def reviews(visit: Visit) -> Response:
    """Of the last days, once somebody asks: reading the log is logged for every patient in it."""
    days = visit.query.get("days")
    if days is None:
        return visit.show("reviews.html", broken=None, found=None, days=DAYS, chosen=7)
    if days not in map(str, DAYS):
        raise BadRequest("that is no such time", code="days", advice="choose one from the list")
    since = visit.now - int(days) * 86_400_000
    broken = await visit.ask(accesses.accesses(visit.context, half="break-glass", since=since, limit=SHOWN))
    found = await visit.ask(accounting.reconcile(visit.context, since=since))
    return visit.show("reviews.html", broken=broken, found=found, days=DAYS, chosen=int(days))


PAGES: Final = (("GET", "/c/{context}/reviews", reviews),)
