"""Answers other than success: a status and a sentence, as `{"error": …}`; and what of ours becomes which status."""

from __future__ import annotations

from typing import Any, Final

from medsync_protocol.errors import DiskFull, MedSyncError, NotPermitted, OperatorError, Refused

STATUS_OF_CODE: Final = {
    "unknown_context": 404, "unknown_member": 404, "invitation_expired": 410, "invitation_used": 409,
    "has_network": 409, "already_member": 409, "admitter_unreachable": 503, "no_usable_key": 503, "bad_invitation": 400,
    "unknown_application": 400, "no_network": 409,
}  # fmt: skip


class Answered(Exception):
    """The request is answered by this."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


class CallError(Exception):
    """A call to an application failed: HTTP 200 with a `FunctionCallError` in JSON-RPC, else status 400."""

    def __init__(self, data: Any) -> None:
        super().__init__(str(data))
        self.data = data


def answered(error: MedSyncError) -> Answered:
    """Our error as an answer."""
    advice = getattr(error, "advice", "")
    sentence = f"{error}; {advice}" if advice else str(error)
    if isinstance(error, NotPermitted):
        return Answered(403, sentence)
    if isinstance(error, Refused):
        return Answered(STATUS_OF_CODE.get(error.code, 400), sentence)
    if isinstance(error, DiskFull):
        return Answered(507, sentence)
    return Answered(503 if isinstance(error, OperatorError) else 400, sentence)
