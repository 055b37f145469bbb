"""Policy `founder`: only the owner changes the membership, the founder first; it hands the context over before it goes."""

from __future__ import annotations

from medsync_protocol.actions import Action
from medsync_protocol.ids import MemberId
from medsync_protocol.membership_state import MembershipState
from medsync_protocol.ruling import CHANGES, Deny, Rules, Ruling


class Founder(Rules):
    """One author of changes: nothing to race, and nobody else to repair anything."""

    name = "founder"
    about = "only the owner (first the founder) changes the membership; ownership can be handed over"

    def rule(self, state: MembershipState, author: MemberId, action: Action) -> Ruling:
        """Changes are the owner's."""
        if isinstance(action, CHANGES) and author != state.owner:
            return Deny("only the owner changes the membership")
        return super().rule(state, author, action)

    def keeps_owner(self) -> bool:
        """Else nobody could change anything any more."""
        return True
