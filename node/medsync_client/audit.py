"""The audit export: a context's operations as a stream of lines, and what checking them found."""

from __future__ import annotations

from pydantic import Field

from medsync_client.calls import PATIENT, Call, path
from medsync_client.wire import View


class AuditReport(View):
    """What this node found when it checked its own copy again.

    `verify` checks an export without trusting any node.
    """

    ok: bool
    operations: int
    entries: int
    checks: dict[str, bool]
    problems: tuple[str, ...] = Field(default=(), max_length=100)


def verify_audit(context: str) -> Call[AuditReport]:
    """Re-check signatures, chain links and entry roots of everything held."""
    return Call(
        method="POST", path=path("contexts", context, "audit:verify"), answer=AuditReport, timeout=PATIENT * 4
    )


def export_path(context: str) -> str:
    """Where the NDJSON export streams from."""
    return path("contexts", context, "audit")
