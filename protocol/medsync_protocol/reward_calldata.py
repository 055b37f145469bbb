"""The reward pool's entry points as felts, in Cairo's serialisation, and its views read back. Sending is the bridge's.

Selectors are in `reward_pool_abi.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medsync_protocol.errors import Malformed
from medsync_protocol.rewards import PayProof, Subtree
from medsync_protocol.statement import Statement, Vote

_POOL_FELTS, _PENDING_FELTS = 9, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolView:
    """What `pool` answers; `deposited` is less what was swept. `token` is 0 for an unknown pool."""

    context: int
    token: int
    window: int
    deposited: int
    claimed_total: int
    swept_total: int
    last_k: int
    active: Subtree


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingView:
    """What `pending` answers; nothing is pending while `k` is 0."""

    k: int
    members: int
    root: Subtree
    ready_at: int


def create_pool(*, context: int, token: int, window: int, salt: int) -> list[int]:
    """Answers the pool's name, `rewards.pool_hash` of these. `window` in seconds."""
    return [context, token, window, salt]


def deposit(pool: int, amount: int) -> list[int]:
    """Answers what was credited. The caller has approved `amount`."""
    return [pool, amount]


def propose(pool: int, statement: Statement, root: Subtree) -> list[int]:
    """An accepted statement whose `reward_root` is of this pool and root."""
    return [pool, *statement.to_felts(), root.hash, root.sum]


def veto(pool: int, members: Sequence[int], votes: Sequence[Vote]) -> list[int]:
    """The list that signed the pending root's statement; votes ascending by index."""
    return [pool, *_list(members), *_votes(votes)]


def activate(pool: int) -> list[int]:
    """Of the pending root."""
    return [pool]


def claim(
    pool: int, proof: PayProof, *, recipient: int, deadline: int, signature: tuple[int, int]
) -> list[int]:
    """Answers what was paid."""
    path = [felt for step in proof.path for felt in (step.hash, step.sum)]
    return [
        pool, proof.payee, proof.index, proof.cumulative, len(proof.path), *path, recipient, deadline, *signature,
    ]  # fmt: skip


def sweep(
    pool: int,
    *,
    to: int,
    amount: int,
    statement: Statement,
    members: Sequence[int],
    votes: Sequence[Vote],
) -> list[int]:
    """`statement` is the context's head, `members` the list it names next."""
    return [pool, to, amount, *statement.to_felts(), *_list(members), *_votes(votes)]


def pool(name: int) -> list[int]:
    """For `pool` and `pending`: read the answers with `read_pool` and `read_pending`."""
    return [name]


def claimed(name: int, payee: int) -> list[int]:
    """Answers what the payee was paid so far."""
    return [name, payee]


def read_pool(answer: Sequence[int]) -> PoolView:
    """Raises Malformed."""
    if len(answer) != _POOL_FELTS:
        raise Malformed(f"a pool has {_POOL_FELTS} felts, not {len(answer)}")
    context, token, window, deposited, claimed_total, swept_total, last_k, tree, total = answer
    return PoolView(
        context=context, token=token, window=window, deposited=deposited, claimed_total=claimed_total,
        swept_total=swept_total, last_k=last_k, active=Subtree(tree, total),
    )  # fmt: skip


def read_pending(answer: Sequence[int]) -> PendingView:
    """Raises Malformed."""
    if len(answer) != _PENDING_FELTS:
        raise Malformed(f"a pending root has {_PENDING_FELTS} felts, not {len(answer)}")
    k, members, tree, total, ready_at = answer
    return PendingView(k=k, members=members, root=Subtree(tree, total), ready_at=ready_at)


def _list(felts: Sequence[int]) -> list[int]:
    return [len(felts), *felts]


def _votes(votes: Sequence[Vote]) -> list[int]:
    return [len(votes), *(felt for vote in votes for felt in vote.to_felts())]
