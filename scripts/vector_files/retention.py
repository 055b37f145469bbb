"""Month keys: the payload, what stands for one, and when it ends."""

from __future__ import annotations

from typing import Any

from medsync_protocol.codec import pack, unpack
from medsync_protocol.ids import MemberId
from medsync_protocol.retention import MonthKey, RetentionBook, month_of, month_text

from scripts.vector_files.cast import CONTEXT, NETWORK, vector


@vector
def retention() -> Any:
    """A key of January 2027, rows of which are kept for 72 months."""
    month = month_of(1_800_000_000_000)
    made = MonthKey(member=MemberId(b"\x33" * 32), month=month, key=b"\x44" * 32)
    version, member, number, key = unpack(made.encode())
    refused = {"a version of none": [2, member, number, key], "a short key": [version, member, number, key[:31]]}
    return {
        "payload": made.encode().hex(), "ref": made.ref(NETWORK, CONTEXT).hex(), "month": month, "text": month_text(month),
        "ends": RetentionBook(NETWORK, CONTEXT, 72).ends(month),
        "refused": {why: pack(fields).hex() for why, fields in refused.items()},
    }  # fmt: skip
