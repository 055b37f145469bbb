"""The first page: whether all is well, per context; who is linked; what wants doing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from starlette.responses import Response

from medsync_client import contexts, governance, members, status
from medsync_client.contexts import Context
from medsync_node.dashboard.visit import Visit

ASKED: Final = 20  # contexts whose open votes are counted, each a call; of further ones the members' page tells
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
        network=await visit.ask_if_allowed(members.network()), votes={one.id: await _votes(visit, one) for one in listed[:ASKED]},
    )  # fmt: skip


async def _votes(visit: Visit, one: Context) -> int:
    """How many open votes this node's member has not cast."""
    rules = await visit.ask_if_allowed(governance.governance(one.id))
    return 0 if rules is None else sum(each.mine for each in rules.proposals) + sum(each.mine for each in rules.ballots)


async def context(visit: Visit) -> Response:
    """One context: members, voters, chains, what waits."""
    return visit.show("context.html", found=await visit.ask(contexts.context(visit.context)))


PAGES: Final = (("GET", "/overview", overview), ("GET", "/c/{context}", context))
