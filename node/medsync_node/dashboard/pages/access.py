"""The access log of a subject or of all: filters, halves without a counterpart, and receipts decided again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final, cast, get_args

from starlette.responses import Response

from medsync_client import accesses, receipts
from medsync_client.accesses import AccessPage, AccessRow, AnswerName, HalfName
from medsync_client.errors import BadRequest
from medsync_node.access_sessions import rolled_up
from medsync_node.dashboard.pages.consents import names_of
from medsync_node.dashboard.visit import Visit

PAGE: Final = 100  # entries of one page
LONELY: Final = frozenset({"requested", "disclosed", "refused"})
"""Halves that have a counterpart when both parties wrote theirs; broken glass is one, and may stand alone."""


def unmatched(entries: Iterable[AccessRow]) -> frozenset[str]:
    """Matches of which only one half is among these entries."""
    found = [one for one in entries if one.half in LONELY or one.half == "break-glass"]
    seen = Counter(one.match for one in found)
    return frozenset(one.match for one in found if seen[one.match] == 1 and one.half in LONELY)


def day(text: str | None, end: bool = False) -> int | None:
    """A date field as ms UTC, `end`: of the day after it. Raises BadRequest."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadRequest("this is no date", code="date", advice="write it as 2027-01-31") from error
    millis = int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)
    return millis + 86_400_000 if end else millis


def one_of(text: str | None, allowed: tuple[str, ...]) -> Any:
    """A choice field's text, when it is one of a list. Raises BadRequest."""
    if text is not None and text not in allowed:
        raise BadRequest("there is no such kind of entry", code="filter", advice="choose one from the list")
    return text


async def log(visit: Visit) -> Response:
    """Entries of a subject, or of all, as they are or in sessions; unmatched ones are marked, and shown alone when asked for.

    Nothing is read, and so logged, before the form was sent.
    """
    query = visit.query
    subject, page, lonely = query.get("subject", ""), AccessPage(entries=()), frozenset[str]()
    asked = "subject" in visit.request.query_params
    if asked:
        call = accesses.accesses(
            visit.context, subject or None, purpose=query.get("purpose"), member=query.get("member"), half=one_of(query.get("half"), get_args(HalfName)),
            outcome=one_of(query.get("outcome"), get_args(AnswerName)), since=day(query.get("since")),
            until=day(query.get("until"), end=True), cursor=query.get("cursor"), limit=PAGE,
        )  # fmt: skip
        page = await visit.ask(call)
        lonely = frozenset() if query.get("half") or query.get("outcome") else unmatched(page.entries)
    shown = [one for one in page.entries if one.match in lonely] if query.get("unmatched") else page.entries
    return visit.show(
        "access.html", entries=shown, rolled=rolled_up(shown) if query.get("sessions") else None, following=page.next, lonely=lonely, subject=subject, asked=asked, names=await names_of(visit),
        halves=cast("tuple[str, ...]", get_args(HalfName)), outcomes=cast("tuple[str, ...]", get_args(AnswerName)),
    )  # fmt: skip


async def receipt(visit: Visit) -> Response:
    """A receipt, decided again on the inputs that it names."""
    subject = visit.query.get("subject", "")
    found = await visit.ask(receipts.receipt(visit.context, subject, visit.place("receipt")))
    return visit.show("receipt.html", found=found, subject=subject)


PAGES: Final = (("GET", "/c/{context}/access", log), ("GET", "/c/{context}/receipts/{receipt}", receipt))
