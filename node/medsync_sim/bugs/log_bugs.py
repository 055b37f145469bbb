"""Planted bugs of disk, order and durability."""

from __future__ import annotations

from typing import Any, Final

from medsync_protocol import effects, engine, journal, replica
from medsync_protocol.chains import Chains
from medsync_protocol.codec import unpack
from medsync_protocol.effects import Persist
from medsync_protocol.errors import Malformed
from medsync_protocol.journal import Restart
from medsync_protocol.parking import ParkingLot
from medsync_sim.bugs.planting import Patch, PlantedBug
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


def _duplicate_twice() -> list[Patch]:
    receive = replica.Replica.receive

    def twice(self: Any, now: int, wire: bytes, *, own: bool = False) -> Any:
        application = self.application
        before = None if application is None else application.fold
        folded = receive(self, now, wire, own=own)
        if not folded and before is not None:
            self._clock += 1
            for entries in list(self._folded.values())[-1:]:
                for entry in entries:
                    application._changed(entry.subject) if entry.subject else None
                    self._folded.setdefault((entry.chain, entry.seq + 1_000_000), []).append(entry)
                    self.labels.setdefault((entry.chain, entry.seq + 1), self.labels.get((entry.chain, entry.seq), ()))
        return folded

    return [(replica.Replica, "receive", twice)]


def _parked_dropped() -> list[Patch]:
    return [(ParkingLot, "release", lambda self, until: self._waiting.pop(until, []) and [])]


def _no_anti_entropy() -> list[Patch]:
    from medsync_protocol.sync import Sync

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


def _vector_off_by_one() -> list[Patch]:
    vector = Chains.vector

    def short(self: Chains) -> dict[Any, int]:
        return {chain: max(count - (count > 9), 0) for chain, count in vector(self).items()}

    return [(Chains, "vector", short)]


def _not_persisted() -> list[Patch]:
    take = effects.Outbox.take

    def forgetful(self: Any) -> Any:
        records, durable, release = take(self)
        return [r for r in records if getattr(r, "table", "") != "checkpoint"], durable, release

    return [(effects.Outbox, "take", forgetful)]


PLANTED: Final = (
    PlantedBug(name="send-before-commit", about="What leaves a node leaves before it is committed.", scenario="faults", patches=_send_before_commit),
    PlantedBug(name="no-crc", about="Recovery takes records without looking at their CRC.", scenario="rot", patches=_no_crc),
    PlantedBug(name="seq-reuse", about="A restored or shortened journal goes on with its chain.", scenario="faults", patches=_seq_reuse),
    PlantedBug(name="parked-dropped", about="Operations that waited for an earlier one are dropped when it comes.", scenario="faults", patches=_parked_dropped),
    PlantedBug(name="no-anti-entropy", about="A vector is answered once per link, and nobody asks again.", scenario="faults", patches=_no_anti_entropy),
    PlantedBug(name="rereads-lost", about="Recovery forgets what waited for a subject's key (this was a real one).", scenario="faults", patches=_rereads_lost),
    PlantedBug(name="checkpoint-not-kept", about="Accepted checkpoints are not written to the journal.", scenario="faults", patches=_not_persisted),
)  # fmt: skip
__all__ = ["PLANTED", "Persist", "engine"]
