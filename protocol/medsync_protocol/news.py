"""What a replica tells of operations that it took: where an own batch stands, and what is to be sent on."""

from __future__ import annotations

from dataclasses import dataclass

from medsync_protocol.ids import ChainId, MemberId, OpId
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
