"""The anchor's entry points as felts: what a caller sends, in Cairo's serialisation. Sending is the bridge's.

Selectors are in `anchor_abi.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from medsync_protocol.consent_map import ConsentProof
from medsync_protocol.poseidon import split_digest
from medsync_protocol.statement import Statement, Vote
from medsync_protocol.transition import AppendProof


def open_context(
    *,
    founder: int,
    genesis_digest: bytes,
    members: Sequence[int],
    verifier: int,
    recovery_delay: int,
    signature: tuple[int, int],
) -> list[int]:
    """`founder` is the key that signed `statement.opening_digest`; `recovery_delay` in seconds."""
    low, high = split_digest(genesis_digest)
    return [founder, low, high, *_span(members), verifier, recovery_delay, *signature]


def post_checkpoint(
    *,
    head: Statement,
    following: Statement,
    members: Sequence[int],
    votes: Sequence[Vote],
    append: AppendProof,
    next_members: Sequence[int] = (),
    evidence: Sequence[int] = (),
) -> list[int]:
    """Arguments as `transition.check_checkpoint`; `evidence` goes to the context's verifier."""
    return [
        *head.to_felts(), *following.to_felts(), *_span(members), *_votes(votes), *_span(append.old_peaks),
        *_span(append.nodes), *_span(next_members), *_span(evidence),
    ]  # fmt: skip


def propose_recovery(
    *,
    head: Statement,
    following: Statement,
    members: Sequence[int],
    votes: Sequence[Vote],
    next_members: Sequence[int],
) -> list[int]:
    """Arguments as `transition.check_recovery`."""
    return [
        *head.to_felts(), *following.to_felts(), *_span(members), *_votes(votes), *_span(next_members)
    ]  # fmt: skip


def execute_recovery(following: Statement) -> list[int]:
    """The statement of the proposal."""
    return following.to_felts()


def head(context: int) -> list[int]:
    """Answers (k, digest); (0, 0) for an unknown context."""
    return [context]


def checkpoint(context: int, k: int) -> list[int]:
    """Answers the digest at k, 0 when there is none."""
    return [context, k]


def recovery(context: int) -> list[int]:
    """Answers (digest, ready_at) of the pending recovery, (0, 0) when there is none."""
    return [context]


def statement_hash(statement: Statement) -> list[int]:
    """Answers the statement's digest."""
    return statement.to_felts()


def verify_consent(statement: Statement, key: int, proof: ConsentProof) -> list[int]:
    """For `verify_consent` and `verify_consent_at`: true when `key` has the proof's value."""
    term_key, value = proof.terminal or (0, 0)
    return [*statement.to_felts(), key, value, term_key, *_span(proof.siblings)]


def verify_entry(
    statement: Statement, index: int, leaf: int, peaks: Sequence[int], siblings: Sequence[int]
) -> list[int]:
    """For `verify_entry` and `verify_entry_at`: peaks highest first, siblings from the leaf up."""
    return [*statement.to_felts(), index, leaf, *_span(peaks), *_span(siblings)]


def _span(felts: Sequence[int]) -> list[int]:
    return [len(felts), *felts]


def _votes(votes: Iterable[Vote]) -> list[int]:
    listed = list(votes)
    return [len(listed), *(felt for vote in listed for felt in vote.to_felts())]
