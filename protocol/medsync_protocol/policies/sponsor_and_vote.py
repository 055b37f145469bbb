"""Policy `sponsor_and_vote`: a member sponsors a newcomer and admins vote; removals are any admin's, at once."""

from __future__ import annotations

from medsync_protocol.actions import Action, Admit, Remove
from medsync_protocol.ids import MemberId
from medsync_protocol.kinds import Role
from medsync_protocol.membership_state import MembershipState
from medsync_protocol.ruling import Allow, Needs, Ruling, Voting


class SponsorAndVote(Voting):
    """Slow in, fast out."""

    name = "sponsor_and_vote"
    about = "any writing member sponsors a newcomer, a majority of admins votes; an admin removes at once"

    def quorum(self, state: MembershipState) -> int:
        """⌊n/2⌋ + 1 of the admins."""
        return len(state.admins()) // 2 + 1

    def votes(self, state: MembershipState, action: Action) -> Needs:
        """Of the admins: a sponsor that is none adds no vote."""
        return Needs(self.quorum(state), frozenset(state.admins()))

    def rule(self, state: MembershipState, author: MemberId, action: Action) -> Ruling:
        """Removals don't wait for votes."""
        return Allow() if isinstance(action, Remove) else super().rule(state, author, action)

    def role_for(self, action: Action) -> Role:
        """Every writing member sponsors."""
        return Role.MEMBER if isinstance(action, Admit) else super().role_for(action)
