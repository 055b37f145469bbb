"""What a token may do: one table of scopes, one of routes. The guard, `medsync token`, the README and the tests share both."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

SCOPES: Final[Mapping[str, str]] = {
    "status": "read status, members, contexts, voters, proposals, operations' headers, checkpoints, anchors",
    "metrics": "scrape /metrics",
    "events": "follow what happens, live",
    "consent:read": "list and look up subjects, consents and erasures; verify a consent",
    "consent:write": "enrol subjects, record grants, revocations, links, keys, custodians, homes, erasures and holds",
    "access:request": "ask for decisions and record accesses",
    "access:read": "read the access log and receipts; each reading of the log is logged",
    "access:break-glass": "break glass in an emergency",
    "access:review": "review broken glass, as this node's member",
    "audit": "export a context, prove what it holds, check this node's copy",
    "anchor": "what the bridge does: checkpoints, openings, registering the anchor",
    "dashboard": "make sign-in links for the dashboard, for no more than the token's own scopes",
    "govern": "networks, invitations, members, roles, contexts, keys, voters, policies, votes",
}

_CONTEXT: Final = "/v1/contexts/{context}"
_SUBJECT: Final = _CONTEXT + "/subjects/{named}"


@dataclass(frozen=True, slots=True)
class Route:
    """`scope` needed for it; `writes`: refused in read-only mode."""

    method: str
    path: str
    scope: str
    writes: bool = True


def _read(path: str, scope: str, method: str = "GET") -> Route:
    return Route(method, path, scope, writes=False)


_FHIR: Final = (
    ("GET", "/metadata", "status", False),
    ("GET", "/Consent", "consent:read", False), ("GET", "/Consent/{named}", "consent:read", False),
    ("POST", "/Consent", "consent:write", True), ("PUT", "/Consent/{named}", "consent:write", True),
    ("POST", "/Consent/$decide", "access:request", True),
    ("GET", "/AuditEvent", "access:read", False), ("GET", "/AuditEvent/{named}", "access:read", False),
)  # fmt: skip
ROUTES: Final = (
    *(_read(path, "status") for path in (
        "/v1/status", "/v1/network", "/v1/policies", "/v1/members", "/v1/devices", _CONTEXT + "/devices", "/v1/contexts", _CONTEXT, _CONTEXT + "/members", _CONTEXT + "/voters",
        _CONTEXT + "/governance", _CONTEXT + "/outlook", "/v1/network/outlook", _CONTEXT + "/checkpoints", _CONTEXT + "/checkpoints/{k}", _CONTEXT + "/chain",
        _CONTEXT + "/operations", _CONTEXT + "/breakers", _CONTEXT + "/rewards", _CONTEXT + "/rewards/proof", _CONTEXT + "/rewards/pool",
    )),
    _read("/metrics", "metrics"),
    _read("/v1/events", "events"),
    _read(_CONTEXT + "/subjects", "consent:read"),
    _read(_SUBJECT, "consent:read"),
    _read(_SUBJECT + "/erasure", "consent:read"),
    _read(_CONTEXT + "/retention", "consent:read"),
    _read(_CONTEXT + "/consents", "consent:read"),
    _read(_CONTEXT + "/consents/{named}", "consent:read"),
    _read(_CONTEXT + "/consents/{named}:verify", "consent:read", "POST"),
    *(Route("POST", path, "consent:write") for path in (
        _CONTEXT + "/subjects", _SUBJECT + "/links", _SUBJECT + "/keys", _SUBJECT + "/members", _SUBJECT + "/erasure", _SUBJECT + "/holds", _CONTEXT + "/retention/{month}/holds",
        _CONTEXT + "/consents", _CONTEXT + "/consents:revoke",
    )),
    Route("POST", _CONTEXT + "/access", "access:request"),
    Route("POST", _CONTEXT + "/access:batch", "access:request"),
    Route("POST", _CONTEXT + "/access:break-glass", "access:break-glass"),
    Route("POST", _CONTEXT + "/reviews/{glass}", "access:review"),
    Route("POST", _CONTEXT + "/reviews/{glass}/release", "access:request"),
    _read(_CONTEXT + "/reviews", "access:read"),
    _read(_CONTEXT + "/reviews/{glass}", "access:read"),
    _read(_SUBJECT + "/accounting", "access:read"),
    _read(_SUBJECT + "/export", "access:read"),
    _read(_CONTEXT + "/audit:reconcile", "access:read"),
    _read(_CONTEXT + "/consents/{named}/summary", "consent:read"),
    _read(_CONTEXT + "/access:explain", "access:read", "POST"),
    _read(_CONTEXT + "/receipts:verify", "access:read", "POST"),
    _read(_CONTEXT + "/access", "access:read"),
    _read(_CONTEXT + "/access:stream", "access:read"),
    _read(_CONTEXT + "/receipts/{receipt}", "access:read"),
    _read(_CONTEXT + "/audit", "audit"),
    _read(_CONTEXT + "/audit:verify", "audit", "POST"),
    *(_read(_CONTEXT + path, "audit") for path in (
        "/rewards/explanation", "/proofs/checkpoint", "/proofs/consents/{directive}", "/proofs/entries/{operation}",
    )),
    *(
        Route(method, f"/fhir/{release}{context}{path}", scope, writes)
        for release in ("r4", "r5")
        for context in ("", "/contexts/{context}")
        for method, path, scope, writes in _FHIR
        if context or path != "/metadata"
    ),
    _read("/v1/dashboard/links", "dashboard", "POST"),
    Route("POST", _CONTEXT + "/checkpoints", "anchor"),
    Route("PUT", _CONTEXT + "/chain", "anchor"),
    Route("POST", _CONTEXT + "/chain/opening", "anchor"),
    *(Route(method, path, "govern") for method, path in (
        ("POST", "/v1/network"), ("POST", "/v1/network/invitations"), ("POST", "/v1/network/join"),
        ("DELETE", "/v1/members/{member}"), ("PUT", "/v1/members/{member}/role"), ("POST", "/v1/contexts"),
        ("POST", _CONTEXT + "/leave"), ("POST", _CONTEXT + "/rotate"), ("POST", _CONTEXT + "/members"),
        ("DELETE", _CONTEXT + "/members/{member}"), ("PUT", _CONTEXT + "/members/{member}/role"),
        ("PUT", _CONTEXT + "/breakers/{member}"), ("PUT", _CONTEXT + "/voters"), ("POST", _CONTEXT + "/proposals/{proposal}/votes"),
        ("PUT", _CONTEXT + "/policy"), ("PUT", _CONTEXT + "/owner"), ("POST", "/v1/devices"), ("DELETE", "/v1/devices/{device}"),
        ("POST", _CONTEXT + "/members/{member}/recovery"), ("POST", _CONTEXT + "/chains/{chain}/resumption"),
        ("PUT", _CONTEXT + "/rewards/terms"), ("POST", _CONTEXT + "/rewards/claim"),
        ("POST", _CONTEXT + "/rewards/veto"), ("POST", _CONTEXT + "/rewards/sweep"),
    )),
)  # fmt: skip


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path)))


_PATTERNS: Final = [(route, _pattern(route.path)) for route in ROUTES]


def route_of(method: str, path: str) -> Route | None:
    """The table's line for a request, the most particular one; None: no such route, so that no scope allows it."""
    found = [route for route, pattern in _PATTERNS if route.method == method and pattern.fullmatch(path)]
    return max(found, key=lambda route: len(route.path), default=None)
