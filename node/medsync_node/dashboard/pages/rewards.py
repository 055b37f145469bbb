"""Rewards over time, of one context or of all: terms, points by period and member, roots and payments of the pool, what each has earned.

Making, funding and drawing on pools is the bridge's.
"""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from medsync_client import contexts
from medsync_client.rewards import pool_history, rewards
from medsync_node.dashboard.reward_drawing import columns, flow, paid_to
from medsync_node.dashboard.visit import Visit


async def show(visit: Visit) -> Response:
    """Per context, closed periods with their points, the open one, the pool's steps, and what was earned so far."""
    found, listed = [], (await visit.ask(contexts.contexts())).contexts
    wanted = (await visit.ask(contexts.context(visit.context))).id if visit.context else None
    for one in (one for one in listed if wanted in (None, one.id)):
        known = await visit.ask_if_allowed(rewards(one.id))
        if known is not None:
            history = None if known.terms is None else await visit.ask_if_allowed(pool_history(one.id))
            moved = None if history is None or history.trouble else flow(history)
            found.append((one, known, columns(known, history), history, moved, paid_to(history)))
    return visit.show("rewards.html", found=found)


PAGES: Final = (("GET", "/rewards", show), ("GET", "/c/{context}/rewards", show))
