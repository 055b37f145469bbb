"""What somebody can do to a membership from a page: its title, the call that does it, and which words say what follows.

Whether it may be done is the policy's to say, and the API's to refuse; the words are consequences.py's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from medsync_client import contexts, devices, governance, members
from medsync_client.calls import Call
from medsync_client.changes import Changed, Standing
from medsync_client.errors import BadRequest
from medsync_client.governance import Change
from medsync_client.wire import RoleName
from medsync_node.dashboard import consequences
from medsync_node.dashboard.facts import Asked, Facts, named
from medsync_node.dashboard.rendering import short

ROLES: Final[Mapping[str, RoleName]] = {"reader": "reader", "member": "member", "admin": "admin"}
MAX_VOTERS: Final = 250  # of one list: as many as the API takes
Words = Callable[[Facts, Asked], Iterator[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """`call` takes the context's name, None for the network. `change`: what the policy is asked about beforehand."""

    title: Callable[[Facts, Asked], str]
    words: Words
    call: Callable[[str | None, Asked], Call[Changed]]
    done: str
    change: Change | None = None
    danger: bool = False


def _call(of_context: Callable[[str, Asked], Call[Changed]]) -> Callable[[str | None, Asked], Call[Changed]]:
    def made(context: str | None, asked: Asked) -> Call[Changed]:
        if context is None:
            raise BadRequest("the network has no such thing", code="deed", advice="choose a context first")
        return of_context(context, asked)

    return made


def _removal(context: str | None, asked: Asked) -> Call[Changed]:
    return members.remove_member(asked.member) if context is None else contexts.remove_from_context(context, asked.member)


def _new_role(context: str | None, asked: Asked) -> Call[Changed]:
    if context is None:
        return members.set_role(asked.member, asked.role)
    return contexts.set_context_role(context, asked.member, asked.role)


DEEDS: Final[Mapping[str, Deed]] = {
    "admit": Deed(
        title=lambda f, a: f"Admit {f.name} to {f.place} as {a.role}", words=consequences.admit, change="admit",
        call=_call(lambda context, a: contexts.admit(context, a.member, a.role)), done="The admission is on record.",
    ),
    "remove": Deed(
        title=lambda f, a: f"Remove {f.name} from {f.place}", words=consequences.remove, change="remove", danger=True, call=_removal,
        done="The removal is on record.",
    ),
    "role": Deed(
        title=lambda f, a: f"Make {f.name} {'an' if a.role == 'admin' else 'a'} {a.role} of {f.place}", words=consequences.role,
        change="set_role", call=_new_role, done="The change of role is on record.",
    ),
    "vote": Deed(
        title=lambda f, a: f"Vote {'yes' if a.yes else 'no'}: {'' if f.proposal is None else f.proposal.action.replace('_', ' ') + ' ' + f.proposal.about}",
        words=consequences.vote, call=_call(lambda context, a: governance.endorse(context, a.proposal, a.yes)), done="The vote is on record.",
    ),
    "voters": Deed(
        title=lambda f, a: f"Vote for another list of voters of {f.place}", words=consequences.voter_list,
        call=_call(lambda context, a: contexts.vote_voters(context, a.voters)), done="The vote for a list is on record.",
    ),
    "policy": Deed(
        title=lambda f, a: f"Vote for the policy {named(a.policy, a.parameters)} of {f.place}", words=consequences.policy,
        call=_call(lambda context, a: governance.vote_policy(context, a.policy, dict(a.parameters))), done="The vote for a policy is on record.",
    ),
    "recover": Deed(
        title=lambda f, a: f"Put {'the new member' if f.renewed is None else f.renewed.name} in the place of {f.name} in {f.place}",
        words=consequences.recover, change="recover", danger=True,
        call=_call(lambda context, a: devices.recover_member(context, a.member, a.renewed)), done="The recovery is on record.",
    ),
    "resume": Deed(
        title=lambda f, a: f"Let the forked chain {short(a.chain)} of {f.name} go on in {f.place}", words=consequences.resume, change="resume",
        call=_call(lambda context, a: devices.resume_chain(context, a.chain)), done="That the chain goes on is on record.",
    ),
    "owner": Deed(
        title=lambda f, a: f"Hand {f.place} over to {f.name}", words=consequences.owner, change="transfer", danger=True,
        call=_call(lambda context, a: governance.transfer(context, a.member)), done="The context is handed over.",
    ),
    "leave": Deed(
        title=lambda f, a: f"Leave {f.place}", words=consequences.leave, change="leave", danger=True,
        call=_call(lambda context, a: contexts.leave(context)), done="This node's member has left.",
    ),
    "rotate": Deed(
        title=lambda f, a: f"Replace the key of {f.place}", words=consequences.rotate, change="rotate",
        call=_call(lambda context, a: contexts.rotate(context)), done="The key is replaced.",
    ),
}  # fmt: skip
"""By the last part of the path."""
STANDINGS: Final[Mapping[Standing, str]] = {
    "in-force": "It counts from now on.", "proposed": "So far it is only proposed: whose votes it lacks stands under Waiting for votes.",
    "waiting": "It has passed, and counts from a coming checkpoint on.", "rejected": "It is rejected.",
    "void": "It has no effect: something that happened beside it, or a rule, keeps it from counting.",
}  # fmt: skip
"""What became of it, after a deed's own words; where it counts, those of a vote are about what was voted on."""
IN_VAIN: Final = frozenset[Standing]({"rejected", "void"})
OF_NETWORK: Final = frozenset({"remove", "role"})
ABOUT_SOMEBODY: Final = frozenset({"admit", "remove", "role", "owner", "recover"})
WANTS: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(ABOUT_SOMEBODY, ("member",)), "recover": ("member", "renewed"), "voters": ("voters",), "vote": ("proposal",),
    "resume": ("chain",), "policy": ("policy",),
}  # fmt: skip
"""What must be said for a deed, by the names of Asked's fields."""
