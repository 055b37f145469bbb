"""How a context's membership is governed: policy, owner, open proposals and votes on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter

from medsync_client.governance import Governance, Heir, PolicyChange, Proposal, VoteCast
from medsync_client.wire import Written
from medsync_node.api.finding import find_member, find_replica, member_names, pick
from medsync_protocol.actions import Admit, Rekey, SetRole
from medsync_protocol.ids import MemberId, short
from medsync_protocol.kinds import Role

if TYPE_CHECKING:
    from medsync_node.node import Node
    from medsync_protocol.membership_state import Proposal as Open
    from medsync_protocol.replica import Replica

_VERBS = {
    "Admit": "admit", "Remove": "remove", "SetRole": "set_role", "Rekey": "recover", "Resume": "resume",
}  # fmt: skip


def _about(replica: Replica, proposal: Open) -> str:
    names, action = member_names(replica), proposal.action
    match action:
        case Admit(card=card, role=role):
            return f"{card.name} as {Role(role).name.lower()}"
        case SetRole(member=member, role=role):
            return f"{names.get(member, short(member))} to {Role(role).name.lower()}"
        case Rekey(member=member, card=card):
            return f"{card.name} in the place of {names.get(member, short(member))}"
        case _:
            key = bytes(getattr(action, "member", b"") or getattr(action, "chain", b""))
            return names.get(MemberId(key), short(key))


def governance_view(replica: Replica) -> Governance:
    """All of it as this node sees it."""
    state, names = replica.membership, member_names(replica)
    policy, rules, me = state.policy, replica.fold.rules(), replica.member
    assert policy is not None, "a context has a policy"

    def named(member: MemberId) -> str:
        return names.get(member, short(member))

    return Governance(
        policy=policy.name, version=policy.version, hash=policy.digest.hex(), parameters=dict(policy.parameters),
        known=rules is not None, owner="" if state.owner is None else named(state.owner),
        quorum=0 if rules is None else rules.quorum(state),
        rotation_owed=tuple(map(named, state.rotation_owed())),
        proposals=tuple(
            Proposal(
                id=p.op_id.hex(), action=_VERBS.get(type(p.action).__name__, type(p.action).__name__),
                about=_about(replica, p), author=named(p.author), needed=p.needed - len(p.yes),
                yes=tuple(named(member) for member, _, _ in p.yes), no=tuple(map(named, p.no)),
                electors=tuple(sorted(map(named, p.electors))), expires=p.expires,
                mine=me in p.electors - {p.author, *p.no, *(member for member, _, _ in p.yes)},
            )
            for p in state.open_proposals()
        ),
    )  # fmt: skip


def routes(node: Node) -> APIRouter:
    """Routes over this node."""
    router = APIRouter(tags=["governance"])
    engine = node.engine

    @router.get("/contexts/{context}/governance")
    async def show_governance(context: str) -> Governance:
        """Policy, owner and open proposals of a context."""
        return governance_view(find_replica(node, context))

    @router.post("/contexts/{context}/proposals/{proposal}/votes")
    async def endorse(context: str, proposal: str, body: VoteCast) -> Written:
        """Vote on an open proposal."""
        replica = find_replica(node, context)
        listed = ((p.op_id, "", p.op_id) for p in replica.membership.open_proposals())
        chosen = pick(proposal, listed, "proposal")
        op = await node.perform(lambda now: engine.endorse(now, replica.context, chosen, body.yes))
        return Written(op=op.hex())

    @router.put("/contexts/{context}/policy")
    async def vote_policy(context: str, body: PolicyChange) -> Written:
        """Vote, as a voter, for another membership policy."""
        replica = find_replica(node, context)
        op = await node.perform(
            lambda now: engine.vote_policy(now, replica.context, body.policy, body.parameters)
        )
        return Written(op=op.hex())

    @router.put("/contexts/{context}/owner")
    async def transfer(context: str, body: Heir) -> Written:
        """Hand a context over to another of its admins."""
        replica = find_replica(node, context)
        heir = find_member(replica, body.member)
        op = await node.perform(lambda now: engine.transfer(now, replica.context, heir))
        return Written(op=op.hex())

    return router
