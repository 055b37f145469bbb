"""Candidates for the next checkpoint: the cut, and what follows from it (PROTOCOL §5).

A candidate's statement is a function of the last accepted checkpoint and the operations below its cut. Planning
gathers inputs; `Plan.build` hashes them, touches nothing shared and may run elsewhere. Voting is checkpoints.py's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from medsync_protocol.chains import Vector
from medsync_protocol.codec import pack, unpack, want_array, want_bytes, want_int
from medsync_protocol.consent_map import ConsentMap
from medsync_protocol.crypto import blake2b
from medsync_protocol.errors import Malformed
from medsync_protocol.ids import ChainId, KeyId, MemberId, OpId
from medsync_protocol.kinds import Verdict
from medsync_protocol.log import grow, grown_proof, log_root, operation_leaf
from medsync_protocol.poseidon import Felt, felt_bytes, felt_of
from medsync_protocol.reward_book import NO_REWARDS, RewardBook
from medsync_protocol.statement import Statement, detail_hash, members_hash
from medsync_protocol.transition import Anchor, AppendProof

MAX_CUT: Final = 65_536  # chains: devices times incarnations

Signers = tuple[tuple[MemberId, int], ...]
"""(member, Stark key), keys ascending: who signs, in the order of the contract's list."""


@dataclass(frozen=True, slots=True)
class Cut:
    """(chain, how many of its operations, id of the last of them), chains ascending."""

    heads: tuple[tuple[ChainId, int, OpId], ...] = ()

    @property
    def vector(self) -> Vector:
        """Chain → next seq."""
        return {chain: count for chain, count, _ in self.heads}

    @staticmethod
    def parse(value: Any) -> Cut:
        """Raises Malformed."""
        rows = [want_array(row, 3) for row in want_array(value, at_most=MAX_CUT)]
        heads = tuple(
            (ChainId(want_bytes(a, 40)), want_int(b, 1), OpId(want_bytes(c, 32))) for a, b, c in rows
        )
        if any(a[0] >= b[0] for a, b in pairwise(heads)):
            raise Malformed("a cut names chains in ascending order, each once")
        return Cut(heads)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What a voter proposes: the statement, and the cut from which everybody builds it again."""

    cut: Cut
    statement: Statement

    def encode(self) -> bytes:
        """Canonical bytes."""
        return pack([self.cut.heads, [felt_bytes(Felt(x)) for x in self.statement.to_felts()]])

    @staticmethod
    def decode(data: bytes) -> Candidate:
        """Raises Malformed."""
        cut, felts = want_array(unpack(data), 2)
        values = [felt_of(want_bytes(x, 32)) for x in want_array(felts, 11)]
        return Candidate(cut=Cut.parse(cut), statement=Statement.from_felts(values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything a statement is made from. `verdicts`: operations since the last cut, by chain, then seq.

    `not_before` in seconds. `rewards`: as these operations leave them. `expected`: the proposed candidate to compare with;
    None for an own one.
    """

    anchor: Anchor
    head: Statement
    peaks: tuple[Felt, ...]
    consents: ConsentMap
    changes: Mapping[Felt, Felt]
    cut: Cut
    verdicts: tuple[tuple[ChainId, int, OpId, Verdict], ...]
    next_signers: Signers
    membership_root: bytes
    key_id: KeyId
    policy_hash: bytes
    not_before: int
    rewards: RewardBook = NO_REWARDS
    expected: Candidate | None = None

    def build(self) -> Built:
        """Hash it all: about 0.6 ms for each operation since the last checkpoint."""
        head = self.head
        leaves = [operation_leaf(op_id, verdict) for _, _, op_id, verdict in self.verdicts]
        nodes, peaks = grow(head.log_size, self.peaks, leaves)
        size = head.log_size + len(leaves)
        consents = self.consents.put_many(self.changes)
        rewards = [] if self.rewards == NO_REWARDS else [self.rewards.digest]
        tables = [felt_bytes(consents.root), size, list(map(felt_bytes, peaks)), self.membership_root, *rewards]
        state_root = blake2b(b"medsync/state/1", pack(tables))
        detail = blake2b(
            b"medsync/detail/1",
            pack([self.cut.heads, self.membership_root, state_root, self.key_id, self.policy_hash]),
        )
        statement = Statement(
            context=head.context, k=head.k + 1, prev=self.anchor.digest(head), members=head.next_members,
            next_members=members_hash([key for _, key in self.next_signers]), consent_root=consents.root,
            log_root=log_root(size, peaks), log_size=size, reward_root=self.rewards.root,
            detail=detail_hash(detail), not_before=self.not_before,
        )  # fmt: skip
        proof = AppendProof(
            old_peaks=tuple(self.peaks), nodes=tuple(grown_proof(head.log_size, size, nodes))
        )
        return Built(
            statement=statement, digest=self.anchor.digest(statement), nodes=nodes, peaks=tuple(peaks),
            consents=consents, append=proof,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A statement with what must be kept if it is accepted: log nodes and peaks, the map, the append proof."""

    statement: Statement
    digest: Felt
    nodes: bytes
    peaks: tuple[Felt, ...]
    consents: ConsentMap
    append: AppendProof
