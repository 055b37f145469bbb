"""Whether one statement may follow another: the anchor contract's rules, in its order, as pure functions.

Nodes ask before they vote and the bridge before it pays; `medsync verify` asks of everything it read from the
chain; the contract's tests hold both against each other. The Cairo twin is `contracts/src/anchor.cairo`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medsync_protocol.log import verify_append
from medsync_protocol.poseidon import Felt
from medsync_protocol.refusal import Reason, require
from medsync_protocol.statement import (
    Statement,
    Vote,
    listed_hash,
    majority,
    members_hash,
    verify_each,
    verify_votes,
)

DAY = 86_400  # seconds
MIN_RECOVERY_DELAY = 14 * DAY  # time for a member on leave to see it and post a checkpoint, which voids it
MAX_RECOVERY_DELAY = 365 * DAY
_UNCHANGED_BY_RECOVERY = ("consent_root", "log_root", "log_size", "reward_root", "detail")


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """The contract a statement is for: chain id and address, both felts."""

    chain_id: int
    contract: int

    def digest(self, statement: Statement) -> Felt:
        """The statement's digest here; elsewhere it has another."""
        return statement.digest(self.chain_id, self.contract)


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendProof:
    """Peaks of the old log, highest first, and the nodes up to the new one (`log.Log.append_proof`)."""

    old_peaks: tuple[int, ...]
    nodes: tuple[int, ...]


def check_checkpoint(
    anchor: Anchor,
    *,
    head: Statement,
    following: Statement,
    members: Sequence[int],
    votes: Sequence[Vote],
    append: AppendProof,
    next_members: Sequence[int],
    block_time: int,
) -> Felt:
    """The digest that `post_checkpoint` would store after the accepted `head`. Raises AnchorRefusal.

    `members` is the list that signs; `next_members` the new list when it changes, else empty. Leaves the
    context's verifier out, whose rule only it knows.
    """
    require(following.k == head.k + 1, Reason.K_NOT_NEXT)
    _check_step(anchor, head, following, members)
    require(following.not_before <= block_time, Reason.TOO_EARLY)
    digest = anchor.digest(following)
    verify_votes(digest, members, votes)
    verify_append(
        head.log_size, head.log_root, append.old_peaks, following.log_size, following.log_root, append.nodes
    )
    if following.next_members != following.members:
        require(members_hash(next_members) == following.next_members, Reason.WRONG_NEXT_MEMBERS)
    else:
        require(not next_members, Reason.WRONG_NEXT_MEMBERS)
    return digest


def check_recovery(
    anchor: Anchor,
    *,
    head: Statement,
    following: Statement,
    members: Sequence[int],
    votes: Sequence[Vote],
    next_members: Sequence[int],
    block_time: int,
) -> Felt:
    """The digest that `propose_recovery` would note. Raises AnchorRefusal.

    A recovery changes the list and nothing else; a checkpoint must enlarge the log. So no vote for one can
    ever be counted for the other, though both sign a statement's digest.
    """
    require(following.k == head.k + 1, Reason.K_NOT_NEXT)
    _check_step(anchor, head, following, members)
    require(following.not_before <= block_time, Reason.TOO_EARLY)
    same = all(getattr(head, name) == getattr(following, name) for name in _UNCHANGED_BY_RECOVERY)
    require(same, Reason.RECOVERY_CHANGES_ROOTS)
    digest = anchor.digest(following)
    require(len(votes) >= majority(len(members)), Reason.NOT_MAJORITY)
    verify_each(digest, members, votes)
    require(following.next_members != following.members, Reason.WRONG_NEXT_MEMBERS)
    require(members_hash(next_members) == following.next_members, Reason.WRONG_NEXT_MEMBERS)
    return digest


def _check_step(anchor: Anchor, head: Statement, following: Statement, members: Sequence[int]) -> None:
    require(following.context == head.context, Reason.WRONG_PREV)
    require(following.prev == anchor.digest(head), Reason.WRONG_PREV)
    require(following.members == head.next_members, Reason.WRONG_MEMBERS)
    require(listed_hash(members) == following.members, Reason.WRONG_MEMBERS)
