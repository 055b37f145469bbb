"""Policy `majority`: more than half of all members that are no readers change the membership; any of them proposes."""

from __future__ import annotations

from medsync_protocol.actions import Action
from medsync_protocol.ids import MemberId
from medsync_protocol.kinds import Role
from medsync_protocol.membership_state import MembershipState
from medsync_protocol.ruling import CHANGES, Needs, Voting


class Majority(Voting):
    """A republic of writers."""

    name = "majority"
    about = "more than half of the writing members change the membership; any of them proposes"

    def electors(self, state: MembershipState) -> frozenset[MemberId]:
        """Everybody but readers."""
        return frozenset(m for m, held in state.members.items() if held.role >= Role.MEMBER)

    def quorum(self, state: MembershipState) -> int:
        """⌊n/2⌋ + 1."""
        return len(self.electors(state)) // 2 + 1

    def votes(self, state: MembershipState, action: Action) -> Needs:
        """Of everybody but readers."""
        return Needs(self.quorum(state), self.electors(state))

    def role_for(self, action: Action) -> Role:
        """Every writing member proposes."""
        return Role.MEMBER if isinstance(action, CHANGES) else super().role_for(action)
