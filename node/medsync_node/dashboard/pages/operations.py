"""The history of a context as a picture with a table beside it: operations and what they build on, checkpoints."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from medsync_client import checkpoints, operations
from medsync_node.dashboard.drawing import RADIUS, draw
from medsync_node.dashboard.visit import Visit

SHOWN: Final = 40  # operations of one picture: more don't fit a screen
CHECKPOINTS: Final = 12


async def history(visit: Visit) -> Response:
    """The newest operations and checkpoints."""
    found = await visit.ask(operations.operations(visit.context, SHOWN))
    listed = (await visit.ask(checkpoints.checkpoints(visit.context, CHECKPOINTS))).checkpoints
    return visit.show(
        "operations.html", found=found, picture=draw(found.operations), radius=RADIUS, checkpoints=listed[::-1]
    )


PAGES: Final = (("GET", "/c/{context}/operations", history),)
