"""Devices of members, forked chains, and the recovery of a member that lost its key."""

from __future__ import annotations

from pydantic import Field

from medsync_client.calls import Call, path
from medsync_client.changes import Changed
from medsync_client.wire import Body, Hex32, HexBytes, Named, View


class HeldChain(View):
    """What one device wrote in one incarnation. `forked_at`: the first operation that was signed twice."""

    id: str = Field(description="80 hex digits: device and incarnation")
    operations: int
    forked_at: int | None = None
    resumed: bool = Field(default=False, description="whether the admins let the forked chain go on")


class Device(View):
    """A device that a member certified, or once did. `current`: its operations count."""

    id: Hex32
    member: Hex32
    name: str
    current: bool
    me: bool = False
    chains: tuple[HeldChain, ...] = ()


class Devices(View):
    """All devices of a context's members, former ones included."""

    devices: tuple[Device, ...]


class DeviceAdd(Body):
    """A device key with the member's signature over it. `seconds`: ask for an invitation as well, that stands so long."""

    device: Hex32
    certificate: HexBytes = Field(min_length=128, max_length=128)
    seconds: int | None = Field(default=None, ge=1, le=30 * 86_400)


class DeviceAdded(View):
    """Where the device was added: the network and contexts by name, each with its operation; none where it is known.

    `known_to`: other members that hold this; only they let the device in. `invitation`: the one asked for.
    """

    operations: dict[str, Hex32]
    known_to: int
    invitation: str | None = None


class Revoked(View):
    """Where the device was revoked: the network and contexts by name, each with its operation."""

    operations: dict[str, Hex32]


class Recovery(Body):
    """Which member of the network comes in the place of the one that lost its key."""

    renewed: Named


def devices(named: str | None = None) -> Call[Devices]:
    """Devices of a context's members, or of the network's, and the chains they wrote there."""
    where = path("devices") if named is None else path("contexts", named, "devices")
    return Call(path=where, answer=Devices)


def add_device(body: DeviceAdd) -> Call[DeviceAdded]:
    """Add a device of this member to the network and every context; answers once another member, if any, knows it."""
    return Call(method="POST", path=path("devices"), body=body, answer=DeviceAdded)


def revoke_device(device: str) -> Call[Revoked]:
    """Revoke one of this member's own devices everywhere; the member stays, what it wrote and this node holds stands."""
    return Call(method="DELETE", path=path("devices", device), answer=Revoked)


def recover_member(named: str, lost: str, renewed: str) -> Call[Changed]:
    """Ask the other admins for votes to put `renewed` in the place of a member that lost its key."""
    where = path("contexts", named, "members", lost, "recovery")
    return Call(method="POST", path=where, body=Recovery(renewed=renewed), answer=Changed)


def resume_chain(named: str, chain: str) -> Call[Changed]:
    """Ask the other admins for votes to let a forked chain go on."""
    return Call(method="POST", path=path("contexts", named, "chains", chain, "resumption"), answer=Changed)
