"""The application `notes`: plain application bytes, indexed and readable at every member; what a benchmark writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from medsync_protocol.application import OpenedEntry
from medsync_protocol.errors import Refused
from medsync_protocol.ids import MemberId, SubjectRef
from medsync_protocol.kinds import EntryKind, Verdict


class NotesApplication:
    """Holds nothing: the journal indexes the entries, newest first."""

    name = "notes"
    indexed = frozenset({int(EntryKind.NOTE)})

    def fold(self, entry: OpenedEntry, verdict: Verdict) -> None:
        """Other kinds than notes mean nothing here."""

    def subject_keys(self) -> Mapping[SubjectRef, bytes]:
        """Notes are about nobody."""
        return {}

    def parties(self, entry: OpenedEntry) -> Iterable[MemberId]:
        """Notes are for all members."""
        return ()

    def query(self, method: str, arguments: tuple[Any, ...]) -> Any:
        """Raises Refused: the log answers."""
        raise Refused(f"no question {method!r}", code="unknown_method", advice="read the log instead")
