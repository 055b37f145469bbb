"""Policy `both_out`, as p2panda does it: of two who remove each other concurrently both go."""

from __future__ import annotations

from medsync_protocol.ruling import Mutual, Rules


class BothOut(Rules):
    """For comparison: an admin about to be removed takes one with it."""

    name = "both_out"
    about = "as p2panda: two admins who remove each other are both removed"

    def mutual_removal(self) -> Mutual:
        """Both go."""
        return Mutual.BOTH
