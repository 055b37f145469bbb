"""Membership policies: pure rules of who may change the membership, behind one small interface (PROTOCOL §3).

`any_admin` is the default. The hash of name, version and parameters stands in the genesis and every checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from medsync_protocol.actions import (
    Action,
    Admit,
    Ballot,
    DeviceAdd,
    DeviceRevoke,
    Genesis,
    Leave,
    Merge,
    Remove,
    Rotate,
    SetRole,
    Unknown,
    Unreadable,
    VoterKey,
)  # fmt: skip
from medsync_protocol.codec import pack
from medsync_protocol.crypto import blake2b
from medsync_protocol.errors import Refused
from medsync_protocol.ids import MemberId
from medsync_protocol.kinds import Role

if TYPE_CHECKING:
    from medsync_protocol.membership import MembershipState


@dataclass(frozen=True, slots=True)
class Allow:
    """The action is within the author's authority."""


@dataclass(frozen=True, slots=True)
class Deny:
    """It is not; `reason` is for people."""

    reason: str


Ruling = Allow | Deny


class Policy(Protocol):
    """Pure, deterministic functions of the state in an action's own causal past."""

    name: str
    version: int

    def may(self, state: MembershipState, author: MemberId, action: Action) -> Ruling:
        """May the author do this, as far as its causal past knows?"""

    def rank(self, state: MembershipState, member: MemberId) -> tuple[int, bytes]:
        """Seniority for mutual removals: the lower wins."""


_NEEDED_ROLE: Mapping[type, Role] = {
    Admit: Role.ADMIN,
    Remove: Role.ADMIN,
    SetRole: Role.ADMIN,
    Rotate: Role.ADMIN,
    Leave: Role.READER,
    VoterKey: Role.MEMBER,
    Ballot: Role.MEMBER,
    DeviceAdd: Role.READER,
    DeviceRevoke: Role.READER,
    Merge: Role.READER,
    Unknown: Role.READER,
    Unreadable: Role.READER,
}


class AnyAdmin:
    """Every admin may admit, remove and change roles at once; of two who remove each other the senior stays."""

    name = "any_admin"
    version = 1

    def may(self, state: MembershipState, author: MemberId, action: Action) -> Ruling:
        """Role table; the last admin can neither leave, nor be removed or demoted."""
        if isinstance(action, Genesis):
            return Deny("a context has one genesis") if state.members else Allow()
        held = state.members.get(author)
        if held is None:
            return Deny("the author is not a member")
        if held.role < _NEEDED_ROLE[type(action)]:
            return Deny(f"needs the role {_NEEDED_ROLE[type(action)].name.lower()}")
        if state.admins() == {author} and _unseats(action, author):
            return Deny("the last admin can't go: promote another first")
        if isinstance(action, (Remove, SetRole)) and action.member not in state.members:
            return Deny("the target is not a member")
        return Allow()

    def rank(self, state: MembershipState, member: MemberId) -> tuple[int, bytes]:
        """By generation of the admission, then key."""
        return (state.seniority.get(member, 1 << 62), member)


def _unseats(action: Action, member: MemberId) -> bool:
    if isinstance(action, Leave):
        return True
    if isinstance(action, Remove):
        return action.member == member
    return isinstance(action, SetRole) and action.member == member and action.role < Role.ADMIN


SHIPPED: Mapping[str, Policy] = {"any_admin": AnyAdmin()}


def policy_named(name: str) -> Policy:
    """The shipped policy of that name. Raises Refused with the names there are."""
    policy = SHIPPED.get(name)
    if policy is None:
        raise Refused(
            f"no membership policy {name!r}", code="unknown_policy", advice=f"one of {', '.join(SHIPPED)}"
        )
    return policy


def policy_hash(policy: Policy) -> bytes:
    """32 bytes that name the rule exactly; two nodes with different ones refuse each other."""
    return blake2b(b"medsync/policy/1", pack([policy.name, policy.version]))
