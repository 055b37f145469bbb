"""Links that sign people in to the dashboard: made for who may, with no more scopes than he has himself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter
from starlette.requests import Request

from medsync_client.links import Link, LinkCreate
from medsync_client.wire import Problem
from medsync_node.api.finding import find_replica, find_subject
from medsync_node.api.guards import TOKEN
from medsync_node.api.problems import Failure, unprocessable
from medsync_node.api.scopes import SCOPES
from medsync_node.dashboard.sessions import LINK_MS, PATIENT_SCOPES, Door, Grant
from medsync_node.token_book import Issued

if TYPE_CHECKING:
    from medsync_node.node import Node


def routes(node: Node, door: Door) -> APIRouter:
    """Routes over this node."""
    router = APIRouter(tags=["dashboard"])

    @router.post("/dashboard/links")
    async def make_link(body: LinkCreate, request: Request) -> Link:
        """A link that signs in once."""
        if door.url is None:
            raise Failure(409, Problem(
                code="not_over_tcp", message="a browser can't come: the API is not served over TCP",
                advice="`medsync config set api.listen 127.0.0.1:8404`, then start the node again",
            ))  # fmt: skip
        issued: Issued | None = request.scope.get(TOKEN)
        own = frozenset(SCOPES if issued is None else issued.scopes)
        wanted = own if body.scopes is None else frozenset(body.scopes)
        unknown = sorted(wanted - set(SCOPES))
        if unknown:
            raise unprocessable("unknown_scope", f"no such scope: {', '.join(unknown)}", "see `medsync token scopes`")
        patient = None
        if body.patient is not None:
            replica = find_replica(node, body.patient.context)
            subject = find_subject(replica, body.patient.subject)
            node.engine.desk(replica.context).application.subject(subject)
            patient = replica.context.hex(), subject.hex()
            wanted = PATIENT_SCOPES
        if not wanted <= own:
            raise Failure(403, Problem(
                code="scope_missing", message=f"your token doesn't include {', '.join(sorted(wanted - own))}",
                advice="ask for a link with fewer scopes",
            ))  # fmt: skip
        grant = Grant(scopes=wanted, patient=patient, token=None if issued is None else issued.id)
        code = door.sessions.link(node.now(), grant)
        return Link(
            url=f"{door.url}/dashboard/enter?code={code}", expires=node.now() + LINK_MS, scopes=tuple(sorted(wanted))
        )

    return router
