"""Planted bugs of erasure: what is destroyed too early, not at all, or comes back."""

from __future__ import annotations

from typing import Any, Final

from medsync_protocol import erasing, erasure
from medsync_protocol.consent import MedSyncApplication
from medsync_protocol.erasure import ErasureBook
from medsync_protocol.folded import Folded
from medsync_protocol.opening import Opened, Opener
from medsync_protocol.subject_file import SubjectFile
from medsync_sim.bugs.planting import Patch, PlantedBug


class _Everything(dict[Any, int]):
    """A cut that holds all there is."""

    def get(self, chain: Any, default: Any = None) -> int:
        return 1 << 50


def _before_settled() -> list[Patch]:
    erasable = MedSyncApplication.erasable

    def at_once(self: MedSyncApplication) -> Any:
        final, self._final = self._final, _Everything()
        try:
            return erasable(self)
        finally:
            self._final = final

    return [(MedSyncApplication, "erasable", at_once)]


def _hold_ignored() -> list[Patch]:
    return [(ErasureBook, "holds", lambda self, *about: {})]


def _one_custodian() -> list[Patch]:
    return [(erasure, "ORDERING_CUSTODIANS", 1)]


def _still_shown() -> list[Patch]:
    return [(MedSyncApplication, "hidden", lambda self, subject: subject in self._closed)]


def _not_reapplied() -> list[Patch]:
    """Neither by the journal nor by its own word in the log, which would do instead."""
    replay = erasing.replay
    places = (erasing, "replay", lambda replica, record: replay(replica, record) if record.table == "erased_at" else [])
    return [places, *_by_others_ignored()]


def _taken_again() -> list[Patch]:
    return [(erasing, "concerns_closed", lambda replica, entries: False)]


def _buried_kept() -> list[Patch]:
    read = Opener.open

    def careless(self: Opener, *what: Any) -> Opened:
        opened = read(self, *what)
        return Opened(opened.entries, opened.labels, opened.waits)

    return [(Opener, "open", careless)]


def _notes_kept() -> list[Patch]:
    forget = Folded.forget

    def silently(self: Folded, gone: Any) -> list[Any]:
        forget(self, gone)
        return []

    return [(Folded, "forget", silently)]


def _by_others_ignored() -> list[Patch]:
    return [(erasing, "_carried_out", lambda replica, application: {})]


def _taken_back() -> list[Patch]:
    return [(SubjectFile, "judged_by", lambda self, chain, seq, final, cuts: self.standing(final))]


def _lacking_unsaid() -> list[Patch]:
    told = erasing.told_gone

    def deaf(replica: Any, member: Any, place: Any, *, lacking: bool = False) -> Any:
        return [] if lacking else told(replica, member, place)

    return [(erasing, "told_gone", deaf)]


PLANTED: Final = (
    PlantedBug(name="erase-before-settled", about="An order destroys as soon as it is read.", scenario="erasure", patches=_before_settled),
    PlantedBug(name="hold-ignored", about="A legal hold holds nothing back.", scenario="erasure", patches=_hold_ignored),
    PlantedBug(name="one-custodian", about="A single custodian's order suffices.", scenario="erasure", patches=_one_custodian),
    PlantedBug(name="ordered-still-shown", about="A subject is shown until it is destroyed.", scenario="erasure", patches=_still_shown),
    PlantedBug(name="order-not-reapplied", about="What was destroyed is not closed again at a restart.", scenario="erasure", patches=_not_reapplied),
    PlantedBug(name="taken-again", about="A record that somebody carries again is kept.", scenario="erasure", patches=_taken_again),
    PlantedBug(name="buried-kept", about="Entries that come under a closed pseudonym stay on the disk (a real one).", scenario="erasure", patches=_buried_kept),
    PlantedBug(name="notes-kept", about="Notes about a subject outlive it until the next restart (a real one).", scenario="erasure", patches=_notes_kept),
    PlantedBug(name="others-not-believed", about="Who never had the record waits for it for ever (a real one).", scenario="erasure", patches=_by_others_ignored),
    PlantedBug(name="order-taken-back", about="A custodian takes a patient's order back by dropping its key (a real one).", scenario="erasure", patches=_taken_back),
    PlantedBug(name="lacking-unsaid", about="What most got pruned is waited for for ever (a real one).", scenario="erasure", patches=_lacking_unsaid),
)  # fmt: skip
