"""What would become of a change of the membership if this node's member asked for it now. Nothing is written.

What a policy answers is the protocol's; doing it is governance.py's, members.py's and contexts.py's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from fastapi import APIRouter

from medsync_client.governance import Change, Outlook
from medsync_client.wire import RoleName
from medsync_node.api.finding import find_member, find_replica, member_names, network_replica, pick
from medsync_node.api.members import ROLES
from medsync_node.api.problems import unprocessable
from medsync_protocol.actions import (
    Action, Admit, Leave, Rekey, Remove, Resume, Rotate, Rotation, SetRole, Transfer,
)  # fmt: skip
from medsync_protocol.governance import cut_off
from medsync_protocol.ids import ChainId, KeyId, MemberId, device_of, short
from medsync_protocol.policy import Deny, Needs

if TYPE_CHECKING:
    from medsync_node.node import Node
    from medsync_protocol.replica import Replica


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked about: a change, and whom or what it concerns, as far as it concerns somebody."""

    change: Change
    member: str | None = None
    role: RoleName = "member"
    renewed: str | None = None
    chain: str | None = None


def _action(replica: Replica, asked: Question, member: MemberId, network: Replica) -> Action:
    """The change as it would be signed, but for the key that would be drawn with it: no policy rules by that."""
    no_key = Rotation(epoch=1 + replica.membership.highest_epoch(), key_id=KeyId(bytes(32)), wraps=(), previous=None)
    cut = cut_off(replica, member)
    match asked.change:
        case "admit":
            card = network.membership.cards[member]
            return Admit(card=card, role=ROLES[asked.role], key_id=no_key.key_id, wrap=b"")
        case "remove":
            return Remove(member=member, cut_off=cut, rotation=no_key)
        case "set_role":
            return SetRole(member=member, role=ROLES[asked.role], cut_off=cut)
        case "transfer":
            return Transfer(member=member)
        case "leave":
            return Leave(cut_off=cut)
        case "rotate":
            return Rotate(rotation=no_key)
        case "recover":
            card = network.membership.cards[find_member(network, _said(asked.renewed))]
            return Rekey(member=member, card=card, cut_off=cut, rotation=no_key)
        case "resume":
            chain = _forked(replica, asked.chain)
            return Resume(chain=chain, seq=replica.chains.next_seq(chain), prev=replica.chains.head(chain))
        case _:
            assert_never(asked.change)


def _said(named: str | None) -> str:
    if named is None:
        raise unprocessable("member_missing", "whom it is about was not said", "name a member")
    return named


def _forked(replica: Replica, named: str | None) -> ChainId:
    if named is None:
        raise unprocessable("chain_missing", "which chain it is about was not said", "name one, see `medsync member devices`")
    return pick(named, ((chain, "", chain) for chain in replica.judge.forks), "chain", "member devices")


def _target(replica: Replica, asked: Question, network: Replica) -> MemberId:
    """Whom it is about: the member named, whose chain it is, or this node's."""
    if asked.change == "resume":
        return replica.membership.devices.get(device_of(_forked(replica, asked.chain)), replica.member)
    if asked.change in ("leave", "rotate") and asked.member is None:
        return replica.member
    return find_member(network if asked.change == "admit" else replica, _said(asked.member))


def outlook_view(replica: Replica, network: Replica, asked: Question) -> Outlook:
    """The policy's ruling on everything held here. Raises Failure for a member or chain that isn't known."""
    target = _target(replica, asked, network)
    if asked.change == "admit" and target in replica.membership.members:
        return Outlook(ruling="denied", reason="it is a member already")
    action, names = _action(replica, asked, target, network), member_names(replica)
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
        context: str, change: Change, member: str | None = None, role: RoleName = "member", renewed: str | None = None,
        chain: str | None = None,
    ) -> Outlook:  # fmt: skip
        """What would become of a change of this context's membership, were it asked for now."""
        asked = Question(change=change, member=member, role=role, renewed=renewed, chain=chain)
        return outlook_view(find_replica(node, context), network_replica(node), asked)

    @router.get("/network/outlook")
    async def show_network_outlook(change: Change, member: str | None = None, role: RoleName = "member") -> Outlook:
        """The same for the network."""
        network = network_replica(node)
        return outlook_view(network, network, Question(change=change, member=member, role=role))

    return router
