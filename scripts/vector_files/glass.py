"""Broken glass and its review."""

from __future__ import annotations

from typing import Any

from medsync_protocol import glass as g
from medsync_protocol import glass_right as r
from medsync_protocol.access import encode_request, make_request
from medsync_protocol.codec import pack, unpack
from medsync_protocol.ids import Instant, MemberId, SubjectRef

from scripts.vector_files.cast import CONTEXT, NETWORK, vector

_BROKE, _KEEPS, _ANN = MemberId(b"\x33" * 32), MemberId(b"\x44" * 32), SubjectRef(b"\x55" * 16)
_AT = Instant(1_800_000_000_000)


@vector
def glass() -> Any:
    """Payloads of the entries, the id of the first, and payloads that are refused."""
    request = make_request(
        NETWORK, CONTEXT, _ANN, _BROKE, purposes=("BTG",), action="access", time=_AT, salt=b"\x66" * 16, unit=b"er", user=b"eve"
    )
    broken = g.encode_broken(g.BrokenGlass(request=request, custodian=_KEEPS, reason="found unconscious", until=Instant(_AT + 1)))
    review = g.encode_review(
        g.GlassReview(
            subject=_ANN, glass=g.glass_id(broken), requester=_BROKE, outcome=g.Outcome.FOLLOW_UP, note="who was on duty?",
            time=Instant(_AT + 2),
        )
    )  # fmt: skip
    research = make_request(
        NETWORK, CONTEXT, _ANN, _BROKE, purposes=("HRESCH",), action="access", time=_AT, salt=b"\x66" * 16
    )
    version, asked, custodian, reason, until = unpack(broken)
    refused = {
        "a later version": [2, asked, custodian, reason, until],
        "not for an emergency": [version, encode_request(research), custodian, reason, until],
        "no reason": [version, asked, custodian, "  ", until],
        "a reason of two lines": [version, asked, custodian, "a\nb", until],
        "a reason too long": [version, asked, custodian, "a" * (g.MAX_WHY + 1), until],
        "over before it begins": [version, asked, custodian, reason, _AT],
    }  # fmt: skip
    given = r.encode_right(r.GlassRight(member=_BROKE, salt=b"\x77" * 16))
    taken = r.encode_right(r.GlassRight(member=_BROKE, takes=(r.right_id(given),), salt=b"\x78" * 16))
    return {
        "given": given.hex(), "right": r.right_id(given).hex(), "taken": taken.hex(),
        "broken": broken.hex(), "id": g.glass_id(broken).hex(), "reason": "found unconscious", "until": _AT + 1,
        "review": review.hex(), "outcome": "FOLLOW_UP", "refused": {why: pack(fields).hex() for why, fields in refused.items()},
    }  # fmt: skip

