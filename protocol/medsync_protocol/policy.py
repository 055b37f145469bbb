"""Which membership policy a context has: the shipped ones and those of others, their hashes, and how they are asked.

What a policy answers is ruling.py, what follows from it membership.py. A hash covers name, source, version and
parameters: it stands in the genesis and in every checkpoint, and nodes with different ones refuse each other.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Final, TypeVar

from medsync_protocol.actions import Action, Genesis, PolicyName
from medsync_protocol.codec import pack
from medsync_protocol.crypto import blake2b
from medsync_protocol.errors import Refused
from medsync_protocol.ids import MemberId
from medsync_protocol.membership_state import MembershipState
from medsync_protocol.policies.any_admin import AnyAdmin
from medsync_protocol.policies.both_out import BothOut
from medsync_protocol.policies.forward_only import ForwardOnly
from medsync_protocol.policies.founder import Founder
from medsync_protocol.policies.k_of_n import KOfN
from medsync_protocol.policies.majority import Majority
from medsync_protocol.policies.onchain_list import OnchainList
from medsync_protocol.policies.pins import PINS
from medsync_protocol.policies.seniority import Seniority
from medsync_protocol.policies.sponsor_and_vote import SponsorAndVote
from medsync_protocol.policies.supermajority import Supermajority
from medsync_protocol.ruling import MAX_DELAY, Allow, Deny, Needs, Parameter, Policy, Rules, Ruling

__all__ = [
    "SHIPPED", "Allow", "AnyAdmin", "Deny", "Needs", "Offer", "Policies", "Policy", "Ruling", "ask", "bounded",
    "policy_hash", "policy_named",
]  # fmt: skip

MAX_STEPS: Final = 200_000  # lines that a policy of others may run for one answer: a state of 250 members, many times
SETTING: Final = "policy."  # settings of a genesis that begin so are the policy's parameters
HASH_SETTING: Final = "policy.hash"  # 64 hex digits
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Offer:
    """A policy that this node has. `source`: 32 bytes over the text that it is made of; `own`: shipped with MedSync."""

    kind: type[Rules]
    source: bytes
    own: bool = False

    def digest(self, parameters: Iterable[tuple[str, Parameter]]) -> bytes:
        """32 bytes over name, source, version and parameters."""
        fields = [self.kind.name, self.kind.version, self.source, sorted(parameters)]
        return blake2b(b"medsync/policy/1", pack(fields))


_KINDS: Final[tuple[type[Rules], ...]] = (
    AnyAdmin, Founder, Seniority, KOfN, Majority, Supermajority, SponsorAndVote, ForwardOnly, BothOut, OnchainList,
)  # fmt: skip
SHIPPED: Final[Mapping[str, Offer]] = {
    kind.name: Offer(kind, bytes.fromhex(PINS[kind.name]), own=True) for kind in _KINDS
}


@dataclass(frozen=True, slots=True)
class Policies:
    """The policies that a node has, by name."""

    offers: Mapping[str, Offer] = field(default_factory=lambda: SHIPPED)

    def with_offers(self, others: Iterable[Offer]) -> Policies:
        """These too; none takes the name of one that is shipped. Raises Refused."""
        found = dict(self.offers)
        for offer in others:
            if offer.kind.name in found:
                raise Refused(
                    f"two membership policies are called {offer.kind.name!r}", code="policy_name",
                    advice="uninstall one of them",
                )  # fmt: skip
            found[offer.kind.name] = offer
        return Policies(found)

    def make(self, name: str, parameters: Iterable[tuple[str, Parameter]] = ()) -> Rules:
        """The policy of that name. Raises Refused with the names there are, or for its parameters."""
        offer = self.offers.get(name)
        if offer is None:
            raise Refused(
                f"no membership policy {name!r}", code="unknown_policy",
                advice=f"one of {', '.join(self.offers)}; others come as packages, see `medsync policy list`",
            )  # fmt: skip
        try:
            made = offer.kind(parameters)
        except ValueError as error:
            known = ", ".join(f"{key}={value}" for key, value in offer.kind.defaults.items()) or "none"
            raise Refused(str(error), code="policy_parameter", advice=f"its parameters: {known}") from error
        return made if offer.own else bounded(made)

    def name(self, policy: Policy) -> PolicyName:
        """What names it exactly."""
        return PolicyName(
            name=policy.name, version=policy.version, digest=self.digest(policy), parameters=policy.parameters
        )

    def digest(self, policy: Policy) -> bytes:
        """32 bytes that name the rule exactly."""
        return self.offers[policy.name].digest(policy.parameters)

    def resolve(self, named: PolicyName) -> Policy | None:
        """The policy that a vote named; None where this node has it not, or another version or source of it."""
        try:
            policy = self.make(named.name, named.parameters)
        except Refused:
            return None
        return policy if self.digest(policy) == named.digest else None

    def of(self, genesis: Genesis) -> Policy:
        """The policy that a context was founded with. Raises Refused when this node's is another one."""
        settings = dict(genesis.settings)
        wanted = settings.pop(HASH_SETTING, None)
        parameters = [(k.removeprefix(SETTING), v) for k, v in settings.items() if k.startswith(SETTING)]
        policy = self.make(genesis.policy, parameters)
        ours = self.digest(policy).hex()
        if wanted not in (None, ours):
            raise Refused(
                f"the membership policy {genesis.policy!r} of {genesis.name!r} is another one here: "
                f"founded with {str(wanted)[:16]}, this node has {ours[:16]}",
                code="policy_differs", advice="install the version of the policy that the context was founded with",
            )  # fmt: skip
        return policy

    def settings(self, name: str, settings: Mapping[str, Parameter]) -> dict[str, Parameter]:
        """Settings of a genesis, with the policy's parameters and hash. Raises Refused."""
        given = [(k.removeprefix(SETTING), v) for k, v in settings.items() if k.startswith(SETTING)]
        policy = self.make(name, given)
        named = {SETTING + key: value for key, value in policy.parameters}
        return {**settings, **named, HASH_SETTING: self.digest(policy).hex()}


def policy_named(name: str) -> Policy:
    """The shipped policy of that name, with default parameters. Raises Refused with the names there are."""
    return Policies().make(name)


def policy_hash(policy: Policy) -> bytes:
    """32 bytes that name a shipped policy exactly; two nodes with different ones refuse each other."""
    return Policies().digest(policy)


def ask(policy: Policy | None, state: MembershipState, author: MemberId, action: Action) -> Ruling:
    """The ruling, whatever the policy does: an exception, or another answer than a ruling, denies.

    `policy` None: the context took one by votes that this node doesn't have.
    """
    if policy is None:
        return Deny("this node doesn't have the membership policy that the voters chose: install it")
    try:
        ruling: Any = policy.may(state, author, action)
    except Exception as error:  # a policy's fault must neither stop a replica nor let anything pass
        return Deny(f"the policy failed: {type(error).__name__}", error=True)
    if isinstance(ruling, Needs):
        if ruling.votes < 1 or ruling.votes > len(ruling.electors):
            return Deny("the policy asks for votes that can't be had", error=True)
        return Allow() if ruling.votes <= (author in ruling.electors) else ruling
    if isinstance(ruling, (Allow, Deny)):
        return ruling
    return Deny("the policy gave no ruling", error=True)


def delay_of(policy: Policy, action: Action) -> int:
    """Checkpoints for which an action waits; 0 for what a policy's fault leaves open."""
    try:
        return min(max(int(policy.effective_after(action)), 0), MAX_DELAY)
    except Exception:  # as in `ask`
        return 0


def rank_of(policy: Policy | None, state: MembershipState, member: MemberId) -> tuple[int, bytes]:
    """The policy's rank; the common one for what a policy's fault leaves open."""
    try:
        number, name = policy.rank(state, member) if policy is not None else Rules().rank(state, member)
        return int(number), bytes(name)
    except Exception:  # as in `ask`
        return Rules().rank(state, member)


class StepsExceeded(Exception):
    """A policy ran for longer than MAX_STEPS."""


def bounded(policy: Rules) -> Rules:
    """A policy of others, held to MAX_STEPS lines an answer. Lines are counted, not time: all nodes agree."""
    kind = type(policy)
    methods = {name: _counted(getattr(kind, name)) for name in ("may", "rank", "effective_after")}
    held: type[Rules] = type(kind.__name__, (kind,), methods)
    return held(policy.parameters)


def _counted(method: Callable[..., T]) -> Callable[..., T]:
    def counted(*arguments: Any) -> T:
        steps, before = 0, sys.gettrace()

        def trace(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps > MAX_STEPS:
                raise StepsExceeded(f"{method.__qualname__} runs for more than {MAX_STEPS} lines")
            return trace

        sys.settrace(trace)
        try:
            return method(*arguments)
        finally:
            sys.settrace(before)

    return counted
