"""Proofs for strangers, made from what the newest accepted checkpoint stands on. Checking them is `verify/`'s."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any

import trio
from fastapi import APIRouter, Path, Query

from medsync_client.checkpoints import WireVote
from medsync_client.proofs import ConsentPart, EntryPart, Proof, ProofKind, VotesPart
from medsync_node.api.checkpoints import statement_view
from medsync_node.api.finding import find_replica
from medsync_node.api.problems import not_found
from medsync_protocol.certificate import Accepted
from medsync_protocol.chains import Chains, Vector
from medsync_protocol.consent_map import directive_key
from medsync_protocol.errors import Refused
from medsync_protocol.ids import ChainId, OpId
from medsync_protocol.kinds import Verdict
from medsync_protocol.log import Log, operation_leaf

if TYPE_CHECKING:
    from medsync_node.node import Node
    from medsync_protocol.checkpoints import Checkpoints
    from medsync_protocol.poseidon import Felt

Id = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]


def _proof(held: Checkpoints, kind: ProofKind, accepted: Accepted, **part: Any) -> Proof:
    return Proof(
        kind=kind, address=str(held.address), statement=statement_view(accepted.statement),
        digest=hex(accepted.digest), **part,
    )  # fmt: skip


def _find(chains: Chains, vector: Vector, op_id: OpId) -> tuple[ChainId, int] | None:
    """Where an operation stands; on a thread, as there is no index: reads only what never changes."""
    return next(
        ((chain, seq) for chain, seq, slot in chains.between({}, vector) if slot.op_id == op_id), None
    )


def _place_in_log(held: Checkpoints, chain: ChainId, seq: int) -> tuple[int, Verdict]:
    """(index, verdict) of an operation. Raises Refused while no accepted checkpoint has it below its cut."""
    history = held.acceptance.history
    for before, accepted in pairwise(history):
        low, high = before.cut.vector, accepted.cut.vector
        if low.get(chain, 0) <= seq < high.get(chain, 0):
            earlier = sum(count - low.get(one, 0) for one, count in high.items() if one < chain)
            void = {(one, at): verdict for one, at, verdict in accepted.exceptions}
            index = before.statement.log_size + earlier + seq - low.get(chain, 0)
            return index, void.get((chain, seq), Verdict.EFFECTIVE)
    raise Refused(
        "no checkpoint that the chain accepted holds this operation yet", code="not_in_a_checkpoint",
        advice="wait for the next checkpoint; `medsync context checkpoints` shows them",
    )  # fmt: skip


def _log_proof(nodes: bytes, index: int, size: int) -> tuple[Felt, list[Felt], list[Felt]] | None:
    """(root, peaks, siblings), None when the log is shorter; on a thread: a million operations have 64 MB of nodes."""
    log = Log(nodes)
    if log.size < size:
        return None
    return log.root(size), log.peaks(size), log.path(index, size)


def routes(node: Node) -> APIRouter:
    """Routes over this node."""
    router = APIRouter(tags=["proofs"])
    engine = node.engine

    @router.get("/contexts/{context}/proofs/consents/{directive}")
    async def prove_consent(context: str, directive: Id) -> Proof:
        """Status and validity of a directive under the newest accepted checkpoint, or that it is not there."""
        held = engine.checkpoints(find_replica(node, context).context)
        head = held.acceptance.head
        key = directive_key(bytes.fromhex(directive))
        found = held.acceptance.consents.prove(key)
        term_key, value = found.terminal or (0, 0)
        part = ConsentPart(
            directive=directive, key=hex(key), value=hex(value), term_key=hex(term_key),
            siblings=tuple(map(hex, found.siblings)),
        )  # fmt: skip
        return _proof(held, "consent", head, consent=part)

    @router.get("/contexts/{context}/proofs/entries/{operation}")
    async def prove_entry(context: str, operation: Id) -> Proof:
        """That an operation stands in the log of the newest accepted checkpoint, and with what verdict."""
        replica = find_replica(node, context)
        held = engine.checkpoints(replica.context)
        head = held.acceptance.head
        op_id = OpId(bytes.fromhex(operation))
        place = await trio.to_thread.run_sync(_find, replica.chains, replica.vector, op_id)
        if place is None:
            raise not_found("unknown_operation", "no such operation here", "see `medsync access list`")
        index, verdict = _place_in_log(held, *place)
        nodes = await trio.to_thread.run_sync(node.store.reader.log_nodes, replica.context)
        size = head.statement.log_size
        proven = await trio.to_thread.run_sync(_log_proof, nodes, index, size)
        if proven is None or proven[0] != head.statement.log_root:
            raise Refused(
                "the checkpoint vanished while it was being proven", code="retracted", advice="ask again"
            )
        _, peaks, siblings = proven
        part = EntryPart(
            operation=operation, verdict=int(verdict), index=index, leaf=hex(operation_leaf(op_id, verdict)),
            peaks=tuple(map(hex, peaks)), siblings=tuple(map(hex, siblings)),
        )  # fmt: skip
        return _proof(held, "entry", head, entry=part)

    @router.get("/contexts/{context}/proofs/checkpoint")
    async def prove_checkpoint(context: str, k: Annotated[int | None, Query(ge=1)] = None) -> Proof:
        """That a quorum signed an accepted checkpoint: the newest, or k."""
        held = engine.checkpoints(find_replica(node, context).context)
        wanted = held.acceptance.head.statement.k if k is None else k
        history = held.acceptance.history
        certificate = history[wanted].certificate if wanted < len(history) else None
        if certificate is None:
            raise not_found(
                "unknown_checkpoint", f"the chain accepted no checkpoint {wanted} that a quorum signed",
                "see `medsync context checkpoints`",
            )  # fmt: skip
        if not certificate.is_complete:
            raise Refused(
                f"the chain accepted checkpoint {wanted}, but only {len(certificate.votes)} of its votes have reached this node: "
                "the proof would not hold", code="votes_missing",
                advice="it goes on asking the members; or ask a member that signed it",
            )  # fmt: skip
        part = VotesPart(
            members=tuple(map(hex, certificate.members)),
            votes=tuple(
                WireVote(index=vote.index, r=hex(vote.r), s=hex(vote.s)) for vote in certificate.votes
            ),
        )
        return _proof(held, "checkpoint", history[wanted], votes=part)

    return router
