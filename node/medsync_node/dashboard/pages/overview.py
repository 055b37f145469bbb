"""The first page: whether all is well, per context; who is linked; what wants doing."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from medsync_client import contexts, members, status
from medsync_node.dashboard.visit import Visit


async def overview(visit: Visit) -> Response:
    """Warnings first, then contexts with how far they are, then members."""
    return visit.show(
        "overview.html",
        status=200,
        account=await visit.ask(status.status()),
        contexts=(await visit.ask(contexts.contexts())).contexts,
        network=await visit.ask_if_allowed(members.network()),
    )


async def context(visit: Visit) -> Response:
    """One context: members, voters, chains, what waits."""
    return visit.show("context.html", found=await visit.ask(contexts.context(visit.context)))


PAGES: Final = (("GET", "/overview", overview), ("GET", "/c/{context}", context))
