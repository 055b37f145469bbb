"""The patients whose records this node keeps, or knows: found by the first digits of a pseudonym, page by page.

One patient's whole view is subjects.py's. A record number is nowhere in here: it stays in the institution's own database.
"""

from __future__ import annotations

import re
from typing import Final

from starlette.responses import Response

from medsync_client import accesses, accounting, subjects
from medsync_client.errors import BadRequest
from medsync_node.dashboard.pages.consents import names_of
from medsync_node.dashboard.visit import Visit
from medsync_protocol.subject import CARD_PREFIX

PAGE: Final = 50  # patients of one page
WHOLE: Final = re.compile("[0-9a-f]{32}")
DIGITS: Final = re.compile("[0-9a-f]{0,31}")


async def patients(visit: Visit) -> Response:
    """The list; for a whole pseudonym or a card, that patient's page."""
    wanted = visit.query.get("subject", "").lower() if CARD_PREFIX not in visit.query.get("subject", "") else visit.query["subject"]
    if WHOLE.fullmatch(wanted) or wanted.startswith(CARD_PREFIX):
        found = await visit.ask(subjects.subject(visit.context, wanted))
        return visit.go(f"/c/{visit.context}/subjects/{found.subject}")
    after, everyone = visit.query.get("after"), "everyone" in visit.query
    if not DIGITS.fullmatch(wanted) or (after is not None and not WHOLE.fullmatch(after)):
        raise BadRequest("this is no pseudonym and no card", code="bad_subject", advice="give digits 0-9 and a-f, or the text of a card")
    page = await visit.ask(subjects.subjects(visit.context, wanted, everyone=everyone, after=after, limit=PAGE))
    looks, counts = accesses.accesses(visit.context, "-"), accounting.accounting(visit.context, "-")
    return visit.show(
        "patients.html", found=page.subjects, following=page.next, wanted=wanted, everyone=everyone, names=await names_of(visit),
        may_look=visit.may(looks.method, looks.path), may_account=visit.may(counts.method, counts.path),
    )  # fmt: skip


PAGES: Final = (("GET", "/c/{context}/subjects", patients),)
