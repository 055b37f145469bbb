"""Waiting for facts about processes of their own, which tell nobody when something changed: asked again until it is so."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from medsync_protocol.errors import OperatorError

PATIENCE: Final = 60.0  # seconds until a fact that does not come is an error
POLL_SECONDS: Final = 0.05


class ClusterFailed(OperatorError):
    """A node did not start, or a fact did not come in time."""


def until(fact: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    """Return as soon as a fact holds. Raises ClusterFailed after `seconds`."""
    deadline = time.monotonic() + seconds
    while not fact():
        if time.monotonic() > deadline:
            raise ClusterFailed(
                f"waited {seconds:.0f} s for {what}", advice="see the nodes' daemon.log and status"
            )
        time.sleep(POLL_SECONDS)
