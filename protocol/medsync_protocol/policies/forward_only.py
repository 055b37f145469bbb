"""Policy `forward_only`, as Calimero does it: a removal works from where it is known, what was done beside it counts."""

from __future__ import annotations

from medsync_protocol.ruling import Concurrent, Rules


class ForwardOnly(Rules):
    """For comparison: whoever is removed goes on by citing an old past, until a checkpoint is final."""

    name = "forward_only"
    about = "as Calimero: a removal works forward only, so back-dating wins until it is final"

    def concurrent_ops_of_removed(self) -> Concurrent:
        """They count."""
        return Concurrent.KEEP
