"""Where a context is anchored: the founder's opening, the registration, what this node's reader saw."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter

from medsync_client.checkpoints import ChainInfo, ChainRegistration, Opening, OpeningRequest
from medsync_node.api.finding import find_replica
from medsync_node.api.problems import unprocessable
from medsync_node.api.status import chain_state
from medsync_protocol import anchoring
from medsync_protocol.ids import OpId
from medsync_protocol.statement import context_hash
from medsync_protocol.transition import Anchor

if TYPE_CHECKING:
    from medsync_node.node import Node
    from medsync_protocol.replica import Replica


def opening_view(made: anchoring.Opening) -> Opening:
    """What `open_context` takes."""
    return Opening(
        founder=hex(made.founder), genesis=made.genesis.hex(), members=tuple(map(hex, made.members)),
        context=hex(made.context), verifier=hex(made.verifier), recovery_delay=made.recovery_delay,
        r=hex(made.r), s=hex(made.s),
    )  # fmt: skip


def _opening_of(body: ChainRegistration) -> anchoring.Opening:
    given = body.opening
    return anchoring.Opening(
        anchor=Anchor(chain_id=int(body.chain_id, 16), contract=int(body.contract, 16)),
        founder=int(given.founder, 16), genesis=OpId(bytes.fromhex(given.genesis)),
        members=tuple(int(key, 16) for key in given.members), verifier=int(given.verifier, 16),
        recovery_delay=given.recovery_delay, r=int(given.r, 16), s=int(given.s, 16),
    )  # fmt: skip


def chain_view(node: Node, replica: Replica) -> ChainInfo:
    """Where a context is anchored; before that, the public name it will have, once its founder announced a key."""
    held = node.engine.checkpoints(replica.context)
    found = held.anchoring
    if found is None:
        return ChainInfo(registered=False, context=hex(_future_name(replica)), reader=chain_state(node))
    anchor = found.opening.anchor
    return ChainInfo(
        registered=True, address=str(found.address), chain_id=hex(anchor.chain_id),
        contract=hex(anchor.contract), context=hex(found.opening.context), block=found.block,
        accepted=held.accepted, settled=held.settled, reader=chain_state(node),
    )  # fmt: skip


def _future_name(replica: Replica) -> int:
    founder = replica.membership.voter_keys.get(replica.genesis.founder.member)
    if founder is None:
        return 0
    return context_hash(founder, replica.chains.slot(replica.genesis_chain, 0).op_id)


def routes(node: Node) -> APIRouter:
    """Routes over this node."""
    router = APIRouter(tags=["chain"])
    engine = node.engine

    @router.get("/contexts/{context}/chain")
    async def show_chain(context: str) -> ChainInfo:
        """Where a context is anchored."""
        return chain_view(node, find_replica(node, context))

    @router.put("/contexts/{context}/chain")
    async def register_chain(context: str, body: ChainRegistration) -> ChainInfo:
        """Tell the node where its context was opened; it checks the founder's signature and tells the others."""
        replica = find_replica(node, context)
        opening = _opening_of(body)
        if hex(opening.context) != hex(int(body.opening.context, 16)):
            raise unprocessable(
                "wrong_context", "the opening's fields give another context name", "hand it over unchanged"
            )
        await node.perform(lambda now: engine.register_anchor(now, replica.context, opening, body.block))
        return chain_view(node, replica)

    @router.post("/contexts/{context}/chain/opening")
    async def sign_opening(context: str, body: OpeningRequest) -> Opening:
        """Have the founder's node sign the opening of its context for a contract."""
        replica = find_replica(node, context)
        anchor = Anchor(chain_id=int(body.chain_id, 16), contract=int(body.contract, 16))
        made = await node.perform(
            lambda now: engine.opening(
                now, replica.context, anchor, int(body.verifier, 16), body.recovery_delay
            )
        )
        return opening_view(made)

    return router
