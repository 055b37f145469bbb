"""The network: founding it, inviting into it, joining it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from fastapi import APIRouter

from medsync_client.members import Invitation, InvitationCreate, Join, Network, NetworkCreate
from medsync_node.api.finding import network_replica
from medsync_node.api.members import ROLES, role_here
from medsync_protocol.ids import MemberId

if TYPE_CHECKING:
    from medsync_node.node import Node

SEEN_SECONDS: Final = 10.0  # until a joining node sees itself in the membership that its admitter sends


def network_view(node: Node) -> Network:
    """The network as it stands. Raises Failure before there is one."""
    replica = network_replica(node)
    return Network(
        id=replica.network.hex(), name=replica.name, members=len(replica.membership.members),
        role=role_here(replica),
    )  # fmt: skip


def routes(node: Node, announce: Sequence[str]) -> APIRouter:
    """Routes over this node. `announce`: where others reach it, if not where it listens."""
    router = APIRouter(tags=["network"])
    engine = node.engine

    @router.post("/network")
    async def create_network(body: NetworkCreate) -> Network:
        """Found a network; this node's member is its first admin."""
        await node.perform(lambda now: engine.found_network(now, body.name))
        return network_view(node)

    @router.get("/network")
    async def show_network() -> Network:
        """The network of this node."""
        return network_view(node)

    @router.post("/network/invitations")
    async def invite(body: InvitationCreate) -> Invitation:
        """A signed invitation that lets one member in, once; only this node honours it."""
        network = network_replica(node).network
        expires = node.now() + body.seconds * 1000
        bound_to = None if body.bound_to is None else MemberId(bytes.fromhex(body.bound_to))
        addresses = body.addresses or tuple(announce) or tuple(node.transport.addresses)
        made = await node.perform(
            lambda now: engine.invite(now, ROLES[body.role], expires, bound_to, addresses)
        )
        return Invitation(invitation=made, network=network.hex(), role=body.role, expires=expires)

    @router.post("/network/join")
    async def join(body: Join) -> Network:
        """Join by invitation: dials the member that made it."""
        await node.join(body.invitation)
        await node.wait_for(lambda: network_replica(node).role is not None, SEEN_SECONDS)
        return network_view(node)

    return router
