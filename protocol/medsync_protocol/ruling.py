"""The membership policy interface: what a policy answers, and what it may look at (PROTOCOL §3).

The shipped rules are in `policies/`, which policy a context has is policy.py's, what follows from its answers
membership.py's. A policy is pure: it looks at the state in an action's own causal past and at nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, ClassVar, Final, Protocol

from medsync_protocol.actions import (
    Action, Admit, Ballot, DeviceAdd, DeviceRevoke, Endorse, Genesis, Leave, Merge, PolicyBallot, Rekey, Remove, Resume,
    Rotate, SetRole, Transfer, Unknown, Unreadable, VoterKey,
)  # fmt: skip
from medsync_protocol.ids import MemberId
from medsync_protocol.kinds import Role

if TYPE_CHECKING:
    from medsync_protocol.membership_state import MembershipState

Parameter = int | str
Parameters = tuple[tuple[str, Parameter], ...]
"""Names ascending: they are part of the policy's hash."""

MAX_DELAY: Final = 1_000  # checkpoints that a policy may delay an action, or let a vote or a cool-down last


@dataclass(frozen=True, slots=True)
class Allow:
    """The action is within the author's authority."""


@dataclass(frozen=True, slots=True)
class Deny:
    """It is not; `reason` is for people. `error`: the policy failed on it."""

    reason: str
    error: bool = False


@dataclass(frozen=True, slots=True)
class Needs:
    """It is once this many of the electors want it; the author's proposal counts for one if it is among them."""

    votes: int
    electors: frozenset[MemberId]


Ruling = Allow | Deny | Needs


class Mutual(Enum):
    """What becomes of two who remove each other concurrently."""

    SENIOR = "the one of better rank stays"
    BOTH = "both go"


class Equivocation(Enum):
    """What follows when a device signed two operations for one place."""

    VOID = "nothing from there on counts until a resume"
    EXPEL = "that, and the first admin who sees the proof removes the member"


class Concurrent(Enum):
    """What becomes of operations that a removed member wrote without knowing of its removal."""

    VOID = "void: back-dating gains nothing once the removal is final"
    KEEP = "they count: the removal works forward only"


class Policy(Protocol):
    """Pure, deterministic functions of the state in an action's own causal past. An exception counts as Deny."""

    name: str
    version: int
    parameters: Parameters

    def genesis(self, action: Genesis) -> Ruling:
        """May a context be founded like this under the policy?"""

    def may(self, state: MembershipState, author: MemberId, action: Action) -> Ruling:
        """May the author do this, as far as its causal past knows?"""

    def quorum(self, state: MembershipState) -> int:
        """How many votes a change of the membership takes now; 1 where one admin's word is enough."""

    def effective_after(self, action: Action) -> int:
        """For how many checkpoints an action waits before it counts. Ignored for removals: nothing delays them."""

    def expiry(self) -> tuple[int, int]:
        """(for how many checkpoints a proposal may be voted on, how many its author then waits to repeat it)."""

    def role_for(self, action: Action) -> Role:
        """The role an author needs at least: who loses it by what turns out to count loses the action too."""

    def rank(self, state: MembershipState, member: MemberId) -> tuple[int, bytes]:
        """Seniority for mutual removals: the lower wins."""

    def mutual_removal(self) -> Mutual:
        """Of two who remove each other."""

    def on_equivocation(self) -> Equivocation:
        """When a member's device forked its chain."""

    def concurrent_ops_of_removed(self) -> Concurrent:
        """What the removed did beside its removal."""

    def keeps_owner(self) -> bool:
        """Whether the owner can only go after handing the context over."""


ROLES: Final[Mapping[type, Role]] = {
    Genesis: Role.READER,  # asked of nobody: it makes the first member
    Admit: Role.ADMIN,
    Remove: Role.ADMIN,
    SetRole: Role.ADMIN,
    Rotate: Role.ADMIN,
    Transfer: Role.ADMIN,
    Rekey: Role.READER,
    Resume: Role.READER,
    Endorse: Role.READER,
    PolicyBallot: Role.MEMBER,
    Leave: Role.READER,
    VoterKey: Role.MEMBER,
    Ballot: Role.MEMBER,
    DeviceAdd: Role.READER,
    DeviceRevoke: Role.READER,
    Merge: Role.READER,
    Unknown: Role.READER,
    Unreadable: Role.READER,
}
CHANGES: Final = (Admit, Remove, SetRole)
"""The actions that change who is in: what voting policies ask votes for."""


class Rules:
    """The common ground of policies: roles, the last admin, seniority. A policy overrides what it rules otherwise."""

    name: str = ""
    version: int = 1
    defaults: ClassVar[Mapping[str, Parameter]] = {}
    about: str = ""

    def __init__(self, parameters: Iterable[tuple[str, Parameter]] = ()) -> None:
        """Raises ValueError for a parameter that the policy has not, or of another type."""
        given = dict(parameters)
        for name, value in given.items():
            if name not in self.defaults or type(value) is not type(self.defaults[name]):
                raise ValueError(f"{self.name} has no such parameter: {name}={value}")
        self.parameters: Parameters = tuple(sorted({**self.defaults, **given}.items()))

    def number(self, name: str) -> int:
        """An integer parameter."""
        value = dict(self.parameters)[name]
        assert isinstance(value, int)
        return value

    def genesis(self, action: Genesis) -> Ruling:
        """Any."""
        return Allow()

    def may(self, state: MembershipState, author: MemberId, action: Action) -> Ruling:
        """What the common ground refuses is refused; of the rest `rule` decides."""
        return self.refuses(state, author, action) or self.rule(state, author, action)

    def rule(self, state: MembershipState, author: MemberId, action: Action) -> Ruling:
        """Allowed, save the recovery of another's key or a forked chain: a majority of the admins wants that."""
        if isinstance(action, Resume) or (isinstance(action, Rekey) and action.member != action.card.member):
            admins = frozenset(state.admins())
            return Needs(len(admins) // 2 + 1, admins)
        return Allow()

    def refuses(self, state: MembershipState, author: MemberId, action: Action) -> Deny | None:
        """Role table; the last admin can neither leave, nor be removed or demoted; targets are members."""
        if isinstance(action, Genesis):
            return Deny("a context has one genesis") if state.members else None
        held = state.members.get(author)
        if held is None:
            return Deny("the author is not a member")
        needed = self.role_for(action)
        if held.role < needed:
            return Deny(f"needs the role {needed.name.lower()}")
        if state.admins() == {author} and unseats(action, author):
            return Deny("the last admin can't go: promote another first")
        return self._refuses_target(state, author, action)

    def _refuses_target(self, state: MembershipState, author: MemberId, action: Action) -> Deny | None:
        if isinstance(action, (Remove, SetRole, Rekey, Transfer)) and action.member not in state.members:
            return Deny("the target is not a member")
        if isinstance(action, Rekey):
            renewed = action.card.member
            if renewed == action.member and renewed != author:
                return Deny("a sealing key is renewed by its own member")
            if renewed != action.member and renewed in state.members:
                return Deny("the new key belongs to a member already")
        if isinstance(action, Transfer):
            if state.owner != author:
                return Deny("only the owner hands the context over")
            if state.members[action.member].role is not Role.ADMIN:
                return Deny("only an admin can own the context: promote it first")
        if self.keeps_owner() and state.owner is not None and unseats(action, state.owner, author):
            return Deny("the owner can't go: it hands the context over first")
        return None

    def quorum(self, state: MembershipState) -> int:
        """One."""
        return 1

    def effective_after(self, action: Action) -> int:
        """At once."""
        return 0

    def expiry(self) -> tuple[int, int]:
        """Ten checkpoints to vote, three to cool down."""
        return (10, 3)

    def role_for(self, action: Action) -> Role:
        """The table."""
        return ROLES[type(action)]

    def rank(self, state: MembershipState, member: MemberId) -> tuple[int, bytes]:
        """By generation of the admission, then key."""
        return (state.seniority.get(member, 1 << 62), member)

    def mutual_removal(self) -> Mutual:
        """The senior stays."""
        return Mutual.SENIOR

    def on_equivocation(self) -> Equivocation:
        """The chain is void from there on."""
        return Equivocation.VOID

    def concurrent_ops_of_removed(self) -> Concurrent:
        """Void."""
        return Concurrent.VOID

    def keeps_owner(self) -> bool:
        """The founder is an admin like others."""
        return False


class Voting(Rules):
    """Policies under which changes of the membership need votes; which, `votes` says."""

    defaults: ClassVar[Mapping[str, Parameter]] = {"expiry": 10, "cool_down": 3, "delay": 0}

    def votes(self, state: MembershipState, action: Action) -> Needs:
        """Of whom, and how many."""
        raise NotImplementedError

    def rule(self, state: MembershipState, author: MemberId, action: Action) -> Ruling:
        """Changes need votes, whose target has none; the rest is as common."""
        if not isinstance(action, CHANGES):
            return super().rule(state, author, action)
        needs = self.votes(state, action)
        if isinstance(action, (Remove, SetRole)) and action.member in needs.electors and len(needs.electors) > 1:
            electors = needs.electors - {action.member}
            return Needs(min(needs.votes, len(electors)), electors)
        return needs

    def expiry(self) -> tuple[int, int]:
        """By parameters."""
        return (self.number("expiry"), self.number("cool_down"))

    def effective_after(self, action: Action) -> int:
        """Admissions and promotions wait `delay` checkpoints."""
        grows = isinstance(action, Admit) or (isinstance(action, SetRole) and action.role is Role.ADMIN)
        return self.number("delay") if grows else 0


def unseats(action: Action, member: MemberId, author: MemberId | None = None) -> bool:
    """Whether the action takes the admin role, or membership, from `member`; `author` None: it is the author."""
    if isinstance(action, Leave):
        return author in (None, member)
    if isinstance(action, Remove):
        return action.member == member
    return isinstance(action, SetRole) and action.member == member and action.role < Role.ADMIN
