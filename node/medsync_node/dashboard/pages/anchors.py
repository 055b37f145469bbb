"""Where a context is anchored, its checkpoints, and the proof of each as a file."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from medsync_client import checkpoints
from medsync_client.errors import BadRequest
from medsync_client.proofs import prove_checkpoint
from medsync_node.dashboard.downloads import as_file
from medsync_node.dashboard.visit import Visit
from medsync_node.words import not_anchored


async def anchors(visit: Visit) -> Response:
    """The anchor and the newest checkpoints."""
    proof, (what, advice) = prove_checkpoint(visit.context), not_anchored([visit.called])
    return visit.show(
        "anchors.html", what=what, advice=advice, chain=await visit.ask(checkpoints.chain(visit.context)), may_prove=visit.may(proof.method, proof.path),
        listed=(await visit.ask(checkpoints.checkpoints(visit.context))).checkpoints,
    )  # fmt: skip


async def proof(visit: Visit) -> Response:
    """That a quorum signed checkpoint k, for whoever wants to check it against the chain."""
    k = visit.place("k")
    if not k.isdecimal() or len(k) > 18:
        raise BadRequest("checkpoints are numbered", code="number", advice="choose one from the list")
    made = await visit.ask(prove_checkpoint(visit.context, int(k)))
    return as_file(made, f"checkpoint-{int(k)}.proof.json")


PAGES: Final = (("GET", "/c/{context}/anchors", anchors), ("GET", "/c/{context}/anchors/{k}/proof", proof))
