"""What would become of a change of the membership if this node's member asked for it now. Nothing is written.

What a policy answers is the protocol's; doing it is governance.py's, members.py's and contexts.py's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from fastapi import APIRouter

from medsync_client.governance import Change, Outlook
from medsync_client.wire import RoleName
from medsync_node.api.finding import find_member, find_replica, member_names, network_replica
from medsync_node.api.members import ROLES
from medsync_node.api.problems import unprocessable
from medsync_protocol.actions import Action, Admit, Leave, Remove, Rotate, Rotation, SetRole, Transfer
from medsync_protocol.governance import cut_off
from medsync_protocol.ids import KeyId, MemberId, short
from medsync_protocol.policy import Deny, Needs

if TYPE_CHECKING:
    from medsync_node.node import Node
    from medsync_protocol.replica import Replica


def _action(replica: Replica, change: Change, member: MemberId, role: RoleName, network: Replica) -> Action:
    """The change as it would be signed, but for the key that would be drawn with it: no policy rules by that."""
    no_key = Rotation(epoch=1 + replica.membership.highest_epoch(), key_id=KeyId(bytes(32)), wraps=(), previous=None)
    cut = cut_off(replica, member)
    match change:
        case "admit":
            card = network.membership.cards[member]
            return Admit(card=card, role=ROLES[role], key_id=no_key.key_id, wrap=b"")
        case "remove":
            return Remove(member=member, cut_off=cut, rotation=no_key)
        case "set_role":
            return SetRole(member=member, role=ROLES[role], cut_off=cut)
        case "transfer":
            return Transfer(member=member)
        case "leave":
            return Leave(cut_off=cut)
        case "rotate":
            return Rotate(rotation=no_key)
        case _:
            assert_never(change)


def outlook_view(replica: Replica, network: Replica, change: Change, member: str | None, role: RoleName) -> Outlook:
    """The policy's ruling on everything held here. Raises Failure for a member that isn't known."""
    if member is None and change not in ("leave", "rotate"):
        raise unprocessable("member_missing", "whom it is about was not said", "name a member")
    target = replica.member if member is None else find_member(network if change == "admit" else replica, member)
    if change == "admit" and target in replica.membership.members:
        return Outlook(ruling="denied", reason="it is a member already")
    action, names = _action(replica, change, target, role, network), member_names(replica)
    ruling = replica.fold.may(replica.member, action)
    held = sum(count for _, count in cut_off(replica, target))
    if isinstance(ruling, Deny):
        return Outlook(ruling="denied", reason=ruling.reason, held=held)
    if not isinstance(ruling, Needs):
        return Outlook(ruling="allowed", held=held)
    if replica.fold.repeats(replica.member, action, replica.seen[0]):
        return Outlook(ruling="denied", reason="this member proposed it already", held=held)
    return Outlook(
        ruling="votes", needed=ruling.votes - (replica.member in ruling.electors), held=held,
        electors=tuple(sorted(names.get(one, short(one)) for one in ruling.electors - {replica.member})),
    )  # fmt: skip


def routes(node: Node) -> APIRouter:
    """Routes over this node."""
    router = APIRouter(tags=["governance"])

    @router.get("/contexts/{context}/outlook")
    async def show_outlook(
        context: str, change: Change, member: str | None = None, role: RoleName = "member"
    ) -> Outlook:
        """What would become of a change of this context's membership, were it asked for now."""
        return outlook_view(find_replica(node, context), network_replica(node), change, member, role)

    @router.get("/network/outlook")
    async def show_network_outlook(change: Change, member: str | None = None, role: RoleName = "member") -> Outlook:
        """The same for the network."""
        network = network_replica(node)
        return outlook_view(network, network, change, member, role)

    return router
