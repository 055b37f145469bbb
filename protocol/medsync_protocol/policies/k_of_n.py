"""Policy `k_of_n`: k admins together change the membership; of fewer than k, all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from medsync_protocol.actions import Action
from medsync_protocol.membership_state import MembershipState
from medsync_protocol.ruling import Needs, Parameter, Voting


class KOfN(Voting):
    """A fixed number, parameter `k`."""

    name = "k_of_n"
    about = "k admins together (parameter k, 2 by default) change the membership"
    defaults: ClassVar[Mapping[str, Parameter]] = {**Voting.defaults, "k": 2}

    def quorum(self, state: MembershipState) -> int:
        """k, or all where there are fewer."""
        return max(1, min(self.number("k"), len(state.admins())))

    def votes(self, state: MembershipState, action: Action) -> Needs:
        """Of the admins."""
        return Needs(self.quorum(state), frozenset(state.admins()))
