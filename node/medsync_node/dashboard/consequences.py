"""What follows from a change of a membership, in words, before it is made (PROTOCOL §§1, 3, 4). Making it is deeds.py's."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Final

from medsync_client.wire import RoleName
from medsync_node.dashboard.facts import Asked, Facts, named
from medsync_protocol.statement import quorum

ROLE_WORDS: Final[Mapping[RoleName, str]] = {
    "reader": "A reader reads. It writes nothing, decides nothing and can't be a voter.",
    "member": "A member reads and writes: consents, decisions, accesses. It can be a voter.",
    "admin": "An admin does what a member does, and admits, removes, changes roles and replaces the key as the policy lets it.",
}


def ruling(facts: Facts) -> str:
    """What the policy makes of it; empty where it was not asked, or denies."""
    ahead = facts.outlook
    if ahead is None or ahead.ruling == "denied":
        return ""
    if ahead.ruling == "allowed" or not ahead.needed:
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
        return f"The context {facts.place} is not anchored, so that this is never settled: operations that {facts.name} dates back may undo it."
    return "It is settled once a checkpoint that holds it is; until then operations dated back may undo it."


def _votes_on(facts: Facts) -> Iterator[str]:
    if facts.who is not None and any(one.member == facts.who.id for one in facts.voters.voters):
        count, needed = len(facts.voters.voters), facts.voters.quorum
        yield f"It is one of {count} voters and stays one until {needed} of them vote for another list; until then {needed} must sign."


def admit(facts: Facts, asked: Asked) -> Iterator[str]:
    """A member of the network comes in."""
    settings = {} if facts.context is None else facts.context.settings
    if settings.get("history") == "from_join":
        yield f"{facts.name} gets a new key: it reads what is written from now on, not what was written before."
    else:
        yield f"{facts.name} gets the key: it reads all that was written so far, and what will be."
    yield ROLE_WORDS[asked.role]
    yield "It can be removed again; what it has read by then it keeps."


def remove(facts: Facts, asked: Asked) -> Iterator[str]:
    """A member goes."""
    yield _stands(facts)
    if facts.context is None:
        yield f"It loses its links to all members. In each context the first admin whose node sees this removes {facts.name} there, and replaces the key."
    else:
        yield f"Rotation: the key is replaced in the same operation. {facts.name} can't read what is written after it, about patients it knows either."
    yield "It keeps what it read or copied before: nobody can take that back."
    yield f"Patients whose homes are mostly {facts.name} can't be decided about until their records name other homes."
    yield from _votes_on(facts)
    yield _final(facts)


def role(facts: Facts, asked: Asked) -> Iterator[str]:
    """Another role."""
    yield ROLE_WORDS[asked.role]
    if facts.who is not None and facts.who.role == "admin" != asked.role:
        yield f"Cut-off: what {facts.name} did as an admin and this node does not hold yet doesn't count. All else it wrote stands."
    yield f"The key stays, and {facts.name} reads on: only a removal replaces the key."
    if asked.role == "reader":
        yield from _votes_on(facts)


def voter_list(facts: Facts, asked: Asked) -> Iterator[str]:
    """Another list of voters."""
    now, count = facts.voters, len(facts.chosen)
    yield f"This node's member votes for this list: {', '.join(facts.chosen)}."
    if now.voters:
        yield f"The list changes once {now.quorum} of the {len(now.voters)} voters of now have voted for exactly this one."
    else:
        yield "There is no list yet: the vote of who founded the context makes the first."
    yield f"From the next checkpoint on {quorum(count)} of these {count} must sign each one: that is their quorum."


def owner(facts: Facts, asked: Asked) -> Iterator[str]:
    """Another owner."""
    yield f"{facts.name} owns {facts.place} from then on, and alone can hand it over again: you can't take it back."
    yield "This node's member stays what it is otherwise."


def leave(facts: Facts, asked: Asked) -> Iterator[str]:
    """This node's member goes."""
    yield f"This node's member writes, decides and votes nothing in {facts.place} any more. What it wrote stands."
    yield "This node keeps what it holds. It reads nothing that is written after the admins replaced the key, which they then owe."
    yield "Patients whose homes are mostly this member can't be decided about until their records name other homes."
    yield from _votes_on(facts)
    yield "Coming back takes an admin who admits it again."


def rotate(facts: Facts, asked: Asked) -> Iterator[str]:
    """Another key."""
    yield "A new key is drawn and sealed to each member of now. What is written from then on only they can read."
    yield "What was readable stays readable to whoever has the key of before."


def vote(facts: Facts, asked: Asked) -> Iterator[str]:
    """A vote on a proposal."""
    one = facts.proposal
    assert one is not None, "a vote is on a proposal"
    yield f"{one.author} proposed it. Yes so far: {', '.join(one.yes) or 'nobody else'}; no: {', '.join(one.no) or 'nobody'}."
    if not asked.yes:
        yield "Once so many say no that it can't pass, it has failed."
    elif one.needed > 1:
        yield f"With this vote {one.needed - 1} more must agree before anything changes."
    else:
        yield "This is the vote that was lacking: with it the change counts."
        if one.action in ("remove", "recover"):
            yield "Then the cut-off is the highest that its proposer and the voters name, and the key that came with the proposal replaces the one of now."
            yield "The removed keeps what it read or copied before."
    yield "A vote can't be changed."


def recover(facts: Facts, asked: Asked) -> Iterator[str]:
    """Another member comes in the place of one that lost its key."""
    renewed = "the new member" if facts.renewed is None else facts.renewed.name
    yield f"{renewed} takes the place of {facts.name}: its role and seniority, and {facts.place} itself if {facts.name} owns it."
    yield _stands(facts)
    yield f"Rotation: the key is replaced in the same operation. Whoever has the lost key, {facts.name} too, can't read what is written after it."
    ahead = facts.outlook
    if ahead is not None and ahead.ruling == "votes" and ahead.needed > len(set(ahead.electors) - {facts.name}):
        yield f"It can't pass without the vote of {facts.name}, which lost its key: remove {facts.name} and admit {renewed} instead."
    yield f"Patients' records go on naming {facts.name} as a custodian or home until their other custodians move them: `medsync subject move {shlex.quote(facts.place)} --all …`."
    yield f"A record whose only custodian is {facts.name} nobody can change."
    yield from _votes_on(facts)
    yield _final(facts)
    yield f"{facts.name} can come back only as a new member."


def resume(facts: Facts, asked: Asked) -> Iterator[str]:
    """A forked chain goes on."""
    chain = facts.held
    assert chain is not None and chain.forked_at is not None, "only forked chains are offered"
    yield f"A device of {facts.name} signed two operations for place {chain.forked_at} of its chain: nothing of it counts from there on."
    yield "What is void stays void, and both branches are kept as evidence."
    yield f"The chain goes on after the {chain.operations} operations that this node holds of it: what its device writes from then on counts again."
    yield (
        "Know the cause first. A home that was copied, or restored by hand instead of with `medsync backup restore`, does this; so does a "
        f"stolen key: then {facts.name} revokes the device with `medsync member revoke-device`, or is recovered, and the chain stays as it is."
    )


def policy(facts: Facts, asked: Asked) -> Iterator[str]:
    """Other rules of membership."""
    offer, now = facts.offer, facts.voters
    assert offer is not None, "only policies that this node has are offered"
    yield f"{named(asked.policy, asked.parameters)}: {offer.about}."
    so_far = "" if facts.ballot is None else f" So far: {', '.join(facts.ballot.yes) or 'nobody'}."
    if now.voters:
        yield f"It is chosen once {now.quorum} of the {len(now.voters)} voters have voted for exactly this one, its parameters included.{so_far}"
    else:
        yield f"There are no voters yet: it is chosen once a quorum of the admins has voted for exactly this one, its parameters included.{so_far}"
    if facts.context is not None and facts.context.address is None:
        yield f"The context {facts.place} is not anchored: no checkpoint comes, so that {facts.policy} rules on until it is."
    else:
        yield "It rules from the next checkpoint on. What is decided by then stays; proposals that are open keep the votes they wait for."
    if not offer.shipped:
        yield "It comes from a package: members whose nodes don't have the same one let nothing pass until they install it."
    yield "A vote can't be taken back; voting for another policy is possible until one is chosen."
