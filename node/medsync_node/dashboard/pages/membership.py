"""Who is in a context and how that changes: roles, open proposals, voters, owner; each change on a page of its own first.

What such a page says is deeds.py's; inviting into the network is members.py's.
"""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from medsync_client import contexts, governance, members
from medsync_client.contexts import ContextDetail
from medsync_client.errors import BadRequest, NotFound
from medsync_client.members import Member
from medsync_node.dashboard.deeds import ABOUT_SOMEBODY, DEEDS, MAX_VOTERS, OF_NETWORK, ROLES, Asked, Deed, Facts, ruling
from medsync_node.dashboard.visit import Visit

NETWORK_POLICY: Final = "any_admin"  # what every network is founded with


async def membership(visit: Visit) -> Response:
    """Members with what can be done about each, proposals, voters."""
    found = await visit.ask(contexts.context(visit.context))
    inside = {one.id for one in found.member_list}
    network, rules = await visit.ask(members.members()), await visit.ask(governance.governance(visit.context))
    return visit.show(
        "membership.html", found=found, rules=rules, owns=any(one.me and one.name == rules.owner for one in found.member_list),
        voters=await visit.ask(contexts.voters(visit.context)), outside=[one for one in network.members if one.id not in inside],
        may_change=may_change(visit, found), roles=tuple(ROLES), done=done(visit),
    )  # fmt: skip


def may_change(visit: Visit, found: ContextDetail) -> bool:
    """Whether changes are offered at all: the scope, read-only mode, and being a member. Of each, the policy decides."""
    call = contexts.rotate(found.id)
    return found.role is not None and visit.may(call.method, call.path)


def done(visit: Visit) -> str:
    """What was done just now, in words."""
    deed = DEEDS.get(visit.query.get("done", ""))
    return "" if deed is None else deed.done


def _asked(visit: Visit) -> Asked:
    form = visit.form or visit.query
    role, answer = form.get("role", "member"), form.get("answer", "yes")
    voters = tuple(dict.fromkeys(form.get("voters", "").split() or visit.request.query_params.getlist("voter")))
    if role not in ROLES or answer not in ("yes", "no") or len(voters) > MAX_VOTERS:
        raise BadRequest("there is no such role, vote or list", code="choice", advice="go back and choose one that is offered")
    return Asked(
        member=form.get("member", ""), role=ROLES[role], voters=voters, proposal=form.get("proposal", ""), yes=answer == "yes"
    )


def _deed(visit: Visit) -> tuple[str, Deed, str | None, Asked]:
    name, context = visit.place("deed"), visit.context or None
    if name not in DEEDS or (context is None and name not in OF_NETWORK):
        raise NotFound("there is no such page", code="not_found", advice="go back and choose what is offered")
    asked = _asked(visit)
    if (name in ABOUT_SOMEBODY and not asked.member) or (name == "voters" and not asked.voters) or (name == "vote" and not asked.proposal):
        raise BadRequest("whom it is about was not said", code="nobody", advice="go back and choose somebody")
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
        danger=deed.danger, asked=asked, back=_home(visit), deed=name,
    )  # fmt: skip


async def do(visit: Visit) -> Response:
    """Do it."""
    name, deed, context, asked = _deed(visit)
    await visit.ask(deed.call(context, asked))
    return visit.go(f"{_home(visit)}?done={name}")


async def _facts(visit: Visit, name: str, deed: Deed, context: str | None, asked: Asked) -> Facts:
    outlook = None
    if deed.change is not None:
        member = asked.member if name in ABOUT_SOMEBODY else None
        outlook = await visit.ask(governance.outlook(context, deed.change, member, asked.role))
    everyone = (await visit.ask(members.members())).members
    if context is None:
        named = (await visit.ask(members.network())).name
        return Facts(place=f"the network {named}", policy=NETWORK_POLICY, who=_one(everyone, asked.member), outlook=outlook)
    found = await visit.ask(contexts.context(context))
    inside = found.member_list
    proposals = (await visit.ask(governance.governance(context))).proposals if name == "vote" else ()
    proposal = next((one for one in proposals if one.id == asked.proposal), None)
    if name == "vote" and proposal is None:
        raise NotFound("there is no such open proposal", code="unknown_proposal", advice="it may have passed or failed meanwhile")
    who = _one(everyone if name == "admit" else inside, asked.member) if name in ABOUT_SOMEBODY else None
    if name == "leave":
        who = next((one for one in inside if one.me), None)

    def called(named: str) -> str:
        return next((one.name for one in inside if one.id.startswith(named)), named)

    return Facts(
        place=found.name, policy=found.policy, context=found, who=who, outlook=outlook, proposal=proposal,
        voters=await visit.ask(contexts.voters(context)), chosen=tuple(map(called, asked.voters)),
    )  # fmt: skip


def _one(everyone: tuple[Member, ...], named: str) -> Member:
    found = next((one for one in everyone if named in (one.id, one.name)), None)
    if found is None:
        raise NotFound("there is no such member", code="unknown_member", advice="go back and choose one that is listed")
    return found


PAGES: Final = (
    ("GET", "/c/{context}/members", membership), ("GET", "/c/{context}/members/{deed}", ask_first), ("POST", "/c/{context}/members/{deed}", do),
    ("GET", "/members/{deed}", ask_first), ("POST", "/members/{deed}", do),
)  # fmt: skip
