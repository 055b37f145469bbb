"""What the command line and the dashboard both call what the API names by codes: one table, so that they never differ.

JSON keeps the codes. Sentences about consents are dashboard/words.py's; what the words mean is the protocol's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

HALVES: Final[Mapping[str, str]] = {
    "requested": "asked for", "disclosed": "released", "refused": "refused", "break-glass": "glass broken",
    "log-read": "log was read",
}  # fmt: skip
"""What an entry of the access log is."""
ANSWERS: Final[Mapping[str, str]] = {
    "PERMIT": "permitted", "DENY": "denied", "NO_CONSENT": "no consent covers it", "INDETERMINATE": "could not be decided",
    "ERASED": "the record is erased",
}  # fmt: skip
"""What was decided."""
REVIEWS: Final[Mapping[str, str]] = {
    "open": "to be reviewed", "follow-up": "needs follow-up", "justified": "justified", "not-justified": "not justified",
}  # fmt: skip
"""How far the review of a broken glass is, and what came of it."""
LEVELS: Final[Mapping[str, str]] = {
    "local": "here only", "replicated": "at others too", "signed": "signed", "accepted": "accepted", "settled": "settled",
}  # fmt: skip
"""How far an operation or a checkpoint is; from `settled` on nothing can change it."""
COLUMNS: Final[Mapping[str, str]] = {
    "parked": "waiting", "waits_for": "waits for", "epoch": "key epoch", "effective": "counts", "connected": "linked",
    "half": "what", "reviews_open": "to be reviewed", "reviews_overdue": "of them overdue", "clock_offset_ms": "homes' clocks ahead (ms)", "backlog": "to be sent",
}  # fmt: skip
"""Headings of tables whose columns are fields; others are their name without underscores."""


def half(code: str) -> str:
    """What half of an access an entry is."""
    return HALVES.get(code, code)


def answer(code: str) -> str:
    """What was decided."""
    return ANSWERS.get(code, code)


def review(code: str) -> str:
    """How far a review is, or what it found."""
    return REVIEWS.get(code, code)


def level(code: str) -> str:
    """How far something is."""
    return LEVELS.get(code, code)


def column(field: str) -> str:
    """The heading of a field's column."""
    return COLUMNS.get(field, field.replace("_", " "))
