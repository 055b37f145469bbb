"""Health for monitors, and metrics for Prometheus; neither names a patient, a member or a context by more than its id."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fastapi import APIRouter
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from starlette.responses import JSONResponse, Response

from medsync_client.status import Health
from medsync_client.wire import Problem
from medsync_node.api.finding import context_replicas
from medsync_node.api.problems import answer
from medsync_node.api.reviews import unfinished_reviews
from medsync_protocol.ids import short

if TYPE_CHECKING:
    from medsync_node.node import Node


class NodeMetrics(Collector):
    """Read from the node when somebody scrapes."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """All families."""
        node = self._node
        yield GaugeMetricFamily(
            "medsync_linked_peers", "Devices with a link now", len(node.transport.linked())
        )
        yield GaugeMetricFamily(
            "medsync_disk_full", "1 while commits fail: the disk is full or read-only", int(node.store.full)
        )
        families = {
            name: GaugeMetricFamily(f"medsync_context_{name}", about, labels=["context"])
            for name, about in (
                ("operations", "Operations held"), ("parked", "Operations that wait"),
                ("members", "Current members"), ("epoch", "Newest key epoch"),
                ("checkpoint_signed", "Newest checkpoint signed by a quorum"),
                ("checkpoint_accepted", "Newest checkpoint that the chain accepted"),
                ("checkpoint_settled", "Newest checkpoint that is settled"),
                ("reviews_open", "Broken glass whose review is not done"),
                ("reviews_overdue", "Of it, what should have been reviewed by now"),
            )
        }  # fmt: skip
        for replica in context_replicas(node):
            left, overdue = unfinished_reviews(node, replica)
            held, state = node.engine.checkpoints(replica.context), replica.membership
            values = {
                "operations": sum(replica.vector.values()), "parked": len(replica.parking),
                "members": len(state.members), "epoch": state.highest_epoch(),
                "checkpoint_signed": held.signed, "checkpoint_accepted": held.accepted,
                "checkpoint_settled": held.settled, "reviews_open": left, "reviews_overdue": overdue,
            }  # fmt: skip
            for name, value in values.items():
                families[name].add_metric([short(replica.context)], value)
        yield from families.values()


def routes(node: Node) -> APIRouter:
    """Routes over this node."""
    router = APIRouter(tags=["health"])
    registry = CollectorRegistry()
    registry.register(NodeMetrics(node))

    @router.get("/healthz")
    async def alive() -> Health:
        """Whether the process answers."""
        return Health(ok=True)

    @router.get("/readyz", response_model=Health)
    async def ready() -> JSONResponse:
        """Whether the node serves: journal writable, transport listening."""
        waiting = tuple(
            name
            for name, missing in (("space on a disk that can be written", node.store.full), ("transport", not node.transport.addresses))
            if missing
        )
        if waiting:
            problem = Problem(
                code="not_ready", message=f"waits for {', '.join(waiting)}", advice="see the node's log"
            )
            return answer(503, problem)
        return JSONResponse(Health(ok=True).model_dump())

    @router.get("/metrics")
    async def metrics() -> Response:
        """For Prometheus."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router
