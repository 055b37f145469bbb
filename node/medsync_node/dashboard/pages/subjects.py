"""One patient's whole view for staff: record, consents, who looked; and the accounting of disclosures as a sheet to print."""

from __future__ import annotations

from typing import Final, get_args

from starlette.responses import HTMLResponse, Response

from medsync_client import accesses, accounting, consents, contexts, erasures, glass, subjects
from medsync_node.dashboard.pages.access import day, one_of
from medsync_node.dashboard.pages.consents import names_of
from medsync_node.dashboard.pages.reviews import may_review
from medsync_node.dashboard.visit import ROOT, Visit
from medsync_node.printed.disclosures import accounting_sheet
from medsync_node.printed.sheet import headers

SHOWN: Final = 1000  # newest entries on the page; older ones are a page further


async def subject(visit: Visit) -> Response:
    """Record, consents and accesses; each part only where the session may see it."""
    named = visit.place("subject")
    log = await visit.ask_if_allowed(
        accesses.accesses(visit.context, named, cursor=visit.query.get("cursor"), limit=SHOWN)
    )
    return visit.show(
        "subject.html", one=await visit.ask(subjects.subject(visit.context, named)), log=log,
        consents=(await visit.ask(consents.consents(visit.context, named))).consents,
        glass=await visit.ask_if_allowed(glass.reviews(visit.context, named)), may_review=may_review(visit),
        erasure=await visit.ask_if_allowed(erasures.erasure(visit.context, named)), names=await names_of(visit),
    )  # fmt: skip


async def account(visit: Visit) -> Response:
    """An accounting of disclosures, or the whole log of one patient, as a document of its own."""
    query, named = visit.query, visit.place("subject")
    call = accounting.accounting(
        visit.context, named, mode=one_of(query.get("mode", "hipaa528"), get_args(accounting.Mode)), since=day(query.get("since")),
        until=day(query.get("until"), end=True), suspend=query.get("suspend"),
    )  # fmt: skip
    found = await visit.ask(call)
    name = (await visit.ask(contexts.context(visit.context))).name
    document = accounting_sheet(
        found, context=name, made=visit.now, by=visit.node_name, back=f"{ROOT}/c/{visit.context}/subjects/{found.subject}"
    )
    return HTMLResponse(document, headers=headers(document))


PAGES: Final = (
    ("GET", "/c/{context}/subjects/{subject}", subject),
    ("GET", "/c/{context}/subjects/{subject}/accounting", account),
)
