"""The network and its members: founding, inviting, joining, who belongs, with which role."""

from __future__ import annotations

from pydantic import Field

from medsync_client.calls import PATIENT, Call, path
from medsync_client.changes import Changed
from medsync_client.wire import Body, Hex32, Millis, Named, RoleName, View

INVITATION_SECONDS = 7 * 86_400  # long enough for a phone call and a change window, short enough to lapse


class NetworkCreate(Body):
    """Found a network; this node's member is its first admin."""

    name: Named


class Network(View):
    """The consortium this node belongs to, and how many members it has."""

    id: Hex32
    name: str
    members: int
    role: RoleName | None = Field(description="this node's member's role; null when it was removed")


class InvitationCreate(Body):
    """Let one member in, once. `bound_to` restricts it to the holder of that member key."""

    role: RoleName = "member"
    seconds: int = Field(default=INVITATION_SECONDS, ge=1, le=366 * 86_400)
    bound_to: Hex32 | None = None
    addresses: tuple[str, ...] = Field(default=(), max_length=16)


class Invitation(View):
    """What to hand over: `invitation`; whoever holds it can use it once."""

    invitation: str
    network: Hex32
    role: RoleName
    expires: Millis


class Join(Body):
    """Join the network that this invitation is for."""

    invitation: str = Field(min_length=1, max_length=4096)


class Member(View):
    """A member of the network or of a context.

    `connected`: one of its devices has a link to this node now.
    """

    id: Hex32
    name: str
    role: RoleName
    devices: tuple[Hex32, ...] = ()
    connected: bool = False
    me: bool = False
    voter: bool = False


class Members(View):
    """Current members, by name."""

    members: tuple[Member, ...]


class RoleChange(Body):
    """The role that a member shall have."""

    role: RoleName


def create_network(name: str) -> Call[Network]:
    """Found a network. Refused when this home belongs to one."""
    return Call(method="POST", path=path("network"), body=NetworkCreate(name=name), answer=Network)


def network() -> Call[Network]:
    """The network of this node. NotFound before it has one."""
    return Call(path=path("network"), answer=Network)


def invite(body: InvitationCreate) -> Call[Invitation]:
    """A signed one-time invitation; only this node will honour it."""
    return Call(method="POST", path=path("network", "invitations"), body=body, answer=Invitation)


def join(invitation: str) -> Call[Network]:
    """Join by invitation: dials the inviting node. Refused with its words when it says no."""
    return Call(
        method="POST", path=path("network", "join"), body=Join(invitation=invitation), answer=Network, timeout=PATIENT
    )


def members() -> Call[Members]:
    """Members of the network."""
    return Call(path=path("members"), answer=Members)


def remove_member(member: str) -> Call[Changed]:
    """Remove a member from the network; contexts follow. Refused without authority."""
    return Call(method="DELETE", path=path("members", member), answer=Changed)


def set_role(member: str, role: RoleName) -> Call[Changed]:
    """Promote or demote a member of the network."""
    return Call(
        method="PUT", path=path("members", member, "role"), body=RoleChange(role=role), answer=Changed
    )
