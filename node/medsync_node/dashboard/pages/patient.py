"""A patient's own page: her consents, who looked and why, and taking a consent back by a key that stays in her browser."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from medsync_client import accesses, consents, contexts, glass, subjects
from medsync_client.consents import Revoke, SignedDocument
from medsync_client.errors import BadRequest
from medsync_node.access_sessions import rolled_up
from medsync_node.dashboard.visit import Visit
from medsync_protocol.directive import parse_revocation
from medsync_protocol.errors import Malformed

SHOWN: Final = 200  # newest accesses


def _mine(visit: Visit) -> tuple[str, str]:
    assert visit.session.grant.patient is not None, "only patients come here"
    return visit.session.grant.patient


async def me(visit: Visit) -> Response:
    """All of it. That it was read stands in the log, as always."""
    context, subject = _mine(visit)
    page = await visit.ask(accesses.accesses(context, subject, cursor=visit.query.get("cursor"), limit=SHOWN))
    return visit.show(
        "me.html", one=await visit.ask(subjects.subject(context, subject)), log=page, sessions=rolled_up(page.entries),
        consents=(await visit.ask(consents.consents(context, subject))).consents, glass=await visit.ask(glass.reviews(context, subject)),
        names={one.id: one.name for one in (await visit.ask(contexts.context_members(context))).members},
    )  # fmt: skip


async def revoke(visit: Visit) -> Response:
    """Put a revocation on record that her browser signed; only for her own subject."""
    context, subject = _mine(visit)
    document, signature = visit.form.get("document", ""), visit.form.get("signature", "")
    try:
        about = parse_revocation(bytes.fromhex(document)).subject.hex()
    except (ValueError, Malformed) as error:
        raise BadRequest(
            "the browser sent no signed revocation", code="not_signed",
            advice="this needs JavaScript and a key in this browser; else use `medsync consent revoke --key FILE`",
        ) from error  # fmt: skip
    if about != subject:
        raise BadRequest("this is about another record", code="other_subject", advice="load the page again")
    signed = SignedDocument(document=document, signature=signature)
    await visit.ask(consents.revoke(context, Revoke(signed=signed), wait=True))
    return visit.go("/me")


PAGES: Final = (("GET", "/me", me), ("POST", "/me/revoke", revoke))
