"""Policy `supermajority`: more than two thirds of the writing members change the membership, like voters a checkpoint."""

from __future__ import annotations

from medsync_protocol.membership_state import MembershipState, quorum
from medsync_protocol.policies.majority import Majority


class Supermajority(Majority):
    """Under a third of colluders neither bring anyone in nor keep anyone out."""

    name = "supermajority"
    about = "more than two thirds of the writing members change the membership; any of them proposes"

    def quorum(self, state: MembershipState) -> int:
        """As for checkpoints."""
        return quorum(len(self.electors(state)))
