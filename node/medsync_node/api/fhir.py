"""The FHIR endpoints `/fhir/r4` and `/fhir/r5`: their routes, for the only context or, beneath `contexts/NAME`, for any."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from medsync_node.api.fhir_answers import FhirResponse, answered, refusing
from medsync_node.api.fhir_audit import FhirAudit
from medsync_node.api.fhir_consents import FhirConsents
from medsync_node.fhir.capability import capability

if TYPE_CHECKING:
    from medsync_node.node import Node

RELEASES: Final = {"r4": "R4", "r5": "R5"}


def _named(context: str) -> str | None:
    return context


def _only() -> str | None:
    return None


def routes(node: Node) -> APIRouter:
    """Routes over this node."""
    router = APIRouter(tags=["fhir"], default_response_class=FhirResponse)
    for path, release in RELEASES.items():
        router.include_router(_release(node, release), prefix=f"/fhir/{path}")
        router.include_router(_release(node, release, named=True), prefix=f"/fhir/{path}/contexts/{{context}}")
    return router


def _release(node: Node, release: str, *, named: bool = False) -> APIRouter:
    router = APIRouter()
    consents, audit = FhirConsents(node, release), FhirAudit(node, release)
    place = Depends(_named if named else _only)

    @router.get("/metadata")
    async def metadata(context: str | None = place) -> Response:
        """The CapabilityStatement."""
        return answered(capability(release, version("medsync")))

    @router.post("/Consent", status_code=201)
    async def create_consent(request: Request, context: str | None = place) -> Response:
        """Attest what a Consent says; 422 with the element and the reason where it can't be computed."""
        return await refusing("Consent", consents.create(request, context))

    @router.get("/Consent")
    async def search_consents(request: Request, context: str | None = place) -> Response:
        """A patient's Consents, by `patient`, and `status`, `period`, `actor`, `purpose`."""
        return await refusing("Consent", consents.search(request, context))

    @router.post("/Consent/$decide")
    async def decide(request: Request, context: str | None = place) -> Response:
        """Ask a custodian for a decision: Parameters in, Parameters out. Only `permit` releases."""
        return await refusing("Parameters", consents.decide(request, context))

    @router.get("/Consent/{named}")
    async def read_consent(named: str, context: str | None = place) -> Response:
        """The newest version of a Consent."""
        return await refusing("Consent", consents.read(context, named))

    @router.put("/Consent/{named}")
    async def update_consent(request: Request, named: str, context: str | None = place) -> Response:
        """Supersede a Consent; one that is `inactive` or `entered-in-error` is revoked. `If-Match` is honoured."""
        return await refusing("Consent", consents.update(request, context, named))

    @router.get("/AuditEvent")
    async def search_events(request: Request, context: str | None = place) -> Response:
        """A patient's events, newest first, by `patient`, and `date`, `agent`, `outcome`, `purpose`. Reading is logged."""
        return await refusing("AuditEvent", audit.search(request, context))

    @router.get("/AuditEvent/{named}")
    async def read_event(named: str, context: str | None = place) -> Response:
        """One event. Reading is logged."""
        return await refusing("AuditEvent", audit.read(context, named))

    return router
