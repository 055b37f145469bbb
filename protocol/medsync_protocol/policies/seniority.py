"""Policy `seniority`: an admin acts only on who came after it, so a newcomer can never remove those before it."""

from __future__ import annotations

from medsync_protocol.actions import Action, Remove, SetRole
from medsync_protocol.ids import MemberId
from medsync_protocol.membership_state import MembershipState
from medsync_protocol.ruling import Deny, Rules, Ruling


class Seniority(Rules):
    """Removals and role changes go down the order of admission only."""

    name = "seniority"
    about = "admins admit; they remove and change roles only of those who were admitted after them"

    def rule(self, state: MembershipState, author: MemberId, action: Action) -> Ruling:
        """The author's rank is better than the target's, or it is the author itself."""
        if isinstance(action, (Remove, SetRole)) and action.member != author:
            if self.rank(state, author) > self.rank(state, action.member):
                return Deny("only a senior of the target may do this")
        return super().rule(state, author, action)
