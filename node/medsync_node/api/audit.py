"""The audit export as a stream of lines, and this node's check of its own copy. The lines are export_format.py's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING, Final

import trio
from fastapi import APIRouter

from medsync_client.audit import AuditReport
from medsync_node.api.finding import find_replica
from medsync_node.api.streaming import Stream
from medsync_node.verify.export_format import (
    ExportedCheckpoint,
    ExportedOperation,
    ExportHeader,
    encode_line,
)
from medsync_protocol.chains import Vector
from medsync_protocol.errors import Invalid
from medsync_protocol.ids import ChainId
from medsync_protocol.operation import check_signature, decode

if TYPE_CHECKING:
    from medsync_node.node import Node
    from medsync_protocol.replica import Replica

CHUNK_BYTES: Final = 1 << 20  # of operations read from the journal at once
MAX_PROBLEMS: Final = 100  # reported of one check; more tell nothing new


async def _operations(
    node: Node, replica: Replica, vector: Vector
) -> AsyncIterator[list[tuple[ChainId, int, bytes]]]:
    """Every operation below `vector` as held, in chunks, chain by chain; read off the loop."""
    for chain, count in sorted(vector.items()):
        at = 0
        while at < count:
            read = partial(node.store.reader.read_ops, replica.context, chain, at, count, CHUNK_BYTES)
            wires = await trio.to_thread.run_sync(read)
            if not wires:
                return
            yield [(chain, at + index, wire) for index, wire in enumerate(wires)]
            at += len(wires)


async def export_lines(node: Node, replica: Replica) -> AsyncIterator[str]:
    """All lines of an export of what is held now, each with its newline."""
    vector = replica.vector
    held = node.engine.checkpoints(replica.context)
    accepted = list(held.acceptance.history[1:])
    genesis = replica.chains.slot(replica.genesis_chain, 0).op_id
    header = ExportHeader(
        network=replica.network, context=replica.context, genesis=genesis,
        address=None if held.address is None else str(held.address),
    )  # fmt: skip
    yield encode_line(header) + "\n"
    async for chunk in _operations(node, replica, vector):
        lines = [
            encode_line(
                ExportedOperation(
                    chain=chain, seq=seq, op_id=replica.chains.slot(chain, seq).op_id, wire=wire
                )
            )
            for chain, seq, wire in chunk
        ]
        yield "\n".join(lines) + "\n"
    for one in accepted:
        checkpoint = ExportedCheckpoint(
            statement=one.statement, cut={chain: (count, head) for chain, count, head in one.cut.heads},
            verdicts={(chain, seq): verdict for chain, seq, verdict in one.exceptions},
        )  # fmt: skip
        yield encode_line(checkpoint) + "\n"


def _check_chunk(
    replica: Replica, chunk: list[tuple[ChainId, int, bytes]]
) -> tuple[int, list[tuple[str, str]]]:
    """(entries, [(check that failed, where)]) of some operations; runs on a thread, reads only what never changes."""
    entries = 0
    failed: list[tuple[str, str]] = []
    for chain, seq, wire in chunk:
        where = f"{chain[:8].hex()}/{seq}"
        try:
            operation = decode(wire, network=replica.network, context=replica.context)
        except Invalid as error:
            failed.append(("encoding", f"{where}: {error}"))
            continue
        entries += operation.header.count
        try:
            check_signature(operation)
        except Invalid as error:
            failed.append(("signature", f"{where}: {error}"))
        if operation.op_id != replica.chains.slot(chain, seq).op_id:
            failed.append(("same_as_in_memory", where))
        before = replica.chains.slot(chain, seq - 1).op_id if seq else bytes(32)
        if operation.header.prev != before or (operation.header.chain, operation.header.seq) != (chain, seq):
            failed.append(("chain", where))
    return entries, failed


CHECKS: Final = ("complete", "encoding", "signature", "chain", "same_as_in_memory")


def routes(node: Node) -> APIRouter:
    """Routes over this node."""
    router = APIRouter(tags=["audit"])

    @router.get("/contexts/{context}/audit")
    async def export(context: str) -> Stream:
        """Every held operation and accepted checkpoint, one JSON object a line."""
        return Stream(export_lines(node, find_replica(node, context)), media_type="application/x-ndjson")

    @router.post("/contexts/{context}/audit:verify")
    async def verify(context: str) -> AuditReport:
        """Read everything held from disk again: encoding with entry roots, signatures, chain links."""
        replica = find_replica(node, context)
        vector = replica.vector
        operations = entries = 0
        failed: list[tuple[str, str]] = []
        async for chunk in _operations(node, replica, vector):
            counted, found = await trio.to_thread.run_sync(_check_chunk, replica, chunk)
            operations += len(chunk)
            entries += counted
            failed += found
        if operations != sum(vector.values()):
            failed.append(("complete", f"{sum(vector.values()) - operations} operations are missing on disk"))
        wrong = {name for name, _ in failed}
        return AuditReport(
            ok=not failed, operations=operations, entries=entries,
            checks={name: name not in wrong for name in CHECKS},
            problems=tuple(f"{name}: {where}" for name, where in failed[:MAX_PROBLEMS]),
        )  # fmt: skip

    return router
