"""Checks and times in a person's words; what the command line says too is medsync_node/words.py's and consent_words.py's.

What they mean is the protocol's; nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from medsync_node.consent_words import ACTIONS, PURPOSES, moment, purpose, sentence, standing
from medsync_node.words import answer, column, half, level, review, voters, votes

__all__ = [
    "ACTIONS", "CHECKS", "PURPOSES", "answer", "checked", "column", "half", "iso", "level", "moment", "purpose", "review", "sentence", "standing",
    "voters", "votes",
]  # fmt: skip

CHECKS: Final[Mapping[str, str]] = {
    "signature": "its signature verifies", "context": "it was signed for this context",
    "held_by_an_effective_operation": "an operation that counts carries it", "signer_may": "its signer may say this",
    "carried_in_time": "it was recorded soon after it was signed", "counts": "all it says counts",
    "not_taken_back": "it was neither revoked nor superseded", "in_force": "it is in force now",
    "held_by_a_majority_of_homes": "a majority of the record's homes holds it",
    "complete": "every operation is there", "encoding": "every operation is well-formed",
    "chain": "every chain is unbroken", "same_as_in_memory": "the disk holds what memory does",
}  # fmt: skip


def iso(millis: int) -> str:
    """The same for programs: what `<time datetime>` wants."""
    return datetime.fromtimestamp(millis / 1000, UTC).isoformat()


def checked(name: str) -> str:
    """What a check looked at."""
    return CHECKS.get(name, name.replace("_", " "))
