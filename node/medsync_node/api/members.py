"""Members of the network: who they are, removal, roles. Contexts have routes of their own, with the same messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter

from medsync_client.changes import Changed
from medsync_client.members import Member, Members, RoleChange
from medsync_client.wire import RoleName
from medsync_node.api.changes import changed
from medsync_node.api.finding import context_replicas, find_member, network_replica
from medsync_protocol.ids import NETWORK_CONTEXT, DeviceId
from medsync_protocol.kinds import Role

if TYPE_CHECKING:
    from medsync_node.node import Node
    from medsync_protocol.replica import Replica

ROLES: dict[RoleName, Role] = {"reader": Role.READER, "member": Role.MEMBER, "admin": Role.ADMIN}
ROLE_NAMES: dict[Role, RoleName] = {role: name for name, role in ROLES.items()}


def member_list(node: Node, replica: Replica) -> tuple[Member, ...]:
    """Current members by name, each with its devices and whether one of them is linked to this node now."""
    state = replica.membership
    devices: dict[bytes, list[DeviceId]] = {}
    for device, member in state.devices.items():
        devices.setdefault(member, []).append(device)
    linked = node.transport.linked()
    voters = {member for member, _ in state.voters}
    found = [
        Member(
            id=member.hex(), name=held.name, role=ROLE_NAMES[held.role],
            devices=tuple(sorted(device.hex() for device in devices.get(member, ()))),
            connected=any(device in linked for device in devices.get(member, ())),
            me=member == node.identity.member, voter=member in voters,
        )
        for member, held in state.members.items()
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda one: (one.name, one.id)))


def role_here(replica: Replica) -> RoleName | None:
    """This node's member's role; None when it is no member any more."""
    held = replica.membership.members.get(replica.member)
    return None if held is None else ROLE_NAMES[held.role]


def routes(node: Node) -> APIRouter:
    """Routes over this node."""
    router = APIRouter(tags=["members"])
    engine = node.engine

    @router.get("/members")
    async def list_members() -> Members:
        """Members of the network."""
        return Members(members=member_list(node, network_replica(node)))

    @router.delete("/members/{member}")
    async def remove_member(member: str) -> Changed:
        """Remove a member from the network; contexts follow."""
        target = find_member(network_replica(node), member)
        op = await node.perform(lambda now: engine.remove(now, NETWORK_CONTEXT, target))
        left = tuple(one.name for one in context_replicas(node) if target in one.membership.members)
        return changed(network_replica(node), op).model_copy(update={"contexts": left})

    @router.put("/members/{member}/role")
    async def set_role(member: str, body: RoleChange) -> Changed:
        """Promote or demote a member of the network."""
        target, role = find_member(network_replica(node), member), ROLES[body.role]
        op = await node.perform(lambda now: engine.set_role(now, NETWORK_CONTEXT, target, role))
        return changed(network_replica(node), op)

    return router
