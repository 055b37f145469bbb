"""What a replica tells of operations that it took: where an own batch stands, what is to be sent on, whom to tell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from medsync_protocol.application import Announces, OpenedEntry
from medsync_protocol.effects import Effect, Notify
from medsync_protocol.ids import ChainId, ContextId, MemberId, OpId, short
from medsync_protocol.kinds import Verdict
from medsync_protocol.operation import Operation


@dataclass(frozen=True, slots=True)
class Submitted:
    """Where an own batch stands."""

    op_id: OpId
    chain: ChainId
    seq: int
    count: int


@dataclass(frozen=True, slots=True)
class News:
    """An operation that this replica took. `parties`: per entry of an own one, who is sent it; None for everybody."""

    operation: Operation
    own: bool
    parties: tuple[frozenset[MemberId] | None, ...] = ()


def notices(
    application: object, context: ContextId, entries: Iterable[OpenedEntry], verdict: Verdict
) -> list[Effect]:
    """What the node's users are told of effective entries, once they are committed."""
    if not verdict.effective or not isinstance(application, Announces):
        return []
    named = ((application.notices.get(entry.kind), entry) for entry in entries)
    return [Notify(what, context, (("op", short(entry.op_id)),)) for what, entry in named if what is not None]
