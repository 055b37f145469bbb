"""Breaking glass in an emergency, what is released on it, and its review."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from medsync_client.calls import PATIENT, Call, path
from medsync_client.wire import Body, Hex16, Hex32, Level, Millis, Named, View

EmergencyPurpose = Literal["BTG", "ETREAT"]
OutcomeName = Literal["justified", "not-justified", "follow-up"]
StateName = Literal["open", "follow-up", "justified", "not-justified"]

MAX_WHY = 512  # characters of a reason or note (PROTOCOL §7)
MAX_LISTED = 1000  # broken glasses of one answer


class GlassBreak(Body):
    """Who of this member needs whose data in which emergency. `custodian` left out: one from the record.

    `minutes`: how long it is to last, else as long as the context allows.
    """

    subject: str = Field(min_length=1, max_length=128, description="pseudonym or card")
    reason: str = Field(min_length=1, max_length=MAX_WHY, description="one line, sealed for custodians and homes")
    purpose: EmergencyPurpose = "BTG"
    custodian: Named | None = None
    minutes: int | None = Field(default=None, ge=1, le=60 * 24 * 366)
    action: str = "access"
    types: tuple[str, ...] | None = None
    unit: str | None = Field(default=None, max_length=64)
    user: str | None = Field(default=None, max_length=64)


class GlassReview(View):
    """What one reviewer found."""

    outcome: OutcomeName
    note: str
    by: Hex32
    by_name: str = ""
    time: Millis
    op: Hex32


class BrokenGlass(View):
    """One broken glass. `holds`: its custodian may release on it now, as far as this node knows; `why_not` says why not.

    `state`: how far its review is; `reviewers`: whose word counts, by name; `mine`: whether this node's member is one.
    """

    id: Hex32
    op: Hex32
    effective: bool = True
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
    match: Hex16
    reason: str
    time: Millis
    until: Millis
    holds: bool
    why_not: str = ""
    state: StateName
    due: Millis
    overdue: bool
    reviewers: tuple[str, ...] = ()
    mine: bool = False
    reviews: tuple[GlassReview, ...] = ()


class GlassList(View):
    """Those that were asked for, newest first; `total` of them, and of all held here how many are left to review."""

    glass: tuple[BrokenGlass, ...]
    total: int
    open: int
    overdue: int


class ReviewText(Body):
    """What a reviewer found."""

    outcome: OutcomeName
    note: str = Field(default="", max_length=MAX_WHY)


class Breaker(View):
    """A member that may break glass: by its role, or because these admins gave it the right."""

    member: Hex32
    name: str
    by_role: bool
    given_by: tuple[str, ...] = ()


class Breakers(View):
    """Everyone who may break glass in a context; `me`: whether this node's member is one."""

    breakers: tuple[Breaker, ...]
    me: bool


class BreakerSet(Body):
    """Whether a member shall hold the right."""

    allowed: bool


class Released(View):
    """Where the custodian's half stands: only now may the data go."""

    glass: Hex32
    op: Hex32
    match: Hex16
    time: Millis


def break_glass(context: str, body: GlassBreak, level: Level = "local") -> Call[BrokenGlass]:
    """Break the glass: on record before this answers. Custodians and homes are told, and one of them reviews it."""
    return Call(
        method="POST", path=path("contexts", context, "access:break-glass"), body=body, answer=BrokenGlass,
        query={"level": level}, timeout=PATIENT,
    )  # fmt: skip


def reviews(
    context: str, subject: str | None = None, *, state: StateName | None = None, since: int | None = None, limit: int = 100
) -> Call[GlassList]:  # fmt: skip
    """Broken glass with its reviews, newest first, of one subject or of all. Reading is logged."""
    query = {"subject": subject, "state": state, "since": since, "limit": limit}
    return Call(path=path("contexts", context, "reviews"), query=query, answer=GlassList)


def broken_glass(context: str, glass: str) -> Call[BrokenGlass]:
    """One of them, by its id or the beginning of it. Reading is logged."""
    return Call(path=path("contexts", context, "reviews", glass), answer=BrokenGlass)


def review_glass(context: str, glass: str, body: ReviewText) -> Call[BrokenGlass]:
    """Say as a reviewer what this member found. Said again, the newer counts."""
    return Call(method="POST", path=path("contexts", context, "reviews", glass), body=body, answer=BrokenGlass)


def breakers(context: str) -> Call[Breakers]:
    """Who may break glass."""
    return Call(path=path("contexts", context, "breakers"), answer=Breakers)


def set_breaker(context: str, member: str, body: BreakerSet) -> Call[Breakers]:
    """Give a member the right to break glass, or take it back, as an admin. The same again changes nothing."""
    return Call(method="PUT", path=path("contexts", context, "breakers", member), body=body, answer=Breakers)


def release_glass(context: str, glass: str) -> Call[Released]:
    """Record as the custodian that was named that data is released on it, before it is."""
    return Call(method="POST", path=path("contexts", context, "reviews", glass, "release"), answer=Released)
