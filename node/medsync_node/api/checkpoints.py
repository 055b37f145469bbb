"""Checkpoints of a context: levels, certificates for the bridge, and asking for one now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter
from pydantic import Field

from medsync_client.checkpoints import (
    Certificate,
    Checkpoint,
    CheckpointLevel,
    Checkpoints,
    Proposal,
    WireAppend,
    WireStatement,
    WireVote,
)
from medsync_node.api.finding import find_replica
from medsync_node.api.problems import not_found
from medsync_protocol.statement import Statement, quorum

if TYPE_CHECKING:
    from medsync_node.node import Node
    from medsync_protocol import certificate as certificates
    from medsync_protocol.checkpoints import Checkpoints as Held

WIDE = frozenset({"k", "log_size", "not_before"})  # numbers on the wire, everything else felts


def statement_view(statement: Statement) -> WireStatement:
    """A statement's fields as text and numbers."""
    values = {name: getattr(statement, name) for name in WireStatement.model_fields}
    return WireStatement.model_validate(
        {name: value if name in WIDE else hex(value) for name, value in values.items()}
    )


def certificate_view(found: certificates.Certificate) -> Certificate:
    """All that `post_checkpoint` takes."""
    return Certificate(
        k=found.k, digest=hex(found.digest), head=statement_view(found.head),
        next=statement_view(found.following), members=tuple(map(hex, found.members)),
        votes=tuple(WireVote(index=vote.index, r=hex(vote.r), s=hex(vote.s)) for vote in found.votes),
        append=WireAppend(
            old_peaks=tuple(map(hex, found.append.old_peaks)), nodes=tuple(map(hex, found.append.nodes))
        ),
        next_members=tuple(map(hex, found.next_members)),
    )  # fmt: skip


def _level(held: Held, k: int) -> CheckpointLevel:
    if k <= held.settled:
        return "settled"
    return "accepted" if k <= held.accepted else "signed"


def _view(held: Held, found: certificates.Certificate) -> Checkpoint:
    statement = found.following
    return Checkpoint(
        k=found.k, digest=hex(found.digest), level=_level(held, found.k), log_size=statement.log_size,
        log_root=hex(statement.log_root), consent_root=hex(statement.consent_root), votes=len(found.votes),
        quorum=quorum(len(found.members)),
    )  # fmt: skip


def _proposed(held: Held) -> list[Checkpoint]:
    """Candidates for the next k that no quorum signed yet."""
    if held.certificate(held.accepted + 1) is not None:
        return []
    return [
        Checkpoint(
            k=tally.candidate.statement.k, digest=hex(digest), level="proposed",
            log_size=tally.candidate.statement.log_size, log_root=hex(tally.candidate.statement.log_root),
            consent_root=hex(tally.candidate.statement.consent_root), votes=len(tally.votes),
            quorum=quorum(len(held.acceptance.head.next_signers)),
        )
        for digest, tally in sorted(held.tallies.items())
    ]  # fmt: skip


def routes(node: Node) -> APIRouter:
    """Routes over this node."""
    router = APIRouter(tags=["checkpoints"])
    engine = node.engine

    @router.get("/contexts/{context}/checkpoints")
    async def list_checkpoints(context: str, limit: Annotated[int, Field(ge=1, le=1000)] = 50) -> Checkpoints:
        """Newest first."""
        held = engine.checkpoints(find_replica(node, context).context)
        last = max(held.accepted, held.signed)
        certified = [held.certificate(k) for k in range(last, max(last - limit, 0), -1)]
        views = [_view(held, one) for one in certified if one is not None]
        return Checkpoints(checkpoints=tuple([*_proposed(held), *views][:limit]))

    @router.get("/contexts/{context}/checkpoints/{k}")
    async def show_certificate(context: str, k: Annotated[int, Field(ge=1)]) -> Certificate:
        """The certified checkpoint k: what the bridge posts. 404 before a quorum signed it."""
        found = engine.checkpoints(find_replica(node, context).context).certificate(k)
        if found is None:
            raise not_found(
                "unknown_checkpoint", f"no quorum has signed a checkpoint {k} that this node knows",
                "see `medsync context checkpoints`",
            )  # fmt: skip
        return certificate_view(found)

    @router.post("/contexts/{context}/checkpoints")
    async def propose(context: str) -> Proposal:
        """Propose a checkpoint now, not at the next turn. Answers at once: votes come as the others build it."""
        replica = find_replica(node, context)
        await node.perform(lambda now: engine.propose(now, replica.context))
        return Proposal(signed=engine.checkpoints(replica.context).signed)

    return router
