"""Contexts: founding, listing, their members, voters and keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter

from medsync_client.changes import Changed
from medsync_client.contexts import (
    Admission,
    Context,
    ContextCreate,
    ContextDetail,
    ContextHead,
    Contexts,
    Voter,
    VoterList,
    Voters,
)
from medsync_client.members import Members, RoleChange
from medsync_node.api.changes import changed, voted_for_voters
from medsync_node.api.finding import (
    context_replicas,
    find_member,
    find_members,
    find_replica,
    member_names,
    network_replica,
)
from medsync_node.api.governance import proposal_views
from medsync_node.api.members import ROLES, member_list, role_here
from medsync_protocol.ids import short
from medsync_protocol.statement import quorum

if TYPE_CHECKING:
    from medsync_node.node import Node
    from medsync_protocol.replica import Replica


def context_view(node: Node, replica: Replica) -> Context:
    """A context in a list."""
    state = replica.membership
    checkpoints = node.engine.checkpoints(replica.context)
    address = checkpoints.address
    return Context(
        id=replica.context.hex(), name=replica.name, application=replica.genesis.application,
        policy=replica.genesis.policy, role=role_here(replica), members=len(state.members),
        voters=len(state.voters), quorum=quorum(len(state.voters)) if state.voters else 0,
        epoch=state.highest_epoch(), operations=sum(replica.vector.values()),
        checkpoint=ContextHead(
            signed=checkpoints.signed, accepted=checkpoints.accepted, settled=checkpoints.settled
        ),
        address=None if address is None else str(address),
    )  # fmt: skip


def context_detail(node: Node, replica: Replica) -> ContextDetail:
    """A context with its members, and where each of its chains stands here."""
    parked = [f"{chain[:8].hex()}/{seq}: {reason.value}" for chain, seq, reason in replica.parking.reasons()]
    return ContextDetail(
        **context_view(node, replica).model_dump(),
        member_list=member_list(node, replica),
        auditors=tuple(auditor.hex() for auditor in replica.genesis.auditors),
        settings=dict(replica.genesis.settings),
        chains={chain.hex(): count for chain, count in sorted(replica.vector.items())},
        parked=tuple(parked),
        proposals=proposal_views(replica),
        root=replica.membership.root().hex(),
    )


def routes(node: Node) -> APIRouter:
    """Routes over this node."""
    router = APIRouter(tags=["contexts"])
    engine = node.engine

    @router.post("/contexts")
    async def create_context(body: ContextCreate) -> ContextDetail:
        """Found a context and admit its members at once; this node's member is its first admin and voter."""
        network = network_replica(node)
        admissions = [(find_member(network, one.member), ROLES[one.role]) for one in body.members]
        auditors = find_members(network, body.auditors)
        context = await node.perform(
            lambda now: engine.create_context(
                now, body.name, body.application, body.policy, admissions, auditors, body.settings
            )
        )
        return context_detail(node, engine.replica(context))

    @router.get("/contexts")
    async def list_contexts() -> Contexts:
        """All contexts that this node holds."""
        return Contexts(contexts=tuple(context_view(node, one) for one in context_replicas(node)))

    @router.get("/contexts/{context}")
    async def show_context(context: str) -> ContextDetail:
        """One context, by id, unique name or beginning of its id."""
        return context_detail(node, find_replica(node, context))

    @router.post("/contexts/{context}/leave")
    async def leave(context: str) -> Changed:
        """Leave a context with this node's member."""
        replica = find_replica(node, context)
        op = await node.perform(lambda now: engine.leave(now, replica.context))
        return changed(replica, op)

    @router.post("/contexts/{context}/rotate")
    async def rotate(context: str) -> Changed:
        """Make a new epoch key."""
        replica = find_replica(node, context)
        op = await node.perform(lambda now: engine.rotate(now, replica.context))
        return changed(replica, op)

    _add_members(router, node)
    _add_voters(router, node)
    return router


def _add_members(router: APIRouter, node: Node) -> None:
    engine = node.engine

    @router.get("/contexts/{context}/members")
    async def list_context_members(context: str) -> Members:
        """Members of a context."""
        return Members(members=member_list(node, find_replica(node, context)))

    @router.post("/contexts/{context}/members")
    async def admit(context: str, body: Admission) -> Changed:
        """Admit a member of the network to a context."""
        replica = find_replica(node, context)
        member = find_member(network_replica(node), body.member)
        op = await node.perform(lambda now: engine.admit(now, replica.context, member, ROLES[body.role]))
        return changed(replica, op)

    @router.delete("/contexts/{context}/members/{member}")
    async def remove_from_context(context: str, member: str) -> Changed:
        """Remove a member from a context; its key rotates in the same operation."""
        replica = find_replica(node, context)
        target = find_member(replica, member)
        op = await node.perform(lambda now: engine.remove(now, replica.context, target))
        return changed(replica, op)

    @router.put("/contexts/{context}/members/{member}/role")
    async def set_context_role(context: str, member: str, body: RoleChange) -> Changed:
        """Promote or demote a member of a context."""
        replica = find_replica(node, context)
        target = find_member(replica, member)
        op = await node.perform(lambda now: engine.set_role(now, replica.context, target, ROLES[body.role]))
        return changed(replica, op)


def _add_voters(router: APIRouter, node: Node) -> None:
    engine = node.engine

    @router.get("/contexts/{context}/voters")
    async def list_voters(context: str) -> Voters:
        """Who signs checkpoints now, in the order of the contract's list."""
        replica = find_replica(node, context)
        names, listed = member_names(replica), replica.membership.voters
        return Voters(
            voters=tuple(
                Voter(member=member.hex(), name=names.get(member, short(member)), key=hex(key))
                for member, key in listed
            ),
            quorum=quorum(len(listed)) if listed else 0,
        )

    @router.put("/contexts/{context}/voters")
    async def vote_voters(context: str, body: VoterList) -> Changed:
        """Vote, as a voter, for another list; it changes once a quorum of current voters said the same."""
        replica = find_replica(node, context)
        members = find_members(replica, body.members)
        op = await node.perform(lambda now: engine.vote_voters(now, replica.context, members))
        return voted_for_voters(replica, op, members)
