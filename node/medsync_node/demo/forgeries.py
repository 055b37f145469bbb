"""Forged checkpoints, made with the voters' own keys, so that each is refused for its one lie and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, replace

from medsync_protocol import calldata
from medsync_protocol.certificate import Accepted
from medsync_protocol.log import grow, grown_proof, log_root
from medsync_protocol.refusal import Reason
from medsync_protocol.stark import public_key
from medsync_protocol.statement import Statement, Vote, cast_vote, quorum
from medsync_protocol.transition import Anchor, AppendProof

MADE_UP_LEAF = 0x6D616465  # any felt: what a leaf stands for is no concern of the contract's


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgery:
    """What somebody posts, and what the contract must say to it; `reason` None for the one that tells the truth."""

    name: str
    reason: Reason | None
    head: Statement
    following: Statement
    members: tuple[int, ...]
    votes: tuple[Vote, ...]
    append: AppendProof

    @property
    def calldata(self) -> list[int]:
        """Of `post_checkpoint`."""
        return calldata.post_checkpoint(
            head=self.head,
            following=self.following,
            members=self.members,
            votes=self.votes,
            append=self.append,
        )


@dataclass(frozen=True, slots=True)
class Forger:
    """Somebody with the keys of all voters, on top of the newest accepted checkpoint."""

    anchor: Anchor
    head: Accepted
    secrets: tuple[int, ...]

    @property
    def _members(self) -> tuple[int, ...]:
        return tuple(sorted(map(public_key, self.secrets)))

    def _votes(self, statement: Statement, anchor: Anchor | None = None) -> list[Vote]:
        digest = (anchor or self.anchor).digest(statement)
        return sorted((cast_vote(digest, self._members, secret) for secret in self.secrets), key=lambda vote: vote.index)[
            : quorum(len(self._members))
        ]  # fmt: skip

    def _next(self) -> tuple[Statement, AppendProof]:
        before = self.head.statement
        nodes, peaks = grow(before.log_size, self.head.peaks, [MADE_UP_LEAF])
        size = before.log_size + 1
        statement = replace(
            before, k=before.k + 1, prev=self.head.digest, members=before.next_members,
            next_members=before.next_members, log_size=size, log_root=log_root(size, peaks),
        )  # fmt: skip
        append = AppendProof(
            old_peaks=tuple(self.head.peaks), nodes=tuple(grown_proof(before.log_size, size, nodes))
        )
        return statement, append

    def all(self) -> list[Forgery]:
        """First the one without a lie: what the others are refused for is theirs alone."""
        true, append = self._next()
        votes = self._votes(true)
        plain = Forgery(
            name="none", reason=None, head=self.head.statement, following=true, members=self._members,
            votes=tuple(votes), append=append,
        )  # fmt: skip
        elsewhere = replace(true, prev=self.head.statement.prev)
        rewritten = replace(true, log_root=log_root(true.log_size, self._rewritten_peaks(true.log_size)))
        foreign = self._votes(true, replace(self.anchor, chain_id=int.from_bytes(b"SN_MAIN", "big")))
        return [
            plain,
            replace(plain, name="a_vote_short", reason=Reason.BELOW_QUORUM, votes=tuple(votes[:-1])),
            replace(
                plain, name="doubled_signer", reason=Reason.VOTES_NOT_ASCENDING,
                votes=(*votes[:-1], votes[-2] if len(votes) > 1 else votes[0]),
            ),
            replace(
                plain, name="wrong_previous_statement", reason=Reason.WRONG_PREV, following=elsewhere,
                votes=tuple(self._votes(elsewhere)),
            ),
            replace(
                plain, name="rewritten_log", reason=Reason.BAD_APPEND_PROOF, following=rewritten,
                votes=tuple(self._votes(rewritten)),
            ),
            replace(plain, name="foreign_chain_id", reason=Reason.BAD_SIGNATURE, votes=tuple(foreign)),
        ]  # fmt: skip

    @staticmethod
    def _rewritten_peaks(size: int) -> list[int]:
        """A log of the same size in which every operation is another."""
        _, peaks = grow(0, [], [MADE_UP_LEAF + number for number in range(size)])
        return [int(peak) for peak in peaks]
