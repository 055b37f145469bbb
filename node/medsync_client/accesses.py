"""Access: asking a custodian for a decision, the receipt it leaves, and the log of who asked for what."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationError

from medsync_client.calls import PATIENT, Call, path
from medsync_client.consents import WirePeriod
from medsync_client.errors import NodeFault
from medsync_client.wire import Body, Hex16, Hex32, HexBytes, Level, Millis, Named, Problem, View

AnswerName = Literal["PERMIT", "DENY", "NO_CONSENT", "INDETERMINATE", "ERASED"]
HalfName = Literal["requested", "disclosed", "refused", "break-glass", "log-read"]

MAX_PAGE = 1000  # entries of one answer
MAX_BATCH = 4096  # PROTOCOL §2: entries of one operation


class AccessRequest(Body):
    """Who of this member wants what of a subject, and what for. `custodian` left out: one from the record."""

    subject: str = Field(min_length=1, max_length=128, description="pseudonym or card")
    custodian: Named | None = None
    purposes: tuple[str, ...] = Field(min_length=1, max_length=64)
    action: str = "access"
    types: tuple[str, ...] | None = None
    labels: tuple[str, ...] | None = None
    data_period: WirePeriod | None = None
    unit: str | None = Field(default=None, max_length=64)
    user: str | None = Field(default=None, max_length=64)


class Ended(View):
    """What took a consent back: `document` is the id of the revocation, or of the consent that superseded it."""

    consent: Hex32
    why: Literal["revoked", "superseded"]
    document: Hex32
    signed_at: Millis
    recorded: Millis


class AccessAnswer(View):
    """A decision.

    Only PERMIT releases, and only when `custodian` made it; `receipt` is its payload to keep.
    """

    answer: AnswerName
    reason: str
    obligations: tuple[str, ...] = ()
    rules: tuple[str, ...] = Field(default=(), description="directive id, rule and exception that decided")
    custodian: Hex32
    custodian_name: str = ""
    receipt_id: Hex32 | None = None
    receipt: HexBytes | None = None
    op: Hex32 | None = Field(default=None, description="where the requester's half stands in the log")
    ended: tuple[Ended, ...] = Field(
        default=(), description="for NO_CONSENT: consents that would have permitted it, as this node holds them, and what took them back"
    )
    time: Millis


class LoggedAccess(Body):
    """A half of an access that took place outside, for bulk entry by the system that released the data."""

    half: HalfName
    subject: Hex16
    requester: Named
    custodian: Named
    purposes: tuple[str, ...] = Field(min_length=1, max_length=64)
    action: str = "access"
    types: tuple[str, ...] | None = None
    outcome: AnswerName = "PERMIT"
    unit: str | None = Field(default=None, max_length=64)
    user: str | None = Field(default=None, max_length=64)
    receipt: Hex32 | None = None
    match: Hex16 | None = None
    time: Millis | None = None


class AccessBatch(Body):
    """Entries to append as one operation."""

    entries: tuple[LoggedAccess, ...] = Field(min_length=1, max_length=MAX_BATCH)


class RefusedEntry(View):
    """An entry of a batch that may not stand, by its place in the batch."""

    index: int
    problem: Problem


class Appended(View):
    """Where a batch stands in this node's chain. `stored`: which of a partial batch do; `refused`: which don't, and why."""

    op: Hex32
    chain: str
    seq: int
    count: int
    level: Level
    stored: tuple[int, ...] | None = None
    refused: tuple[RefusedEntry, ...] = ()


class AccessRow(View):
    """An entry of the log that this member may read."""

    op: Hex32
    index: int
    half: HalfName
    subject: Hex16
    requester: Hex32
    requester_name: str = ""
    unit: str | None = None
    user: str | None = None
    custodian: Hex32
    custodian_name: str = ""
    purposes: tuple[str, ...]
    action: str
    types: tuple[str, ...] | None = None
    outcome: AnswerName
    receipt: Hex32 | None = None
    match: Hex16
    time: Millis
    effective: bool


class AccessPage(View):
    """Entries of one subject or of all, newest first; give `next` as `cursor` for older ones."""

    entries: tuple[AccessRow, ...]
    next: str | None = None


def request_access(context: str, body: AccessRequest) -> Call[AccessAnswer]:
    """Ask a custodian. The answer may be DENY: that is no error of the call."""
    return Call(
        method="POST",
        path=path("contexts", context, "access"),
        body=body,
        answer=AccessAnswer,
        timeout=PATIENT,
    )


def append_accesses(
    context: str, body: AccessBatch, level: Level = "local", *, partial: bool = False
) -> Call[Appended]:
    """Append up to 4,096 entries as one operation: all or none, unless `partial`."""
    return Call(
        method="POST", path=path("contexts", context, "access:batch"), body=body, answer=Appended,
        query={"level": level, "partial": partial or None},
    )  # fmt: skip


def accesses(
    context: str, subject: str | None = None, *, member: str | None = None, half: HalfName | None = None,
    outcome: AnswerName | None = None, purpose: str | None = None, since: int | None = None, until: int | None = None,
    cursor: str | None = None, limit: int = 100,
) -> Call[AccessPage]:  # fmt: skip
    """Who asked for, released or was refused data, of one subject or of all. Reading is logged too."""
    query = {
        "subject": subject, "member": member, "half": half, "outcome": outcome, "purpose": purpose, "since": since,
        "until": until, "cursor": cursor, "limit": limit,
    }  # fmt: skip
    return Call(path=path("contexts", context, "access"), query=query, answer=AccessPage)


def follow_path(context: str) -> str:
    """Where the log is followed: server-sent events of `AccessRow`."""
    return path("contexts", context, "access:stream")


class Followed:
    """Reads the lines of `follow_path`, one after another."""

    def __init__(self) -> None:
        self._id = ""

    def read(self, line: str) -> tuple[str, AccessRow] | None:
        """(id, entry) where a line ends one. Raises NodeFault for one that holds something else."""
        if line.startswith("id:"):
            self._id = line.removeprefix("id:").strip()
        if not line.startswith("data:"):
            return None
        try:
            return self._id, AccessRow.model_validate_json(line.removeprefix("data:"))
        except ValidationError as error:
            raise NodeFault("an entry that can't be read", code="unreadable_answer", advice="see the node's log") from error
