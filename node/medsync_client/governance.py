"""How a context's membership is governed: its policy, open proposals, votes, the owner."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from medsync_client.calls import Call, path
from medsync_client.changes import Changed
from medsync_client.wire import Body, Hex32, Named, RoleName, View


class Proposal(View):
    """An action that waits for votes. `needed`: yes votes that are still lacking; `expires`: the last checkpoint for one."""

    id: Hex32
    action: str
    about: str
    author: str
    needed: int
    yes: tuple[str, ...]
    no: tuple[str, ...]
    electors: tuple[str, ...]
    expires: int
    mine: bool = Field(description="whether this node's member can still vote on it")
    left: tuple[str, ...] = Field(default=(), description="names of the electors who have not voted")
    vote: str = Field(default="", description="what an elector types to say yes")


class Passed(View):
    """An action that has its votes and waits, as its policy has it, until checkpoint `counts_from`."""

    action: str
    about: str
    author: str
    counts_from: int


class OpenBallot(View):
    """A list of voters, or a policy, that some voters want in the place of the one of now.

    `yes`: who of those that may elect it voted for it; `needed`: votes that are still lacking. It doesn't expire. What one
    votes for to say the same: the `members` of the list, or `policy` and `parameters`.
    """

    wanted: Literal["voters", "policy"]
    about: str
    yes: tuple[str, ...]
    needed: int
    electors: tuple[str, ...]
    mine: bool = Field(description="whether this node's member could say the same")
    members: tuple[Hex32, ...] = ()
    policy: str = ""
    parameters: dict[str, int | str] = Field(default_factory=dict)


class PolicyOffer(View):
    """A membership policy that a node has, with its parameters' defaults."""

    name: str
    version: int
    shipped: bool
    about: str
    defaults: dict[str, int | str] = Field(default_factory=dict)


class PolicyOffers(View):
    """The membership policies that a node has."""

    policies: tuple[PolicyOffer, ...]


class Governance(View):
    """Policy, owner, open proposals and ballots of a context. `k`: the checkpoint that proposals' `expires` counts from."""

    policy: str
    version: int
    hash: Hex32
    parameters: dict[str, int | str]
    known: bool = Field(description="whether this node has the policy: without it, it lets nothing pass")
    owner: str
    quorum: int
    proposals: tuple[Proposal, ...]
    rotation_owed: tuple[str, ...] = Field(default=(), description="who left and still holds the newest key")
    k: int = 0
    ballots: tuple[OpenBallot, ...] = ()
    passed: tuple[Passed, ...] = ()
    next_policy: str = Field(default="", description="the policy that the voters chose; it rules from the next checkpoint on")


Change = Literal["admit", "remove", "set_role", "transfer", "leave", "rotate", "recover", "resume"]


class Outlook(View):
    """What would become of a change if this node's member asked for it now, by all that is held here.

    `allowed`: it counts at once; `votes`: it is proposed, and `needed` of the `electors` must agree; `denied`: see
    `reason`. `held`: operations of the member it is about that this node holds, which stand whatever becomes of it.
    """

    ruling: Literal["allowed", "votes", "denied"]
    reason: str = ""
    needed: int = 0
    electors: tuple[str, ...] = ()
    held: int = 0


class VoteCast(Body):
    """A vote for or against a proposal."""

    yes: bool = True


class PolicyChange(Body):
    """A vote for another membership policy."""

    policy: Named
    parameters: dict[str, int | str] = Field(default_factory=dict, max_length=32)


class Heir(Body):
    """The admin that is to own the context."""

    member: Named


def governance(named: str) -> Call[Governance]:
    """Policy, owner and open proposals of a context."""
    return Call(path=path("contexts", named, "governance"), answer=Governance)


def policies() -> Call[PolicyOffers]:
    """The membership policies that this node has."""
    return Call(path=path("policies"), answer=PolicyOffers)


def endorse(named: str, proposal: str, yes: bool = True) -> Call[Changed]:
    """Vote on an open proposal, by its id or the beginning of it."""
    where = path("contexts", named, "proposals", proposal, "votes")
    return Call(method="POST", path=where, body=VoteCast(yes=yes), answer=Changed)


def vote_policy(named: str, policy: str, parameters: dict[str, int | str] | None = None) -> Call[Changed]:
    """Vote for another membership policy; it rules from the next checkpoint on once q voters said the same."""
    body = PolicyChange(policy=policy, parameters=parameters or {})
    return Call(method="PUT", path=path("contexts", named, "policy"), body=body, answer=Changed)


def transfer(named: str, member: str) -> Call[Changed]:
    """Hand a context over to another of its admins."""
    return Call(method="PUT", path=path("contexts", named, "owner"), body=Heir(member=member), answer=Changed)


def outlook(
    named: str | None, change: Change, member: str | None = None, role: RoleName | None = None, renewed: str | None = None,
    chain: str | None = None,
) -> Call[Outlook]:  # fmt: skip
    """What would become of a change of a context's membership, or of the network's (`named` None). Nothing is written.

    `renewed`: who comes in the place of a member that lost its key; `chain`: the forked one that shall go on.
    """
    where = path("network", "outlook") if named is None else path("contexts", named, "outlook")
    query = {"change": change, "member": member, "role": role, "renewed": renewed, "chain": chain}
    return Call(path=where, query=query, answer=Outlook)
