"""Rewards over time: terms, points by period and member, what each has earned. Pools and payments are the bridge's."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from medsync_client import contexts
from medsync_client.rewards import RewardPeriod, rewards
from medsync_node.dashboard.visit import Visit


def total(period: RewardPeriod) -> int:
    """Points of all members."""
    return sum(one.points for one in period.points)


async def show(visit: Visit) -> Response:
    """Per context, closed periods with their points, the open one, and what was earned so far."""
    found = []
    for one in (await visit.ask(contexts.contexts())).contexts:
        known = await visit.ask_if_allowed(rewards(one.id))
        if known is not None:
            bars = [(period, total(period)) for period in reversed(known.closed)]
            found.append((one, known, bars, max((points for _, points in bars), default=0)))
    return visit.show("rewards.html", found=found)


PAGES: Final = (("GET", "/rewards", show),)
