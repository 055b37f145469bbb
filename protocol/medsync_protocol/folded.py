"""What of a context was folded into its application, kept so that it can be folded again under another verdict (PROTOCOL §2).

Which verdict an operation has is verdicts.py's; what the entries mean is the application's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from medsync_protocol.application import Application, OpenedEntry
from medsync_protocol.ids import MemberId, Place
from medsync_protocol.kinds import Verdict



class Folded:
    """One replica's. Without an application nothing is folded."""

    def __init__(self, application: Application | None) -> None:
        self._application = application
        self._kept: dict[Place, list[OpenedEntry]] = {}

    def fold(self, place: Place, entries: Sequence[OpenedEntry], verdict: Verdict) -> None:
        """Fold an operation's entries, in place of what was folded of it before."""
        if self._application is None or not entries:
            return
        for entry in entries:
            self._application.fold(entry, verdict)
        self._kept[place] = list(entries)

    def again(self, place: Place, verdict: Verdict, author: MemberId | None = None) -> None:
        """Its verdict is another now, and perhaps whose word it is."""
        kept = self._kept.get(place, ())
        self.fold(place, kept if author is None else [replace(entry, author=author) for entry in kept], verdict)

    def forget(self, gone: Callable[[OpenedEntry], bool]) -> list[Place]:
        """A subject's key was destroyed: so is what was kept of these entries; the operations that lost some."""
        left = {place: [e for e in kept if not gone(e)] for place, kept in self._kept.items()}
        lost = [place for place, kept in left.items() if len(kept) < len(self._kept[place])]
        self._kept = left
        return lost

    def drop(self, place: Place) -> None:
        """Another operation takes this place."""
        self.again(place, Verdict.VOID_FORK)
        self._kept.pop(place, None)
