"""The reward pool's rules in Python: what the contract would do with a call, or its word for why not (STARKNET §3).

Nodes and the bridge ask it before they pay a fee; the Cairo twin is `contracts/src/reward_pool.cairo`, held against
this on random traces. The token and the anchor's views are arguments; calldata is `reward_calldata.py`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NoReturn

from medsync_protocol import stark
from medsync_protocol.claims import Claim
from medsync_protocol.errors import BadSignature, Invalid, Malformed
from medsync_protocol.poseidon import Felt, tagged_hash
from medsync_protocol.refusal import AnchorRefusal
from medsync_protocol.rewards import PayProof, Subtree, climb, pool_hash, reward_root
from medsync_protocol.statement import Statement, Vote, listed_hash, quorum, verify_each


class PoolReason(StrEnum):
    """The reward pool's revert reasons; the last five are shared with the anchor."""

    UNKNOWN_POOL = "UNKNOWN_POOL"
    NOT_ANCHORED = "NOT_ANCHORED"
    WRONG_REWARD_ROOT = "WRONG_REWARD_ROOT"
    NOT_NEWER = "NOT_NEWER"
    PENDING = "PENDING"
    NO_PENDING = "NO_PENDING"
    WINDOW_OPEN = "WINDOW_OPEN"
    WINDOW_CLOSED = "WINDOW_CLOSED"
    SUM_SHRANK = "SUM_SHRANK"
    UNDERFUNDED = "UNDERFUNDED"
    BAD_PROOF = "BAD_PROOF"
    BAD_INDEX = "BAD_INDEX"
    EXPIRED = "EXPIRED"
    NOTHING_TO_CLAIM = "NOTHING_TO_CLAIM"
    OVER_ACTIVE_SUM = "OVER_ACTIVE_SUM"
    TRANSFER_FAILED = "TRANSFER_FAILED"
    NOT_SWEEPABLE = "NOT_SWEEPABLE"
    WRONG_MEMBERS = "WRONG_MEMBERS"
    BELOW_QUORUM = "BELOW_QUORUM"
    UNKNOWN_SIGNER = "UNKNOWN_SIGNER"
    VOTES_NOT_ASCENDING = "VOTES_NOT_ASCENDING"
    SIGNATURE_OUT_OF_RANGE = "SIGNATURE_OUT_OF_RANGE"
    BAD_SIGNATURE = "BAD_SIGNATURE"


class PoolRefusal(Invalid):
    """What the contract would refuse; `reason` is its word for it."""

    def __init__(self, reason: PoolReason) -> None:
        super().__init__(f"the reward pool would refuse this: {reason}")
        self.reason = reason


def veto_size(voters: int) -> int:
    """How many of `voters` stop a root: ⌊n/3⌋+1, so that a quorum can't pay itself over their heads."""
    return voters // 3 + 1


def veto_digest(chain_id: int, contract: int, pool: int, k: int, root: Subtree) -> Felt:
    """What a member signs to veto the root that waits at k."""
    return tagged_hash("MEDSYNC_VETO_1", [chain_id, contract, pool, k, root.hash, root.sum])


def sweep_digest(chain_id: int, contract: int, pool: int, to: int, amount: int, swept: int) -> Felt:
    """What a member signs to sweep `amount` to `to`, after `swept` before."""
    return tagged_hash("MEDSYNC_SWEEP_1", [chain_id, contract, pool, to, amount, swept])


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A proposed root; `members` is the hash of the list that signed its statement, `ready_at` in seconds."""

    k: int
    members: int
    root: Subtree
    ready_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a pool's name holds. `window` in seconds."""

    context: int
    token: int
    window: int
    salt: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A pool's state; each step returns the next one or raises PoolRefusal. Amounts are the token's smallest unit.

    `anchored` arguments are what the anchor's views answer: the digest at the statement's k, or at the head.
    """

    chain_id: int
    contract: int
    anchor: int
    terms: Terms
    deposited: int = 0
    claimed_total: int = 0
    swept_total: int = 0
    last_k: int = 0
    active: Subtree = field(default_factory=lambda: Subtree(0, 0))
    pending: Pending | None = None
    claimed: tuple[tuple[int, int], ...] = ()  # (payee, paid so far), by payee

    @property
    def id(self) -> Felt:
        """The pool's name."""
        return pool_hash(
            chain_id=self.chain_id, contract=self.contract, context=self.terms.context, token=self.terms.token,
            window=self.terms.window, salt=self.terms.salt,
        )  # fmt: skip

    @property
    def balance(self) -> int:
        """What the pool holds."""
        return self.deposited - self.claimed_total

    def paid(self, payee: int) -> int:
        """What the payee was paid so far."""
        return dict(self.claimed).get(payee, 0)

    def deposit(self, arrived: int) -> Pool:
        """`arrived`: what the token moved, which may be less than was asked."""
        _require(arrived > 0, PoolReason.TRANSFER_FAILED)
        return replace(self, deposited=self.deposited + arrived)

    def propose(self, statement: Statement, root: Subtree, *, anchored: int, now: int) -> Pool:
        """Raises PoolRefusal: NOT_ANCHORED, WRONG_REWARD_ROOT, NOT_NEWER, PENDING, SUM_SHRANK."""
        digest = statement.digest(self.chain_id, self.anchor)
        _require(
            statement.context == self.terms.context and digest == anchored, PoolReason.NOT_ANCHORED
        )  # fmt: skip
        _require(reward_root(self.id, root) == statement.reward_root, PoolReason.WRONG_REWARD_ROOT)
        _require(statement.k > self.last_k, PoolReason.NOT_NEWER)
        waiting = self.pending
        _require(
            waiting is None or (now >= waiting.ready_at and waiting.root.sum > self.deposited),
            PoolReason.PENDING,
        )
        _require(root.sum >= self.active.sum, PoolReason.SUM_SHRANK)
        pending = Pending(
            k=statement.k, members=statement.members, root=root, ready_at=now + self.terms.window
        )
        return replace(self, pending=pending, last_k=statement.k)

    def veto_digest(self) -> Felt:
        """What a member signs to veto the pending root. Raises PoolRefusal: NO_PENDING."""
        waiting = self._waiting()
        return veto_digest(self.chain_id, self.contract, self.id, waiting.k, waiting.root)

    def veto(self, members: Sequence[int], votes: Sequence[Vote], *, now: int) -> Pool:
        """Raises PoolRefusal: NO_PENDING, WINDOW_CLOSED, WRONG_MEMBERS, BELOW_QUORUM, and a vote's own."""
        waiting = self._waiting()
        _require(now < waiting.ready_at, PoolReason.WINDOW_CLOSED)
        _require(listed_hash(members) == waiting.members, PoolReason.WRONG_MEMBERS)
        _require(len(votes) >= veto_size(len(members)), PoolReason.BELOW_QUORUM)
        _verify(self.veto_digest(), members, votes)
        return replace(self, pending=None)

    def activate(self, *, now: int) -> Pool:
        """Raises PoolRefusal: NO_PENDING, WINDOW_OPEN, UNDERFUNDED."""
        waiting = self._waiting()
        _require(now >= waiting.ready_at, PoolReason.WINDOW_OPEN)
        _require(waiting.root.sum <= self.deposited, PoolReason.UNDERFUNDED)
        return replace(self, pending=None, active=waiting.root)

    def claim_of(self, proof: PayProof, *, recipient: int, deadline: int) -> Claim:
        """What the payee signs."""
        return Claim(
            chain_id=self.chain_id, contract=self.contract, pool=self.id, payee=proof.payee, recipient=recipient,
            cumulative=proof.cumulative, deadline=deadline,
        )  # fmt: skip

    def claim(
        self, proof: PayProof, *, recipient: int, deadline: int, signature: tuple[int, int], now: int
    ) -> tuple[Pool, int]:
        """(the next state, what is paid). Raises PoolRefusal: EXPIRED, SIGNATURE_OUT_OF_RANGE, BAD_SIGNATURE,
        BAD_PROOF, BAD_INDEX, NOTHING_TO_CLAIM, OVER_ACTIVE_SUM."""
        _require(now <= deadline, PoolReason.EXPIRED)
        signed = self.claim_of(proof, recipient=recipient, deadline=deadline).digest()
        _require(all(map(stark.in_signature_range, signature)), PoolReason.SIGNATURE_OUT_OF_RANGE)
        try:
            stark.verify(signed, proof.payee, *signature)
        except BadSignature as error:
            raise PoolRefusal(PoolReason.BAD_SIGNATURE) from error
        self._check_proof(proof)
        before = self.paid(proof.payee)
        _require(proof.cumulative > before, PoolReason.NOTHING_TO_CLAIM)
        pay = proof.cumulative - before
        _require(self.claimed_total + pay <= self.active.sum, PoolReason.OVER_ACTIVE_SUM)
        claimed = {**dict(self.claimed), proof.payee: proof.cumulative}
        after = replace(self, claimed_total=self.claimed_total + pay, claimed=tuple(sorted(claimed.items())))
        return after, pay

    def _check_proof(self, proof: PayProof) -> None:
        try:
            found, left = climb(proof.payee, proof.cumulative, proof.index, proof.path)
        except Malformed as error:
            raise PoolRefusal(PoolReason.BAD_PROOF) from error
        _require(left == 0, PoolReason.BAD_INDEX)
        _require(found == self.active, PoolReason.BAD_PROOF)

    def sweep_digest(self, to: int, amount: int) -> Felt:
        """What a member signs to sweep: good once, as every sweep changes the swept total."""
        return sweep_digest(self.chain_id, self.contract, self.id, to, amount, self.swept_total)

    def sweep(
        self,
        to: int,
        amount: int,
        statement: Statement,
        members: Sequence[int],
        votes: Sequence[Vote],
        *,
        anchored: int,
    ) -> Pool:
        """`statement` is the context's head. Raises PoolRefusal: NOT_ANCHORED, WRONG_MEMBERS, BELOW_QUORUM, a vote's
        own, NOT_SWEEPABLE."""
        digest = statement.digest(self.chain_id, self.anchor)
        _require(
            statement.context == self.terms.context and digest == anchored, PoolReason.NOT_ANCHORED
        )  # fmt: skip
        _require(listed_hash(members) == statement.next_members, PoolReason.WRONG_MEMBERS)
        _require(len(votes) >= quorum(len(members)), PoolReason.BELOW_QUORUM)
        _verify(self.sweep_digest(to, amount), members, votes)
        free = self.deposited - self.active.sum
        _require(self.pending is None and 0 < amount <= free, PoolReason.NOT_SWEEPABLE)
        return replace(self, deposited=self.deposited - amount, swept_total=self.swept_total + amount)

    def _waiting(self) -> Pending:
        if self.pending is None:
            _refuse(PoolReason.NO_PENDING)
        return self.pending


def _require(holds: bool, reason: PoolReason) -> None:
    if not holds:
        _refuse(reason)


def _refuse(reason: PoolReason) -> NoReturn:
    raise PoolRefusal(reason)


def _verify(digest: int, members: Sequence[int], votes: Sequence[Vote]) -> None:
    try:
        verify_each(digest, members, votes)
    except AnchorRefusal as error:
        raise PoolRefusal(PoolReason(error.reason)) from error
