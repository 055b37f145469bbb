"""The first page: whether all is well, per context; who is linked; what wants doing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from starlette.responses import Response

from medsync_client import contexts, members, status
from medsync_client.contexts import Context
from medsync_node.dashboard.visit import Visit

PLAIN: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,63}", re.ASCII)


def place(one: Context, everyone: Sequence[Context]) -> str:
    """How a context is called in paths: by its name where that is plain and no other's, else by its id."""
    plain = PLAIN.fullmatch(one.name) is not None
    return one.name if plain and sum(other.name == one.name for other in everyone) == 1 else one.id


async def overview(visit: Visit) -> Response:
    """Warnings first, then contexts with how far they are, then members."""
    listed = (await visit.ask(contexts.contexts())).contexts
    return visit.show(
        "overview.html", account=await visit.ask(status.status()), contexts=[(one, place(one, listed)) for one in listed],
        network=await visit.ask_if_allowed(members.network()),
    )  # fmt: skip


async def context(visit: Visit) -> Response:
    """One context: members, voters, chains, what waits."""
    return visit.show("context.html", found=await visit.ask(contexts.context(visit.context)))


PAGES: Final = (("GET", "/overview", overview), ("GET", "/c/{context}", context))
