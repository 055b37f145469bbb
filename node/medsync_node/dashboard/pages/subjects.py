"""One patient's whole view for staff: record, consents, who looked; made to be printed as an accounting of disclosures."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from medsync_client import accesses, consents, erasures, subjects
from medsync_node.dashboard.pages.consents import names_of
from medsync_node.dashboard.visit import Visit

MAX_PRINTED: Final = 1000  # entries on one printed accounting; older ones are a page further


async def subject(visit: Visit) -> Response:
    """Record, consents and accesses; each part only where the session may see it."""
    named = visit.place("subject")
    log = await visit.ask_if_allowed(
        accesses.accesses(visit.context, named, cursor=visit.query.get("cursor"), limit=MAX_PRINTED)
    )
    return visit.show(
        "subject.html", one=await visit.ask(subjects.subject(visit.context, named)), log=log,
        consents=(await visit.ask(consents.consents(visit.context, named))).consents,
        erasure=await visit.ask_if_allowed(erasures.erasure(visit.context, named)), names=await names_of(visit),
    )  # fmt: skip


async def find(visit: Visit) -> Response:
    """From a card or pseudonym to its page."""
    found = await visit.ask(subjects.subject(visit.context, visit.query.get("subject", "-")))
    return visit.go(f"/c/{visit.context}/subjects/{found.subject}")


PAGES: Final = (("GET", "/c/{context}/subjects", find), ("GET", "/c/{context}/subjects/{subject}", subject))
