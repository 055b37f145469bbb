"""Consents: looking one up, its rules in words, its checks, and taking it back as its custodian."""

from __future__ import annotations

import re
from typing import Final

from starlette.responses import Response

from medsync_client import consents, contexts
from medsync_client.consents import RevocationText, Revoke
from medsync_client.proofs import prove_consent
from medsync_node.dashboard.downloads import as_file
from medsync_node.dashboard.visit import Visit

ID: Final = re.compile("[0-9a-f]{64}")


async def names_of(visit: Visit) -> dict[str, str]:
    """Members of the context by id; empty where the session may not know them."""
    found = await visit.ask_if_allowed(contexts.context_members(visit.context))
    return {} if found is None else {one.id: one.name for one in found.members}


async def search(visit: Visit) -> Response:
    """All consents of a subject, or by its id the one that is meant."""
    wanted = visit.query.get("q", "")
    if ID.fullmatch(wanted):
        return visit.go(f"/c/{visit.context}/consents/{wanted}")
    found = (await visit.ask(consents.consents(visit.context, wanted))).consents if wanted else None
    return visit.show("consents.html", found=found, wanted=wanted, names=await names_of(visit))


async def detail(visit: Visit) -> Response:
    """One consent with every check by name."""
    named = visit.place("consent")
    checked = await visit.ask(consents.verify_consent(visit.context, named))
    revoke_at = consents.revoke(visit.context, _revocation(checked.consent.subject, named))
    return visit.show(
        "consent.html", checked=checked, one=checked.consent, names=await names_of(visit),
        may_revoke=visit.may(revoke_at.method, revoke_at.path),
    )  # fmt: skip


def _revocation(subject: str, named: str) -> Revoke:
    return Revoke(attest=RevocationText(subject=subject, targets=(named,)))


async def revoke(visit: Visit) -> Response:
    """Take it back, attested by this node's member."""
    named = visit.place("consent")
    one = await visit.ask(consents.consent(visit.context, named))
    await visit.ask(consents.revoke(visit.context, _revocation(one.subject, named)))
    return visit.go(f"/c/{visit.context}/consents/{named}")


async def proof(visit: Visit) -> Response:
    """The proof of its status under the newest accepted checkpoint."""
    named = visit.place("consent")
    made = await visit.ask(prove_consent(visit.context, named))
    return as_file(made, f"consent-{named[:12]}.proof.json")


PAGES: Final = (
    ("GET", "/c/{context}/consents", search),
    ("GET", "/c/{context}/consents/{consent}", detail),
    ("POST", "/c/{context}/consents/{consent}/revoke", revoke),
    ("GET", "/c/{context}/consents/{consent}/proof", proof),
)
