"""Broken glass and its review: what both entries say, and what a context asks of whoever breaks it (PROTOCOL §7).

What it can override is `decision.py`'s, which entries count `glass_book.py`'s, who may write them `breaking.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NewType

from medsync_protocol.access import Request, decode_request, encode_request
from medsync_protocol.application import Draft
from medsync_protocol.codec import pack, unpack, want_array, want_bytes, want_int, want_name
from medsync_protocol.crypto import blake2b
from medsync_protocol.errors import Malformed
from medsync_protocol.ids import Instant, MemberId, SubjectRef
from medsync_protocol.kinds import Audience, EntryKind, Role
from medsync_protocol.purposes import EMERGENCY

GlassId = NewType("GlassId", bytes)
"""32 bytes: the hash of what was said when the glass was broken."""

KINDS: Final = frozenset({int(EntryKind.BREAK_GLASS), int(EntryKind.REVIEW), int(EntryKind.GLASS_RIGHT)})
NOTICES: Final[Mapping[int, str]] = {
    EntryKind.BREAK_GLASS: "glass_broken", EntryKind.REVIEW: "glass_reviewed", EntryKind.GLASS_RIGHT: "glass_right",
}  # fmt: skip
MAX_WHY: Final = 512  # characters of a reason or note: an emergency in a few sentences, no record
_VERSION: Final = 1
_MINUTE: Final = 60_000
_DAY: Final = 24 * 60 * _MINUTE


class Outcome(IntEnum):
    """What a review found. Never renumber."""

    JUSTIFIED = 1
    NOT_JUSTIFIED = 2
    FOLLOW_UP = 3  # it can't be said yet: somebody has to do or ask something first


@dataclass(frozen=True, slots=True, kw_only=True)
class GlassSettings:
    """What a context asks: from which `role` on nobody needs a right to break glass; `limit` and `review` in ms: how long
    one lasts at most, and within which time it is to be reviewed."""

    role: Role = Role.ADMIN
    limit: int = 4 * 60 * _MINUTE
    review: int = 7 * _DAY


def glass_settings(pairs: Mapping[str, int | str]) -> GlassSettings:
    """From a genesis' settings: `glass.role` 1 or 2, `glass.limit` and `glass.review` in ms. What makes no sense counts as absent."""
    default = GlassSettings()
    role, limit, review = (pairs.get(f"glass.{name}") for name in ("role", "limit", "review"))
    return GlassSettings(
        role=Role(role) if role in (Role.MEMBER, Role.ADMIN) else default.role,
        limit=limit if isinstance(limit, int) and limit > 0 else default.limit,
        review=review if isinstance(review, int) and review > 0 else default.review,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenGlass:
    """Who broke it, for whose data and what, at which custodian, why, and `until` when (exclusive) that holds."""

    request: Request
    custodian: MemberId
    reason: str
    until: Instant


def encode_broken(broken: BrokenGlass) -> bytes:
    """Canonical bytes: the payload of a BREAK_GLASS entry."""
    return pack([_VERSION, encode_request(broken.request), broken.custodian, broken.reason, broken.until])


def decode_broken(payload: bytes) -> BrokenGlass:
    """What was said, checked for form: an emergency's purposes, a reason, an end after its beginning. Raises Malformed."""
    version, request, custodian, reason, until = want_array(unpack(payload), 5)
    want_int(version, _VERSION, _VERSION)
    broken = BrokenGlass(
        request=decode_request(want_bytes(request)), custodian=MemberId(want_bytes(custodian, 32)),
        reason=want_name(reason, MAX_WHY), until=Instant(want_int(until)),
    )  # fmt: skip
    if not EMERGENCY.issuperset(broken.request.purposes):
        raise Malformed("glass is broken for an emergency")
    if not broken.reason.strip():
        raise Malformed("glass is broken for a reason")
    if broken.until <= broken.request.time:
        raise Malformed("it ends before it begins")
    return broken


def glass_id(payload: bytes) -> GlassId:
    """The id of what an entry's payload says."""
    return GlassId(blake2b(b"medsync/glass/1", payload))


@dataclass(frozen=True, slots=True, kw_only=True)
class GlassReview:
    """What a reviewer found of one broken glass; `requester`: who broke it, `note`: for the others who may read it."""

    subject: SubjectRef
    glass: GlassId
    requester: MemberId
    outcome: Outcome
    note: str = ""
    time: Instant


def encode_review(review: GlassReview) -> bytes:
    """Canonical bytes: the payload of a REVIEW entry."""
    return pack([
        _VERSION, review.subject, review.glass, review.requester, review.outcome, review.note, review.time,
    ])  # fmt: skip


def decode_review(payload: bytes) -> GlassReview:
    """The review whose canonical bytes are `payload`. Raises Malformed."""
    version, subject, glass, requester, outcome, note, time = want_array(unpack(payload), 7)
    want_int(version, _VERSION, _VERSION)
    return GlassReview(
        subject=SubjectRef(want_bytes(subject, 16)), glass=GlassId(want_bytes(glass, 32)),
        requester=MemberId(want_bytes(requester, 32)), outcome=Outcome(want_int(outcome, 1, len(Outcome))),
        note=want_name(note, MAX_WHY), time=Instant(want_int(time)),
    )  # fmt: skip


def broken_draft(broken: BrokenGlass, parties: Iterable[MemberId]) -> Draft:
    """A broken glass on its way, sealed under the subject's key; `parties`: the subject's custodians and homes."""
    named = {broken.request.requester, broken.custodian, *parties}
    return Draft(
        kind=EntryKind.BREAK_GLASS, payload=encode_broken(broken), subject=broken.request.subject,
        audience=Audience.PARTIES, parties=tuple(sorted(named)),
    )  # fmt: skip


def review_draft(review: GlassReview, parties: Iterable[MemberId]) -> Draft:
    """A review on its way, for the same as the glass."""
    return Draft(
        kind=EntryKind.REVIEW, payload=encode_review(review), subject=review.subject, audience=Audience.PARTIES,
        parties=tuple(sorted({review.requester, *parties})),
    )  # fmt: skip


def broken_parties(payload: bytes) -> tuple[MemberId, ...]:
    """(requester, custodian) of a BREAK_GLASS entry. Raises Malformed."""
    broken = decode_broken(payload)
    return broken.request.requester, broken.custodian


def review_parties(payload: bytes) -> tuple[MemberId, ...]:
    """(requester,) of a REVIEW entry. Raises Malformed."""
    return (decode_review(payload).requester,)
