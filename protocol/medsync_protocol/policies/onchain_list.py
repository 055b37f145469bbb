"""Policy `onchain_list`: the voters that the contract lists change the membership, by the quorum of a checkpoint."""

from __future__ import annotations

from medsync_protocol.actions import Action
from medsync_protocol.ids import MemberId
from medsync_protocol.kinds import Role
from medsync_protocol.membership_state import MembershipState, quorum
from medsync_protocol.ruling import CHANGES, Needs, Voting


class OnchainList(Voting):
    """Whoever can't sign checkpoints can't change who may: one list rules both. Before it exists, the owner."""

    name = "onchain_list"
    about = "q of the voters listed on chain change the membership; before the first list its founder does"

    def electors(self, state: MembershipState) -> frozenset[MemberId]:
        """The listed voters that are members still."""
        listed = frozenset(member for member, _ in state.voters if member in state.members)
        return listed or frozenset({state.owner} if state.owner is not None else ())

    def quorum(self, state: MembershipState) -> int:
        """q of the list."""
        return max(1, min(quorum(len(state.voters)), len(self.electors(state))))

    def votes(self, state: MembershipState, action: Action) -> Needs:
        """Of the list."""
        return Needs(self.quorum(state), self.electors(state))

    def role_for(self, action: Action) -> Role:
        """Every writing member proposes."""
        return Role.MEMBER if isinstance(action, CHANGES) else super().role_for(action)
