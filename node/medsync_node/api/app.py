"""Assembles the API: every noun's routes over one running node, problems instead of tracebacks, limits before all."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

import trio
from fastapi import FastAPI
from starlette.types import ASGIApp

from medsync_node.api import (
    access,
    access_feed,
    accounting,
    audit,
    chain,
    checkpoints,
    consents,
    contexts,
    docs,
    erasures,
    events,
    explanations,
    fhir,
    devices,
    governance,
    health,
    links,
    members,
    network,
    operations,
    outlook,
    problems,
    proofs,
    receipts,
    retentions,
    reviews,
    rewards,
    status,
    subjects,
)
from medsync_node.api.guards import LimitBody
from medsync_node.dashboard.sessions import Door

if TYPE_CHECKING:
    from medsync_node.node import Node

ABOUT: Final = (
    "One node's part of a private record of who may use whose data, and who did. Ids are hex, felts `0x…`, instants "
    "milliseconds since 1970 UTC. Errors are a code, a message and an advice."
)


def make_app(
    node: Node, *, stopping: trio.Event, announce: Sequence[str] = (), door: Door | None = None, read_only: bool = False
) -> ASGIApp:  # fmt: skip
    """The application, dashboard included. Event streams end when `stopping` is set; `announce` goes into invitations.

    `door` holds who is signed in, and learns where the API is served; `read_only` is for the pages, the guard is the server's.
    """
    from medsync_node.dashboard.site import mount  # it asks this package's tables

    door = door or Door.of(node)
    app = FastAPI(
        title="MedSync node", version=version("medsync"), description=ABOUT, docs_url=None, redoc_url=None,
        openapi_url="/openapi.json", swagger_ui_oauth2_redirect_url=None,
    )  # fmt: skip
    problems.install(app)
    for module in (status, members, contexts, governance, outlook, devices, subjects, erasures, retentions, consents, access, reviews, explanations, accounting, receipts, operations, checkpoints, chain, rewards, proofs, audit):
        app.include_router(module.routes(node), prefix="/v1")
    app.include_router(network.routes(node, announce), prefix="/v1")
    app.include_router(events.routes(node, stopping), prefix="/v1")
    app.include_router(access_feed.routes(node, stopping), prefix="/v1")
    app.include_router(fhir.routes(node))
    app.include_router(health.routes(node))
    app.include_router(docs.routes())
    app.include_router(links.routes(node, door), prefix="/v1")
    return LimitBody(mount(node, app, door, read_only=read_only, stopping=stopping))
