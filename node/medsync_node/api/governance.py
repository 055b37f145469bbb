"""How a context's membership is governed: policy, owner, open proposals and ballots, and votes on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from fastapi import APIRouter

from medsync_client.changes import Changed
from medsync_client.governance import (
    Governance, Heir, OpenBallot, Passed, PolicyChange, PolicyOffer, PolicyOffers, Proposal, VoteCast,
)  # fmt: skip
from medsync_node.api.changes import changed, how_to_vote, left_to_ask, voted, voted_for_policy
from medsync_node.api.finding import find_member, find_replica, member_names, pick
from medsync_protocol.actions import Admit, Rekey, Resume, SetRole
from medsync_protocol.ids import MemberId, device_of, short
from medsync_protocol.kinds import Role
from medsync_protocol.statement import quorum

if TYPE_CHECKING:
    from medsync_node.node import Node
    from medsync_protocol.actions import PolicyName
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
        case Resume(chain=chain):
            owner = replica.membership.devices.get(device_of(chain))
            return f"the chain {chain.hex()[:12]} of {'a former device' if owner is None else names.get(owner, short(owner))}"
        case _:
            key = bytes(getattr(action, "member", b""))
            return names.get(MemberId(key), short(key))


def _policy_in_words(policy: PolicyName) -> str:
    named = ", ".join(f"{key}={value}" for key, value in policy.parameters)
    return f"{policy.name} ({named})" if named else policy.name


def _ballots(replica: Replica) -> Iterator[OpenBallot]:
    """Lists and policies that some voters want; the first voters of all are the founder, and until then admins."""
    state, names = replica.membership, member_names(replica)
    assert state.genesis is not None, "a context has a genesis"

    def ballot(wanted: Literal["voters", "policy"], cast: Iterable[MemberId], electors: set[MemberId], **what: Any) -> OpenBallot:
        yes = electors.intersection(cast)
        return OpenBallot(
            wanted=wanted, yes=tuple(sorted(names.get(one, short(one)) for one in yes)), mine=replica.member in electors - yes,
            needed=max(0, quorum(len(electors)) - len(yes)), electors=tuple(sorted(names.get(one, short(one)) for one in electors)), **what,
        )  # fmt: skip

    voters = {member for member, _ in state.voters}
    for listed, cast in state.open_ballots():
        about = ", ".join(sorted(names.get(member, short(member)) for member, _ in listed))
        ids = tuple(member.hex() for member, _ in listed)
        yield ballot("voters", cast, voters or {state.genesis.founder.member}, about=about, members=ids)
    for policy, cast in state.open_policy_ballots():
        about, given = _policy_in_words(policy), dict(policy.parameters)
        yield ballot("policy", cast, voters or state.admins(), about=about, policy=policy.name, parameters=given)


def _verb(proposal: Open) -> str:
    named = type(proposal.action).__name__
    return _VERBS.get(named, named)


def proposal_views(replica: Replica) -> tuple[Proposal, ...]:
    """Open proposals, by id."""
    names, me = member_names(replica), replica.member

    def named(member: MemberId) -> str:
        return names.get(member, short(member))

    return tuple(
        Proposal(
            id=p.op_id.hex(), action=_verb(p),
            about=_about(replica, p), author=named(p.author), needed=p.needed - len(p.yes),
            yes=tuple(named(member) for member, _, _ in p.yes), no=tuple(map(named, p.no)),
            electors=tuple(sorted(map(named, p.electors))), expires=p.expires,
            mine=me in p.electors - {p.author, *p.no, *(member for member, _, _ in p.yes)},
            left=left_to_ask(replica, p), vote=how_to_vote(replica, p.op_id),
        )
        for p in replica.membership.open_proposals()
    )  # fmt: skip


def governance_view(replica: Replica) -> Governance:
    """All of it as this node sees it."""
    state, names = replica.membership, member_names(replica)
    policy, rules = state.policy, replica.fold.rules()
    assert policy is not None, "a context has a policy"

    def named(member: MemberId) -> str:
        return names.get(member, short(member))

    return Governance(
        policy=policy.name, version=policy.version, hash=policy.digest.hex(), parameters=dict(policy.parameters),
        known=rules is not None, owner="" if state.owner is None else named(state.owner),
        quorum=0 if rules is None else rules.quorum(state),
        rotation_owed=tuple(map(named, state.rotation_owed())), k=state.k, ballots=tuple(_ballots(replica)),
        next_policy="" if state.next_policy is None else _policy_in_words(state.next_policy[0]),
        proposals=proposal_views(replica), passed=tuple(
            Passed(action=_verb(one), about=_about(replica, one), author=named(one.author), counts_from=at) for at, one in state.waiting
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

    @router.get("/policies")
    async def list_policies() -> PolicyOffers:
        """The membership policies that this node has: those that its member can found a context with, or vote for."""
        return PolicyOffers(
            policies=tuple(
                PolicyOffer(
                    name=offer.kind.name, version=offer.kind.version, shipped=offer.own, about=offer.kind.about, defaults=dict(offer.kind.defaults),
                )
                for offer in engine.policies.offers.values()
            )
        )  # fmt: skip

    @router.post("/contexts/{context}/proposals/{proposal}/votes")
    async def endorse(context: str, proposal: str, body: VoteCast) -> Changed:
        """Vote on an open proposal."""
        replica = find_replica(node, context)
        listed = ((p.op_id, "", p.op_id) for p in replica.membership.open_proposals())
        chosen = pick(proposal, listed, "proposal", f"policy proposals {replica.name}")
        op = await node.perform(lambda now: engine.endorse(now, replica.context, chosen, body.yes))
        return voted(replica, op, chosen)

    @router.put("/contexts/{context}/policy")
    async def vote_policy(context: str, body: PolicyChange) -> Changed:
        """Vote, as a voter, for another membership policy."""
        replica = find_replica(node, context)
        op = await node.perform(
            lambda now: engine.vote_policy(now, replica.context, body.policy, body.parameters)
        )
        return voted_for_policy(replica, op, engine.policies.name(engine.policies.make(body.policy, body.parameters.items())))

    @router.put("/contexts/{context}/owner")
    async def transfer(context: str, body: Heir) -> Changed:
        """Hand a context over to another of its admins."""
        replica = find_replica(node, context)
        heir = find_member(replica, body.member)
        op = await node.perform(lambda now: engine.transfer(now, replica.context, heir))
        return changed(replica, op)

    return router
