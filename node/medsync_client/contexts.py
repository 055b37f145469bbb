"""Contexts: shared records with members, voters, keys and checkpoints of their own."""

from __future__ import annotations

from pydantic import Field

from medsync_client.calls import Call, path
from medsync_client.changes import Changed
from medsync_client.governance import Proposal
from medsync_client.members import Member, Members, RoleChange
from medsync_client.wire import Body, Felt, Hex32, Named, RoleName, View


class Admission(Body):
    """A member of the network to admit to a context."""

    member: Named
    role: RoleName = "member"


class ContextCreate(Body):
    """Found a context and admit `members` to it at once.

    `settings` as PROTOCOL §7 names them (`fresh.TREAT`, …), by number where it numbers them; names are the command line's.
    """

    name: Named
    application: str = Field(default="medsync", max_length=64)
    policy: str = Field(default="any_admin", max_length=256)
    members: tuple[Admission, ...] = Field(default=(), max_length=250)
    auditors: tuple[Named, ...] = Field(default=(), max_length=250)
    settings: dict[str, int | str] = Field(default_factory=dict, max_length=64)


class ContextHead(View):
    """How far checkpoints are: newest k signed by a quorum, accepted by the chain, settled there."""

    signed: int = 0
    accepted: int = 0
    settled: int = 0


class Context(View):
    """One context as this node holds it.

    `address` is public: `starknet:CHAIN/CONTRACT/CONTEXT`, once registered.
    """

    id: Hex32
    name: str
    application: str
    policy: str
    role: RoleName | None
    members: int
    voters: int
    quorum: int
    epoch: int
    operations: int
    checkpoint: ContextHead
    address: str | None = None


class ContextDetail(Context):
    """A context with its members, and where each of its chains stands here."""

    member_list: tuple[Member, ...]
    auditors: tuple[Hex32, ...] = ()
    settings: dict[str, int | str] = Field(default_factory=dict)
    chains: dict[str, int] = Field(default_factory=dict, description="chain id in hex → operations held")
    parked: tuple[str, ...] = ()
    proposals: tuple[Proposal, ...] = Field(default=(), description="changes of the membership that wait for votes")
    root: Hex32 | None = Field(default=None, description="membership root: equal where equal sets are held")


class Contexts(View):
    """The contexts of this node, by name."""

    contexts: tuple[Context, ...]


class VoterList(Body):
    """The members whose Stark keys shall sign checkpoints from the next k on."""

    members: tuple[Named, ...] = Field(min_length=1, max_length=250)


class Voter(View):
    """A member and the Stark key that it votes with in this context."""

    member: Hex32
    name: str
    key: Felt


class Voters(View):
    """Who signs checkpoints now, in the order of the contract's list; `quorum` of them suffice."""

    voters: tuple[Voter, ...]
    quorum: int


def create_context(body: ContextCreate) -> Call[ContextDetail]:
    """Found a context."""
    return Call(method="POST", path=path("contexts"), body=body, answer=ContextDetail)


def contexts() -> Call[Contexts]:
    """All contexts that this node holds."""
    return Call(path=path("contexts"), answer=Contexts)


def context(named: str) -> Call[ContextDetail]:
    """One context, by id, unique name or unique beginning of its id. NotFound otherwise."""
    return Call(path=path("contexts", named), answer=ContextDetail)


def context_members(named: str) -> Call[Members]:
    """Members of a context."""
    return Call(path=path("contexts", named, "members"), answer=Members)


def admit(named: str, member: str, role: RoleName = "member") -> Call[Changed]:
    """Admit a member of the network to a context."""
    return Call(
        method="POST", path=path("contexts", named, "members"), body=Admission(member=member, role=role),
        answer=Changed,
    )  # fmt: skip


def remove_from_context(named: str, member: str) -> Call[Changed]:
    """Remove a member from a context; its key rotates in the same operation."""
    return Call(method="DELETE", path=path("contexts", named, "members", member), answer=Changed)


def set_context_role(named: str, member: str, role: RoleName) -> Call[Changed]:
    """Promote or demote a member of a context."""
    return Call(
        method="PUT", path=path("contexts", named, "members", member, "role"), body=RoleChange(role=role),
        answer=Changed,
    )  # fmt: skip


def leave(named: str) -> Call[Changed]:
    """Leave a context oneself."""
    return Call(method="POST", path=path("contexts", named, "leave"), answer=Changed)


def rotate(named: str) -> Call[Changed]:
    """Make a new epoch key."""
    return Call(method="POST", path=path("contexts", named, "rotate"), answer=Changed)


def voters(named: str) -> Call[Voters]:
    """Who signs checkpoints of a context."""
    return Call(path=path("contexts", named, "voters"), answer=Voters)


def vote_voters(named: str, members: tuple[str, ...]) -> Call[Changed]:
    """Vote, as a voter, to replace the voter list; it changes once q current voters said the same."""
    return Call(
        method="PUT", path=path("contexts", named, "voters"), body=VoterList(members=members), answer=Changed
    )
