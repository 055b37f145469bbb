"""Who is in a context and how that changes: roles, open proposals, voters, owner; each change on a page of its own first.

What such a page says is deeds.py's; inviting into the network is members.py's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from starlette.responses import Response

from medsync_client import contexts, devices, governance, members
from medsync_client.contexts import ContextDetail
from medsync_client.errors import BadRequest, NotFound
from medsync_client.governance import OpenBallot, Outlook
from medsync_client.members import Member
from medsync_node.dashboard.consequences import ruling
from medsync_node.dashboard.deeds import ABOUT_SOMEBODY, DEEDS, IN_VAIN, MAX_VOTERS, OF_NETWORK, ROLES, STANDINGS, WANTS, Deed
from medsync_node.dashboard.facts import Asked, Facts, Parameters, told
from medsync_node.dashboard.visit import Visit

MAX_PARAMETERS: Final = 32  # of a policy: as many as the API takes
NETWORK_POLICY: Final = "any_admin"  # what every network is founded with


async def membership(visit: Visit) -> Response:
    """Members with what can be done about each, proposals and ballots, voters, forked chains."""
    found = await visit.ask(contexts.context(visit.context))
    inside = {one.id for one in found.member_list}
    forked = [
        (one, chain) for one in (await visit.ask(devices.devices(visit.context))).devices for chain in one.chains if chain.forked_at is not None
    ]  # fmt: skip
    network, rules = await visit.ask(members.members()), await visit.ask(governance.governance(visit.context))
    return visit.show(
        "membership.html", found=found, rules=rules, owns=any(one.me and one.name == rules.owner for one in found.member_list),
        voters=await visit.ask(contexts.voters(visit.context)), outside=[one for one in network.members if one.id not in inside],
        may_change=may_change(visit, found), roles=tuple(ROLES), done=done(visit), forked=forked,
        offers=(await visit.ask(governance.policies())).policies, told=told,
    )  # fmt: skip


def may_change(visit: Visit, found: ContextDetail) -> bool:
    """Whether changes are offered at all: the scope, read-only mode, and being a member. Of each, the policy decides."""
    call = contexts.rotate(found.id)
    return found.role is not None and visit.may(call.method, call.path)


def done(visit: Visit) -> tuple[str, bool]:
    """What was done just now, in words, and whether it came to nothing."""
    deed = DEEDS.get(visit.query.get("done", ""))
    standing = next((one for one in STANDINGS if one == visit.query.get("now")), None)
    if deed is None:
        return "", False
    return f"{deed.done} {STANDINGS[standing] if standing is not None else ''}".strip(), standing in IN_VAIN


def _parameters(text: str) -> Parameters:
    """`k=3 expiry=10` as the API wants it. Raises BadRequest."""
    found: dict[str, int | str] = {}
    for part in text.replace(",", " ").split():
        name, equals, value = part.partition("=")
        if not equals or not name or len(found) == MAX_PARAMETERS:
            raise BadRequest("these are no parameters of a policy", code="parameters", advice="write them as NAME=VALUE, with spaces between them")
        found[name] = int(value) if value.isdecimal() else value
    return found


def _asked(visit: Visit) -> Asked:
    form = visit.form or visit.query
    role, answer = form.get("role", "member"), form.get("answer", "yes")
    voters = tuple(dict.fromkeys(form.get("voters", "").split() or visit.request.query_params.getlist("voter")))
    if role not in ROLES or answer not in ("yes", "no") or len(voters) > MAX_VOTERS:
        raise BadRequest("there is no such role, vote or list", code="choice", advice="go back and choose one that is offered")
    return Asked(
        member=form.get("member", ""), role=ROLES[role], voters=voters, proposal=form.get("proposal", ""), yes=answer == "yes",
        renewed=form.get("renewed", ""), chain=form.get("chain", ""), policy=form.get("policy", ""),
        parameters=_parameters(form.get("parameters", "")),
    )  # fmt: skip


def _deed(visit: Visit) -> tuple[str, Deed, str | None, Asked]:
    name, context = visit.place("deed"), visit.context or None
    if name not in DEEDS or (context is None and name not in OF_NETWORK):
        raise NotFound("there is no such page", code="not_found", advice="go back and choose what is offered")
    asked = _asked(visit)
    if not all(getattr(asked, wanted) for wanted in WANTS.get(name, ())):
        raise BadRequest("whom or what it is about was not said", code="nobody", advice="go back and choose what is offered")
    return name, DEEDS[name], context, asked


def _home(visit: Visit) -> str:
    return f"/c/{visit.context}/members" if visit.context else "/members"


async def ask_first(visit: Visit) -> Response:
    """What will happen, in words, and the button that does it; without one where the policy says no."""
    name, deed, context, asked = _deed(visit)
    call = deed.call(context, asked)
    visit.backend.require(visit.session.grant, call.method, call.path)
    facts = await _facts(visit, name, deed, context, asked)
    return visit.show(
        "confirm.html", title=deed.title(facts, asked), says=[*filter(None, [ruling(facts)]), *deed.words(facts, asked)],
        denied="" if facts.outlook is None or facts.outlook.ruling != "denied" else facts.outlook.reason, policy=facts.policy,
        danger=deed.danger, asked=asked, parameters=told(asked.parameters), back=_home(visit), deed=name,
    )  # fmt: skip


async def do(visit: Visit) -> Response:
    """Do it."""
    name, deed, context, asked = _deed(visit)
    made = await visit.ask(deed.call(context, asked))
    return visit.go(f"{_home(visit)}?done={name}&now={made.state}")


async def _facts(visit: Visit, name: str, deed: Deed, context: str | None, asked: Asked) -> Facts:
    outlook = None
    if deed.change is not None:
        member = asked.member if name in ABOUT_SOMEBODY else None
        about = governance.outlook(context, deed.change, member, asked.role, asked.renewed or None, asked.chain or None)
        outlook = await visit.ask(about)
    everyone = (await visit.ask(members.members())).members
    if context is None:
        named = (await visit.ask(members.network())).name
        return Facts(place=f"the network {named}", policy=NETWORK_POLICY, who=_one(everyone, asked.member), outlook=outlook)
    found = await visit.ask(contexts.context(context))
    inside = found.member_list
    who = _one(everyone if name == "admit" else inside, asked.member) if name in ABOUT_SOMEBODY else None
    if name == "leave":
        who = next((one for one in inside if one.me), None)

    def called(named: str) -> str:
        return next((one.name for one in inside if one.id.startswith(named)), named)

    facts = Facts(
        place=found.name, policy=found.policy, context=found, who=who, outlook=outlook, voters=await visit.ask(contexts.voters(context)),
        chosen=tuple(map(called, asked.voters)), renewed=_one(everyone, asked.renewed) if name == "recover" else None,
    )  # fmt: skip
    match name:
        case "vote":
            return await _on_proposal(visit, facts, asked)
        case "policy":
            return await _on_policy(visit, facts, asked)
        case "resume":
            return await _on_chain(visit, facts, asked)
    return facts


async def _on_proposal(visit: Visit, facts: Facts, asked: Asked) -> Facts:
    proposals = (await visit.ask(governance.governance(visit.context))).proposals
    proposal = next((one for one in proposals if one.id == asked.proposal), None)
    if proposal is None:
        raise NotFound("there is no such open proposal", code="unknown_proposal", advice="it may have passed or failed meanwhile")
    return replace(facts, proposal=proposal)


async def _on_policy(visit: Visit, facts: Facts, asked: Asked) -> Facts:
    """Only voters' votes count, admins' before there are voters: for anybody else, and for the policy of now, it is refused here."""
    rules = await visit.ask(governance.governance(visit.context))
    offer = next((one for one in (await visit.ask(governance.policies())).policies if one.name == asked.policy), None)
    if offer is None:
        raise NotFound("this node has no such policy", code="unknown_policy", advice="see `medsync policy list`")
    wanted, denied = {**offer.defaults, **asked.parameters}, ""
    me = next((one for one in facts.context.member_list if one.me), None) if facts.context is not None else None
    if me is None or (not me.voter if facts.voters.voters else me.role != "admin"):
        denied = "this node's member is no voter, so that its vote wouldn't count"
    elif (offer.name, wanted) == (rules.policy, rules.parameters):
        denied = "it rules already"
    elif rules.next_policy:
        denied = f"the voters chose {rules.next_policy}, which rules from the next checkpoint on"
    outlook = Outlook(ruling="denied", reason=denied) if denied else None
    return replace(facts, offer=offer, outlook=outlook, ballot=_cast(rules.ballots, asked.policy, wanted))


def _cast(ballots: tuple[OpenBallot, ...], policy: str, wanted: Parameters) -> OpenBallot | None:
    return next((one for one in ballots if one.wanted == "policy" and one.policy == policy and one.parameters == wanted), None)


async def _on_chain(visit: Visit, facts: Facts, asked: Asked) -> Facts:
    listed = (await visit.ask(devices.devices(visit.context))).devices
    inside = () if facts.context is None else facts.context.member_list
    for device in listed:
        for chain in device.chains:
            if chain.id == asked.chain and chain.forked_at is not None:
                return replace(facts, held=chain, who=next((one for one in inside if one.id == device.member), None))
    raise NotFound("there is no such forked chain", code="unknown_chain", advice="go back and choose one that is listed")


def _one(everyone: tuple[Member, ...], named: str) -> Member:
    found = next((one for one in everyone if named in (one.id, one.name)), None)
    if found is None:
        raise NotFound("there is no such member", code="unknown_member", advice="go back and choose one that is listed")
    return found


PAGES: Final = (
    ("GET", "/c/{context}/members", membership), ("GET", "/c/{context}/members/{deed}", ask_first), ("POST", "/c/{context}/members/{deed}", do),
    ("GET", "/members/{deed}", ask_first), ("POST", "/members/{deed}", do),
)  # fmt: skip
