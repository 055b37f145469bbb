"""What became of a change of a membership, in sentences for people: done, or only proposed, and what it still wants."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medsync_client.changes import Changed
    from medsync_client.governance import Proposal


def told(found: Changed, did: str, act: str) -> Iterator[str]:
    """`did` where it is in force (`removed lab`), else what `act` (`to remove lab`) comes to; of a vote `act` is empty."""
    act = f" {act}" if act else ""
    match found.state:
        case "in-force":
            yield did
        case "proposed":
            yield f"only proposed{act}: {lacking(found.needed, found.electors)}"
            yield from asked(found.vote)
            if found.until is not None:
                yield f"it can be voted on up to checkpoint {found.until}"
        case "waiting":
            yield f"agreed{act}: it counts from checkpoint {found.counts_from} on"
        case "rejected":
            yield f"rejected: {found.reason}"
        case "void":
            yield f"no effect: {found.reason}"
    if found.contexts:
        yield f"it is still a member of {', '.join(found.contexts)}: an admin's node that sees this puts it out there, too"
        yield "where that wants votes, it proposes it: `medsync policy proposals CONTEXT`"
    yield f"operation {found.op}"


def proposed(found: Proposal) -> Iterator[str]:
    """An open proposal, and what it still wants."""
    yield f"only proposed: {found.action.replace('_', ' ')} {found.about}: {lacking(found.needed, found.left)}"
    yield from asked(found.vote)


def lacking(needed: int, electors: Sequence[str]) -> str:
    """`lacks 1 vote of lab, south`."""
    if not needed:
        return "it has its votes, but what happened beside it keeps it from counting"
    return f"lacks {needed} vote{'' if needed == 1 else 's'} of {', '.join(electors) or 'nobody who could still give one'}"


def asked(vote: str) -> Iterator[str]:
    """What the electors type, each at its own node."""
    if vote:
        yield f"each of them agrees by `{vote}`"
