"""The CapabilityStatement of both FHIR endpoints: what a client may do, in FHIR's own words."""

from __future__ import annotations

from typing import Any, Final

VERSIONS: Final = {"R4": "4.0.1", "R5": "5.0.0"}
CONSENT_SEARCH: Final = {"patient": "reference", "status": "token", "period": "date", "actor": "reference", "purpose": "token"}
AUDIT_SEARCH: Final = {
    "patient": "reference", "date": "date", "agent": "reference", "outcome": "token", "purpose": "token",
}  # fmt: skip
DECIDE: Final = "urn:medsync:operation:decide"
PUBLISHED: Final = "2026-11-25"  # the day this statement last changed


def capability(release: str, software: str) -> dict[str, Any]:
    """`software`: this program's version."""
    return {
        "resourceType": "CapabilityStatement", "status": "active", "date": PUBLISHED, "kind": "instance",
        "software": {"name": "MedSync", "version": software},
        "implementation": {"description": "One node's part of a private record of consents and of accesses"},
        "fhirVersion": VERSIONS[release], "format": ["application/fhir+json"],
        "rest": [{
            "mode": "server",
            "security": {"description": "A bearer token with scopes over TCP; none on the node's unix socket."},
            "resource": [
                _resource("Consent", ("create", "read", "update", "search-type"), CONSENT_SEARCH, decide=True),
                _resource("AuditEvent", ("read", "search-type"), AUDIT_SEARCH),
            ],
        }],
    }  # fmt: skip


def _resource(type_: str, does: tuple[str, ...], search: dict[str, str], *, decide: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": type_, "interaction": [{"code": code} for code in does], "versioning": "versioned" if decide else "no-version",
        "searchParam": [{"name": name, "type": kind} for name, kind in search.items()],
    }  # fmt: skip
    return {**found, "operation": [{"name": "decide", "definition": DECIDE}]} if decide else found
