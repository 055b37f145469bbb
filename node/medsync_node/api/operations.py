"""The newest operations of a context, for pictures of its history: headers only, nothing is opened."""

from __future__ import annotations

from heapq import nlargest
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter
from pydantic import Field

from medsync_client.operations import MAX_OPERATIONS, OperationRow, Operations, PlaneName
from medsync_node.api.finding import find_replica, member_names
from medsync_protocol.ids import ChainId, device_of
from medsync_protocol.kinds import Plane, Verdict

if TYPE_CHECKING:
    from medsync_node.node import Node
    from medsync_protocol.replica import Replica

PLANES: Final[dict[int, PlaneName]] = {Plane.MEMBERSHIP: "membership", Plane.KEYS: "keys", Plane.DATA: "data"}


def newest(replica: Replica, limit: int) -> list[tuple[ChainId, int]]:
    """Places of the newest operations by their authors' time, newest first."""
    places = (
        (replica.chains.slot(chain, seq).hlc, chain, seq)
        for chain, count in replica.vector.items()
        for seq in range(max(0, count - limit), count)
    )
    return [(chain, seq) for _, chain, seq in nlargest(limit, places)]


def operations_view(node: Node, replica: Replica, limit: int) -> Operations:
    """Rows of a picture. An operation's checkpoint is the accepted one that first covers it."""
    names, devices = member_names(replica), replica.membership.devices
    cuts = [one.cut.vector for one in node.engine.checkpoints(replica.context).acceptance.history]

    def checkpoint(chain: ChainId, seq: int) -> int | None:
        steps = enumerate(pairwise(cuts), 1)
        return next((k for k, (low, high) in steps if low.get(chain, 0) <= seq < high.get(chain, 0)), None)

    def row(chain: ChainId, seq: int) -> OperationRow:
        slot, member = replica.chains.slot(chain, seq), devices.get(device_of(chain))
        before = (replica.chains.slot(chain, seq - 1).op_id,) if seq else ()
        return OperationRow(
            id=slot.op_id.hex(), chain=chain.hex(), seq=seq, member=None if member is None else member.hex(),
            member_name="" if member is None else names.get(member, ""), plane=PLANES[slot.plane], time=slot.hlc >> 16,
            parents=tuple(dict.fromkeys(one.hex() for one in (*before, *slot.heads))),
            verdict=Verdict(slot.verdict).name.lower(), final=slot.final, checkpoint=checkpoint(chain, seq),
        )  # fmt: skip

    rows = tuple(row(chain, seq) for chain, seq in newest(replica, limit))
    return Operations(operations=rows, total=sum(replica.vector.values()))


def routes(node: Node) -> APIRouter:
    """Routes over this node."""
    router = APIRouter(tags=["operations"])

    @router.get("/contexts/{context}/operations")
    async def list_operations(
        context: str, limit: Annotated[int, Field(ge=1, le=MAX_OPERATIONS)] = 60
    ) -> Operations:
        """The newest operations: author, plane, time, what each builds on, verdict."""
        return operations_view(node, find_replica(node, context), limit)

    return router
