"""The eight steps in order, each timed; where one can't go on, those after it are not told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from medsync_client.errors import ClientError
from medsync_node.demo import checkpoint, consent, decision, network, removal, revocation, rewards, verify
from medsync_node.demo.chapter import Chapter
from medsync_node.demo.world import World
from medsync_protocol.errors import MedSyncError

Tell = Callable[[World, Chapter], Awaitable[None]]
STEPS: Final[tuple[tuple[str, Tell], ...]] = (
    ("network", network.tell), ("consent", consent.tell), ("decision", decision.tell), ("revocation", revocation.tell),
    ("removal", removal.tell), ("checkpoint", checkpoint.tell), ("verify", verify.tell),
    ("rewards", rewards.tell),
)  # fmt: skip


async def tell(world: World, progress: Callable[[str], None]) -> list[Chapter]:
    """All steps. What goes wrong on purpose stands in a chapter's `problem`."""
    chapters = [Chapter(name) for name, _ in STEPS]
    for number, (chapter, (name, step)) in enumerate(zip(chapters, STEPS, strict=True), start=1):
        progress(f"{number}/{len(STEPS)} {name} …")
        began = trio.current_time()
        try:
            await step(world, chapter)
        except (MedSyncError, ClientError) as error:
            advice = getattr(error, "advice", "")
            chapter.problem = f"{type(error).__name__}: {error}" + (f" ({advice})" if advice else "")
        chapter.seconds = trio.current_time() - began
        if chapter.problem is not None:
            for rest in chapters[number:]:
                rest.problem = f"not told: step {name} did not come to its end"
            break
    return chapters
