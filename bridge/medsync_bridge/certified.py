"""From a node's answers to tasks: parsed, compared with the address they are for, and checked before anyone pays.

What may follow what is `medsync_protocol.transition`'s.
"""

from __future__ import annotations

from typing import Final

from medsync_bridge.errors import NodeDisagrees
from medsync_bridge.tasks import OpenContext, PostCheckpoint
from medsync_client.checkpoints import Certificate, Opening, WireStatement
from medsync_protocol.address import ChainAddress
from medsync_protocol.errors import BadSignature, Malformed
from medsync_protocol.refusal import AnchorRefusal
from medsync_protocol.stark import verify
from medsync_protocol.statement import (
    FIELD_NAMES,
    Statement,
    Vote,
    context_hash,
    members_hash,
    opening_digest,
)
from medsync_protocol.transition import Anchor, AppendProof, check_checkpoint

_NEVER: Final = 2**64 - 1  # the block's time is the contract's to judge: TOO_EARLY passes by itself


def read_certificate(certificate: Certificate, address: ChainAddress) -> PostCheckpoint:
    """The checkpoint to post at this address. Raises NodeDisagrees, AnchorRefusal for one that can't pass."""
    try:
        task = PostCheckpoint(
            anchor=address.anchor,
            head=_statement(certificate.head),
            following=_statement(certificate.next),
            members=_felts(certificate.members),
            votes=tuple(
                Vote.from_felts([vote.index, int(vote.r, 16), int(vote.s, 16)]) for vote in certificate.votes
            ),
            append=AppendProof(
                old_peaks=_felts(certificate.append.old_peaks), nodes=_felts(certificate.append.nodes)
            ),
            next_members=_felts(certificate.next_members),
        )
    except Malformed as error:
        raise NodeDisagrees(f"its certificate {certificate.k} is malformed: {error}") from error
    if task.following.context != address.context or task.following.k != certificate.k:
        raise NodeDisagrees(f"its certificate {certificate.k} is for something else")
    if task.want != int(certificate.digest, 16):
        raise NodeDisagrees(f"its certificate {certificate.k} was signed for another contract or chain")
    check_checkpoint(
        task.anchor, head=task.head, following=task.following, members=task.members, votes=task.votes,
        append=task.append, next_members=task.next_members, block_time=_NEVER,
    )  # fmt: skip
    return task


def read_opening(opening: Opening, anchor: Anchor) -> OpenContext:
    """The context to open on this contract. Raises NodeDisagrees unless its founder signed for it."""
    try:
        task = OpenContext(
            anchor=anchor, context=int(opening.context, 16), founder=int(opening.founder, 16),
            genesis=bytes.fromhex(opening.genesis), members=_felts(opening.members),
            verifier=int(opening.verifier, 16), recovery_delay=opening.recovery_delay,
            signature=(int(opening.r, 16), int(opening.s, 16)),
        )  # fmt: skip
        digest = opening_digest(
            chain_id=anchor.chain_id, contract=anchor.contract, context=task.context,
            members=members_hash(task.members), verifier=task.verifier, recovery_delay=task.recovery_delay,
        )  # fmt: skip
        verify(digest, task.founder, *task.signature)
    except (Malformed, BadSignature, AnchorRefusal) as error:
        raise NodeDisagrees(f"its opening is not what its founder signs: {error}") from error
    if task.context != context_hash(task.founder, task.genesis):
        raise NodeDisagrees("its opening names another context")
    return task


def _statement(wire: WireStatement) -> Statement:
    fields = [getattr(wire, name) for name in FIELD_NAMES]
    return Statement.from_felts([int(x, 16) if isinstance(x, str) else x for x in fields])


def _felts(texts: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(int(text, 16) for text in texts)
