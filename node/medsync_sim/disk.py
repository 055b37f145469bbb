"""A disk under the protocol's framing: committed records, and what power loss, bit-rot and lack of space do to them.

Framing, CRC and recovery are `medsync_protocol.journal`'s, the very code that is on trial.
"""

from __future__ import annotations

from random import Random
from typing import Any, Final

from medsync_protocol import journal
from medsync_protocol.codec import pack
from medsync_protocol.errors import DiskFull
from medsync_protocol.ids import NETWORK_CONTEXT
from medsync_protocol.journal import Kept, OpRecord, Record, Rewind, ValueRecord

COMMIT: Final = "commit"  # table of the record that ends a commit: without it what stands before never happened


class Disk:
    """An append-only log. `syncs`: whether a durable commit reaches the platter (else fsync is lost, as many disks do)."""

    def __init__(self, log: bytes = b"", *, syncs: bool = True) -> None:
        self._log = bytearray(log)
        self._synced = len(log)
        self._torn = False  # the power went since the last recovery
        self.syncs = syncs
        self.full = False
        self.file = 0  # which file it is: a restored or repaired one is another
        self.boot = 0  # of the machine

    def commit(self, records: list[Record], durable: bool) -> None:
        """All of these or none. Raises DiskFull."""
        if self.full:
            raise DiskFull("the virtual disk is full", advice="free space")
        for record in records:
            self._log += journal.frame(record)
        self._log += journal.frame(ValueRecord(COMMIT, NETWORK_CONTEXT, b"", b""))
        if durable and self.syncs:
            self._synced = len(self._log)

    def identity(self) -> bytes:
        """As `Home.journal_identity`: without fsync a boot may have lost own operations, so it counts too."""
        return pack([self.file, 0 if self.syncs else self.boot])

    def image(self) -> bytes:
        """A copy, for a backup."""
        return bytes(self._log)

    def intact(self) -> bool:
        """Whether every record to the last byte can be read."""
        return journal.recover(bytes(self._log))[1] == len(self._log)

    def restore(self, image: bytes) -> None:
        """A backup takes the place of what there was: another file."""
        self._log = bytearray(image)
        self._synced = len(image)
        self.file += 1

    def lose_power(self, rng: Random) -> bool:
        """Of what was not synced a random part stays, perhaps torn in the middle. Whether anything was lost."""
        length = len(self._log)
        keep = rng.randint(self._synced, length)
        del self._log[keep:]
        self._torn = True
        if keep > self._synced and rng.random() < 0.5:
            self._log[rng.randrange(self._synced, keep)] ^= 1 << rng.randrange(8)
        self.boot += 1
        return keep < length

    def rot(self, rng: Random) -> None:
        """One bit flips somewhere."""
        if self._log:
            self._log[rng.randrange(len(self._log))] ^= 1 << rng.randrange(8)

    def read(self) -> list[Record]:
        """Whole commits of the longest intact prefix; the rest is cut off. A log cut short is set aside: another file."""
        records, _ = journal.recover(bytes(self._log))
        last = max((i for i, r in enumerate(records) if is_commit(r)), default=-1)
        kept = records[: last + 1]
        length = sum(len(journal.frame(record)) for record in kept)
        rotten = length < len(self._log) and not self._torn
        if length < self._synced or rotten:
            self.file += 1  # what was written is gone: the operator is told, the chain must not go on
        self._torn = False
        del self._log[length:]
        self._synced = length
        return [record for record in kept if not is_commit(record)]

    def replay(self) -> list[Kept]:
        """As a store gives them back: of each the last version, in order."""
        held: dict[Any, Kept] = {}
        for record in self.read():
            if isinstance(record, OpRecord):
                key: Any = (record.context, record.chain, record.seq)
                if record.replaces:
                    held[key] = record
                    continue
            elif isinstance(record, Rewind):
                place, seq = (record.context, record.chain), record.first
                while held.pop((*place, seq), None) is not None:
                    seq += 1
                continue
            else:
                key = (record.table, record.context, record.key)
                held.pop(key, None)
                if record.value is None:
                    continue
            held[key] = record
        return list(held.values())


def is_commit(record: Record) -> bool:
    """Whether the record only ends a commit."""
    return isinstance(record, ValueRecord) and record.table == COMMIT
