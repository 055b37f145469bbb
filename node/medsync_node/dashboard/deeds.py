"""What somebody can do to a membership from a page: the call that does it, and beforehand in words what will happen.

Whether it may be done is the policy's to say, and the API's to refuse; what it leads to is PROTOCOL §§1, 3, 4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from medsync_client import contexts, governance, members
from medsync_client.calls import Call
from medsync_client.contexts import ContextDetail, Voters
from medsync_client.errors import BadRequest
from medsync_client.governance import Change, Outlook, Proposal
from medsync_client.members import Member
from medsync_client.wire import RoleName, Written
from medsync_protocol.statement import quorum

ROLES: Final[Mapping[str, RoleName]] = {"reader": "reader", "member": "member", "admin": "admin"}
ROLE_WORDS: Final[Mapping[RoleName, str]] = {
    "reader": "A reader reads. It writes nothing, decides nothing and can't be a voter.",
    "member": "A member reads and writes: consents, decisions, accesses. It can be a voter.",
    "admin": "An admin does what a member does, and admits, removes, changes roles and replaces the key as the policy lets it.",
}
MAX_VOTERS: Final = 250  # of one list: as many as the API takes


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a form asks for, unchecked but for the role: members by id, `voters` by their first digits (250 whole ids are
    longer than an address may be), `proposal` and whether the vote is yes."""

    member: str = ""
    role: RoleName = "member"
    voters: tuple[str, ...] = ()
    proposal: str = ""
    yes: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the words rest on. `context` None: the network's membership; `who`: whom it is about, where it is somebody."""

    place: str
    policy: str
    context: ContextDetail | None = None
    who: Member | None = None
    outlook: Outlook | None = None
    voters: Voters = field(default_factory=lambda: Voters(voters=(), quorum=0))
    chosen: tuple[str, ...] = ()
    proposal: Proposal | None = None

    @property
    def name(self) -> str:
        """Whom it is about."""
        return "this node's member" if self.who is None else self.who.name


Words = Callable[[Facts, Asked], Iterator[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """`call` takes the context's name, None for the network. `change`: what the policy is asked about beforehand."""

    title: Callable[[Facts, Asked], str]
    words: Words
    call: Callable[[str | None, Asked], Call[Written]]
    done: str
    change: Change | None = None
    danger: bool = False


def ruling(facts: Facts) -> str:
    """What the policy makes of it; empty where it was not asked, or denies."""
    ahead = facts.outlook
    if ahead is None or ahead.ruling == "denied":
        return ""
    if ahead.ruling == "allowed":
        return f"The policy {facts.policy} lets it count at once."
    return (
        f"The policy {facts.policy} wants votes: this proposes it. Before anything changes {ahead.needed} of these must agree: "
        f"{', '.join(ahead.electors)}."
    )


def _stands(facts: Facts) -> str:
    held = 0 if facts.outlook is None else facts.outlook.held
    if not held:
        return f"This node holds nothing that {facts.name} wrote."
    return (
        f"Cut-off: the {held} operation{'s' if held != 1 else ''} of {facts.name} that this node holds stand. What else it wrote, "
        "or writes from now on, doesn't count; denials and revocations in it stay in force until a custodian lifts them."
    )


def _final(facts: Facts) -> str:
    if facts.context is not None and facts.context.address is None:
        return f"The context {facts.place} is not anchored, so this never becomes final: operations that {facts.name} dates back may undo it."
    return "It is final once a checkpoint that holds it is settled on the chain; until then operations dated back may undo it."


def _votes_on(facts: Facts) -> Iterator[str]:
    if facts.who is not None and any(one.member == facts.who.id for one in facts.voters.voters):
        count, needed = len(facts.voters.voters), facts.voters.quorum
        yield f"It is one of {count} voters and stays one until {needed} of them vote for another list; until then {needed} must sign."


def _admit(facts: Facts, asked: Asked) -> Iterator[str]:
    settings = {} if facts.context is None else facts.context.settings
    if settings.get("history") == "from_join":
        yield f"{facts.name} gets a new key: it reads what is written from now on, not what was written before."
    else:
        yield f"{facts.name} gets the key: it reads all that was written so far, and what will be."
    yield ROLE_WORDS[asked.role]
    yield "It can be removed again; what it has read by then it keeps."


def _remove(facts: Facts, asked: Asked) -> Iterator[str]:
    yield _stands(facts)
    if facts.context is None:
        yield f"It loses its links to all members. In each context the first admin whose node sees this removes {facts.name} there, and replaces the key."
    else:
        yield f"Rotation: the key is replaced in the same operation. {facts.name} can't read what is written after it, about patients it knows either."
    yield "It keeps what it read or copied before: nobody can take that back."
    yield f"Patients whose homes are mostly {facts.name} can't be decided about until their records name other homes."
    yield from _votes_on(facts)
    yield _final(facts)


def _role(facts: Facts, asked: Asked) -> Iterator[str]:
    yield ROLE_WORDS[asked.role]
    if facts.who is not None and facts.who.role == "admin" != asked.role:
        yield f"Cut-off: what {facts.name} did as an admin and this node does not hold yet doesn't count. All else it wrote stands."
    yield f"The key stays, and {facts.name} reads on: only a removal replaces the key."
    if asked.role == "reader":
        yield from _votes_on(facts)


def _list(facts: Facts, asked: Asked) -> Iterator[str]:
    now, count = facts.voters, len(facts.chosen)
    yield f"This node's member votes for this list: {', '.join(facts.chosen)}."
    if now.voters:
        yield f"The list changes once {now.quorum} of the {len(now.voters)} voters of now have voted for exactly this one."
    else:
        yield "There is no list yet: the vote of who founded the context makes the first."
    yield f"From the next checkpoint on {quorum(count)} of these {count} must sign each one."


def _owner(facts: Facts, asked: Asked) -> Iterator[str]:
    yield f"{facts.name} owns {facts.place} from then on, and alone can hand it over again: you can't take it back."
    yield "This node's member stays what it is otherwise."


def _leave(facts: Facts, asked: Asked) -> Iterator[str]:
    yield f"This node's member writes, decides and votes nothing in {facts.place} any more. What it wrote stands."
    yield "This node keeps what it holds. It reads nothing that is written after the admins replaced the key, which they then owe."
    yield "Patients whose homes are mostly this member can't be decided about until their records name other homes."
    yield from _votes_on(facts)
    yield "Coming back takes an admin who admits it again."


def _rotate(facts: Facts, asked: Asked) -> Iterator[str]:
    yield "A new key is drawn and sealed to each member of now. What is written from then on only they can read."
    yield "What was readable stays readable to whoever has the key of before."


def _vote(facts: Facts, asked: Asked) -> Iterator[str]:
    one = facts.proposal
    assert one is not None, "a vote is on a proposal"
    yield f"{one.author} proposed it. Yes so far: {', '.join(one.yes) or 'nobody else'}; no: {', '.join(one.no) or 'nobody'}."
    if not asked.yes:
        yield "Once so many say no that it can't pass, it has failed."
    elif one.needed > 1:
        yield f"With this vote {one.needed - 1} more must agree before anything changes."
    else:
        yield "This is the vote that was lacking: with it the change counts."
        if one.action == "remove":
            yield "Then the cut-off is the highest that its proposer and the voters name, and the key that came with the proposal replaces the one of now."
            yield "The removed keeps what it read or copied before."
    yield "A vote can't be changed."


def _call(of_context: Callable[[str, Asked], Call[Written]]) -> Callable[[str | None, Asked], Call[Written]]:
    def made(context: str | None, asked: Asked) -> Call[Written]:
        if context is None:
            raise BadRequest("the network has no such thing", code="deed", advice="choose a context first")
        return of_context(context, asked)

    return made


def _removal(context: str | None, asked: Asked) -> Call[Written]:
    return members.remove_member(asked.member) if context is None else contexts.remove_from_context(context, asked.member)


def _new_role(context: str | None, asked: Asked) -> Call[Written]:
    if context is None:
        return members.set_role(asked.member, asked.role)
    return contexts.set_context_role(context, asked.member, asked.role)


DEEDS: Final[Mapping[str, Deed]] = {
    "admit": Deed(
        title=lambda f, a: f"Admit {f.name} to {f.place} as {a.role}", words=_admit, change="admit",
        call=_call(lambda context, a: contexts.admit(context, a.member, a.role)), done="The admission is on record.",
    ),
    "remove": Deed(
        title=lambda f, a: f"Remove {f.name} from {f.place}", words=_remove, change="remove", danger=True, call=_removal,
        done="The removal is on record.",
    ),
    "role": Deed(
        title=lambda f, a: f"Make {f.name} {'an' if a.role == 'admin' else 'a'} {a.role} of {f.place}", words=_role,
        change="set_role", call=_new_role, done="The change of role is on record.",
    ),
    "vote": Deed(
        title=lambda f, a: f"Vote {'yes' if a.yes else 'no'}: {'' if f.proposal is None else f.proposal.action.replace('_', ' ') + ' ' + f.proposal.about}",
        words=_vote, call=_call(lambda context, a: governance.endorse(context, a.proposal, a.yes)), done="The vote is on record.",
    ),
    "voters": Deed(
        title=lambda f, a: f"Vote for another list of voters of {f.place}", words=_list,
        call=_call(lambda context, a: contexts.vote_voters(context, a.voters)), done="The vote for a list is on record.",
    ),
    "owner": Deed(
        title=lambda f, a: f"Hand {f.place} over to {f.name}", words=_owner, change="transfer", danger=True,
        call=_call(lambda context, a: governance.transfer(context, a.member)), done="The context is handed over.",
    ),
    "leave": Deed(
        title=lambda f, a: f"Leave {f.place}", words=_leave, change="leave", danger=True,
        call=_call(lambda context, a: contexts.leave(context)), done="This node's member has left.",
    ),
    "rotate": Deed(
        title=lambda f, a: f"Replace the key of {f.place}", words=_rotate, change="rotate",
        call=_call(lambda context, a: contexts.rotate(context)), done="The key is replaced.",
    ),
}  # fmt: skip
"""By the last part of the path."""
OF_NETWORK: Final = frozenset({"remove", "role"})
ABOUT_SOMEBODY: Final = frozenset({"admit", "remove", "role", "owner"})
