"""How a context's membership is governed: its policy, open proposals, votes, the owner."""

from __future__ import annotations

from pydantic import Field

from medsync_client.calls import Call, path
from medsync_client.wire import Body, Hex32, Named, View, Written


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


class Governance(View):
    """Policy, owner and open proposals of a context."""

    policy: str
    version: int
    hash: Hex32
    parameters: dict[str, int | str]
    known: bool = Field(description="whether this node has the policy: without it, it lets nothing pass")
    owner: str
    quorum: int
    proposals: tuple[Proposal, ...]
    rotation_owed: tuple[str, ...] = Field(default=(), description="who left and still holds the newest key")


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


def endorse(named: str, proposal: str, yes: bool = True) -> Call[Written]:
    """Vote on an open proposal, by its id or the beginning of it."""
    where = path("contexts", named, "proposals", proposal, "votes")
    return Call(method="POST", path=where, body=VoteCast(yes=yes), answer=Written)


def vote_policy(named: str, policy: str, parameters: dict[str, int | str] | None = None) -> Call[Written]:
    """Vote for another membership policy; it rules from the next checkpoint on once q voters said the same."""
    body = PolicyChange(policy=policy, parameters=parameters or {})
    return Call(method="PUT", path=path("contexts", named, "policy"), body=body, answer=Written)


def transfer(named: str, member: str) -> Call[Written]:
    """Hand a context over to another of its admins."""
    return Call(method="PUT", path=path("contexts", named, "owner"), body=Heir(member=member), answer=Written)
