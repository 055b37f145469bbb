"""From what a caller names to what this node holds: contexts, members, subjects. Unknown and forbidden read the same."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, TypeVar

from medsync_node.api.problems import not_found, unprocessable
from medsync_node.nearest import nearest
from medsync_protocol.ids import NETWORK_CONTEXT, MemberId, SubjectRef
from medsync_protocol.subject import CARD_PREFIX, read_card

if TYPE_CHECKING:
    from medsync_node.node import Node
    from medsync_protocol.replica import Replica

MIN_DIGITS: Final = 8  # of an id's beginning: fewer meet by accident
NAMED: Final = ("member", "context")  # what has names that are nobody's secret
SHOWN: Final = 64  # characters of a name that is repeated to whoever gave it
T = TypeVar("T")


def pick(named: str, candidates: Iterable[tuple[bytes, str, T]], noun: str, command: str | None = None) -> T:
    """The one of (id, name, value) that is meant by whole id, name, or the beginning of an id. Raises Failure.

    `command`: what lists them, where that is not `medsync NOUN list`. A name that no member or context has is told with the
    nearest that there are; what else is named is not repeated, as it may be a patient's.
    """
    listed = tuple(candidates)
    found = [
        (value, named == id_.hex())
        for id_, name, value in listed
        if named == name or named == id_.hex() or (len(named) >= MIN_DIGITS and id_.hex().startswith(named))
    ]
    exact = [value for value, whole in found if whole]
    chosen = exact or [value for value, _ in found]
    if len(chosen) > 1:
        raise unprocessable(
            "ambiguous_name", f"{len(chosen)} {noun}s are called {_said(named, noun)} here", "give the whole id"
        )
    if not chosen:
        see = f"see `medsync {command or f'{noun} list'}`"
        if noun not in NAMED:
            raise not_found(f"unknown_{noun}", f"no such {noun} here", see)
        advice = "; ".join(filter(None, [nearest(named, (name for _, name, _ in listed)), see]))
        raise not_found(f"unknown_{noun}", f"no {noun} {_said(named, noun)} here", advice)
    return chosen[0]


def _said(named: str, noun: str) -> str:
    return repr(named[:SHOWN]) if noun in NAMED else "that"


def network_replica(node: Node) -> Replica:
    """The network's own replica. Raises Failure before there is one."""
    replica = node.engine.replicas.get(NETWORK_CONTEXT)
    if replica is None:
        raise not_found(
            "no_network", "this node belongs to no network yet",
            "found one with `medsync network create`, or join by invitation",
        )  # fmt: skip
    return replica


def context_replicas(node: Node) -> list[Replica]:
    """The contexts of this node, by name; the network is none of them."""
    found = [one for context, one in node.engine.replicas.items() if context != NETWORK_CONTEXT]
    return sorted(found, key=lambda one: (one.name, one.context))


def find_replica(node: Node, named: str | None) -> Replica:
    """A context by id, unique name or the beginning of its id; None: the only one there is. Raises Failure."""
    if named is None:
        held = context_replicas(node)
        if len(held) != 1:
            raise not_found(
                "several_contexts" if held else "unknown_context", "which context is meant isn't clear",
                "use the base address …/contexts/NAME of the context",
            )  # fmt: skip
        return held[0]
    return pick(named, ((one.context, one.name, one) for one in context_replicas(node)), "context")


def find_member(replica: Replica, named: str) -> MemberId:
    """A current member of a context by id, unique name or the beginning of its id. Raises Failure."""
    members = replica.membership.members
    return pick(named, ((member, held.name, member) for member, held in members.items()), "member", _members_of(replica))


def find_members(replica: Replica, named: Iterable[str]) -> tuple[MemberId, ...]:
    """Each of them."""
    return tuple(find_member(replica, one) for one in named)


def find_anyone(replica: Replica, named: str) -> MemberId:
    """As `find_member`, former members included: they stand in the log. Raises Failure."""
    listed = ((member, name, member) for member, name in member_names(replica).items())
    return pick(named, listed, "member", _members_of(replica))


def _members_of(replica: Replica) -> str:
    return "member list" if replica.context == NETWORK_CONTEXT else f"member list --context {shlex.quote(replica.name)}"


def member_names(replica: Replica) -> dict[MemberId, str]:
    """Names of everyone who ever was a member, by id."""
    return {member: card.name for member, card in replica.membership.cards.items()}


def find_subject(replica: Replica, named: str) -> SubjectRef:
    """The pseudonym that a caller gives, itself or as a card of this context. Raises Failure; holding it is not checked."""
    if named.startswith(CARD_PREFIX):
        context, subject = read_card(named)
        if context != replica.context:
            raise unprocessable("card_context", "the card is for another context", "name that context")
        return subject
    try:
        subject = SubjectRef(bytes.fromhex(named))
    except ValueError:
        subject = SubjectRef(b"")
    if len(subject) != 16:
        raise unprocessable(
            "bad_subject", "this is no pseudonym and no card", "give 32 hex digits, or the text of a card"
        )
    return subject
