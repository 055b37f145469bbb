"""Certified checkpoints: a candidate with the votes of a quorum, and what a journal keeps of an accepted one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from medsync_protocol.candidate import Candidate, Cut, Signers
from medsync_protocol.chains import Vector
from medsync_protocol.codec import pack, unpack, want_array, want_bytes, want_int
from medsync_protocol.ids import ChainId, MemberId
from medsync_protocol.kinds import Verdict
from medsync_protocol.poseidon import Felt, felt_bytes, felt_of
from medsync_protocol.statement import MAX_VOTERS, Statement, Vote, quorum
from medsync_protocol.transition import AppendProof

Exceptions = tuple[tuple[ChainId, int, Verdict], ...]
"""(chain, seq, verdict) of the operations that a checkpoint added and that are void."""


def vote_fields(vote: Vote) -> list[Any]:
    """A vote in wire order."""
    return [vote.index, felt_bytes(vote.r), felt_bytes(vote.s)]


def want_vote(value: Any) -> Vote:
    """A vote. Raises Malformed."""
    index, r, s = want_array(value, 3)
    return Vote(
        index=want_int(index, 0, MAX_VOTERS), r=felt_of(want_bytes(r, 32)), s=felt_of(want_bytes(s, 32))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """All that `post_checkpoint` takes, with the cut it was built from. `next_members` is empty when unchanged."""

    head: Statement
    candidate: Candidate
    digest: Felt
    signers: Signers
    votes: tuple[Vote, ...]
    append: AppendProof
    next_members: tuple[int, ...]

    @property
    def following(self) -> Statement:
        """The certified statement."""
        return self.candidate.statement

    @property
    def k(self) -> int:
        """Its number."""
        return self.candidate.statement.k

    @property
    def members(self) -> tuple[int, ...]:
        """The Stark keys of who signs, as the contract lists them."""
        return tuple(key for _, key in self.signers)

    @property
    def is_complete(self) -> bool:
        """Whether a quorum of votes is here: what the chain accepted may have been learnt from it alone."""
        return len(self.votes) >= quorum(len(self.signers))


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A checkpoint that the chain accepted. k 0 is the opening: an empty cut, nobody voted.

    `next_signers` sign the following one; `obliged` is what was closed here when this one's acceptance was learnt.
    """

    certificate: Certificate | None
    statement: Statement
    digest: Felt
    cut: Cut
    peaks: tuple[Felt, ...]
    next_signers: Signers
    exceptions: Exceptions
    obliged: Vector

    def encode(self) -> bytes:
        """For the journal; the head's statement is the record before."""
        c = self.certificate
        assert c is not None, "the opening is kept as such"
        return pack([
            c.candidate.encode(), felt_bytes(self.digest), _signers(c.signers), list(map(vote_fields, c.votes)),
            [list(map(felt_bytes, c.append.old_peaks)), list(map(felt_bytes, c.append.nodes))],
            list(map(felt_bytes, self.peaks)), _signers(self.next_signers), self.exceptions,
            sorted(self.obliged.items()),
        ])  # fmt: skip

    @staticmethod
    def decode(data: bytes, head: Statement) -> Accepted:
        """The record after `head`. Raises Malformed."""
        candidate_bytes, digest, signers, votes, append, peaks, following, exceptions, obliged = want_array(
            unpack(data), 9
        )
        candidate = Candidate.decode(want_bytes(candidate_bytes))
        old_peaks, nodes = want_array(append, 2)
        next_signers = _want_signers(following)
        statement = candidate.statement
        changes = statement.next_members != statement.members
        certificate = Certificate(
            head=head, candidate=candidate, digest=felt_of(want_bytes(digest, 32)),
            signers=_want_signers(signers), votes=tuple(map(want_vote, want_array(votes))),
            append=AppendProof(old_peaks=_felts(old_peaks), nodes=_felts(nodes)),
            next_members=tuple(key for _, key in next_signers) if changes else (),
        )  # fmt: skip
        return Accepted(
            certificate=certificate, statement=statement, digest=certificate.digest, cut=candidate.cut,
            peaks=_felts(peaks), next_signers=next_signers,
            exceptions=tuple(
                (ChainId(want_bytes(a, 40)), want_int(b), Verdict(want_int(c, 0, max(Verdict))))
                for a, b, c in (want_array(row, 3) for row in want_array(exceptions))
            ),
            obliged={ChainId(want_bytes(a, 40)): want_int(b) for a, b in want_array(obliged)},
        )  # fmt: skip


def _signers(signers: Signers) -> list[Any]:
    return [[member, felt_bytes(key)] for member, key in signers]


def _want_signers(value: Any) -> Signers:
    rows = [want_array(row, 2) for row in want_array(value, at_most=MAX_VOTERS)]
    return tuple((MemberId(want_bytes(member, 32)), felt_of(want_bytes(key, 32))) for member, key in rows)


def _felts(value: Any) -> tuple[Felt, ...]:
    return tuple(felt_of(want_bytes(x, 32)) for x in want_array(value))
