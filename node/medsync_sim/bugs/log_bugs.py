"""Planted bugs of disk, order and durability."""

from __future__ import annotations

from typing import Any, Final

from medsync_protocol import effects, journal, replica
from medsync_protocol.codec import unpack
from medsync_protocol.errors import Malformed
from medsync_protocol.ids import NETWORK_CONTEXT
from medsync_protocol.journal import Restart, ValueRecord
from medsync_protocol.parking import ParkingLot
from medsync_protocol.sync import Sync
from medsync_sim.bugs.planting import Patch, PlantedBug
from medsync_sim.disk import COMMIT, Disk
from medsync_sim.node import SimNode


def _send_before_commit() -> list[Patch]:
    def commit(self: SimNode, records: list[Any], durable: bool, release: list[Any]) -> None:
        self.release(release)
        if self.up and records:
            lost = durable and self.rng.random() < 0.1  # the crash that comes between, now and then
            if lost:
                self.crash()
                self.world.timeline.after(900, lambda: None if self.up else self.start())
            else:
                self.disk.commit(records, durable)
                self._committed(records)

    return [(SimNode, "_commit", commit)]


def _one_of_two_records() -> list[Patch]:
    """A commit is not atomic: power loss may leave its first records."""

    def half(self: Disk, records: list[Any], durable: bool) -> None:
        for record in records:
            self._log += journal.frame(record)
            self._log += journal.frame(ValueRecord(COMMIT, NETWORK_CONTEXT, b"", b""))

    return [(Disk, "commit", half)]


def _no_crc() -> list[Patch]:
    def recover(log: bytes) -> tuple[list[Any], int]:
        records, at = [], 0
        while at + 8 <= len(log):
            size = int.from_bytes(log[at + 4 : at + 8], "big")
            data = log[at + 8 : at + 8 + size]
            if len(data) < size:
                break
            try:
                records.append(journal._record(unpack(data)))
            except Malformed:
                break
            at += 8 + size
        return records, at

    return [(journal, "recover", recover)]


def _seq_reuse() -> list[Patch]:
    return [(journal, "may_continue", lambda held, now: Restart.CONTINUE)]


def _parked_dropped() -> list[Patch]:
    return [(ParkingLot, "release", lambda self, until: self._waiting.pop(until, []) and [])]


def _no_anti_entropy() -> list[Patch]:
    return [
        (Sync, "round", lambda self, now, choose: []),
        (Sync, "on_vector", _served_once(Sync.on_vector)),
    ]


def _served_once(on_vector: Any) -> Any:
    def once(self: Any, now: int, session: Any, replica: Any, theirs: Any, answer: bool) -> Any:
        return [] if session.sent.get(replica.context) else on_vector(self, now, session, replica, theirs, answer)

    return once


def _rereads_lost() -> list[Patch]:
    restored = replica.Replica.restored

    def forgetful(self: Any) -> Any:
        self._replayed = []
        return restored(self)

    return [(replica.Replica, "restored", forgetful)]


def _not_persisted() -> list[Patch]:
    take = effects.Outbox.take

    def forgetful(self: Any) -> Any:
        records, durable, release = take(self)
        return [r for r in records if getattr(r, "table", "") != "checkpoint"], durable, release

    return [(effects.Outbox, "take", forgetful)]


def _fork_untold() -> list[Patch]:
    return [(Sync, "proofs", lambda self, now, session, replica: iter(()))]


PLANTED: Final = (
    PlantedBug(name="send-before-commit", about="What leaves a node leaves before it is committed.", scenario="faults", patches=_send_before_commit),
    PlantedBug(name="never-synced", about="A durable commit is not synced, and no boot is noticed.", scenario="rotten-disks", patches=_one_of_two_records),
    PlantedBug(name="no-crc", about="Recovery takes records without looking at their CRC.", scenario="rotten-disks", patches=_no_crc),
    PlantedBug(name="seq-reuse", about="A restored or shortened journal goes on with its chain.", scenario="rotten-disks", patches=_seq_reuse),
    PlantedBug(name="parked-dropped", about="Operations that waited for an earlier one are dropped when it comes.", scenario="faults", patches=_parked_dropped),
    PlantedBug(name="no-anti-entropy", about="A vector is answered once per link, and nobody asks again.", scenario="faults", patches=_no_anti_entropy),
    PlantedBug(name="fork-untold", about="Nobody is shown the other branch of a fork.", scenario="equivocating-author", patches=_fork_untold),
    PlantedBug(name="rereads-lost", about="Recovery forgets what waited for a subject's key (this was a real one).", scenario="faults", patches=_rereads_lost),
    PlantedBug(name="checkpoint-not-kept", about="Accepted checkpoints are not written to the journal.", scenario="faults", patches=_not_persisted),
)  # fmt: skip
