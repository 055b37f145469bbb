"""A process that writes to a store and says what it was told is safe; its parent kills it, or fills its disk.

Usage: store_writer.py JOURNAL (commit one by one, printing each acknowledged seq) | JOURNAL full BYTES (with a limit on
file sizes: write until DiskFull, then once more without the limit).
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from medsync_node.store import Store
from medsync_protocol.errors import DiskFull
from medsync_protocol.journal import ValueRecord
from tests.node.store_records import ACCESS, CONTEXT, KEY, chain, noise, op


def write(path: Path) -> None:
    """Commit for ever; upkeep between."""
    with Store(path, storage_key=KEY) as store:
        seq = sum(1 for record in store.reader.replay() if not isinstance(record, ValueRecord))
        while True:
            batch = [op(seq + n, folds=n % 2 == 0, rows=((0, ACCESS, n),)) for n in range(1 + seq % 7)]
            store.commit([*batch, ValueRecord("t", CONTEXT, b"last", str(seq).encode(), True)], durable=seq % 3 == 0)
            seq += len(batch)
            print(seq, flush=True)
            if seq % 50 < 7:
                store.maintain()


def fill(path: Path, limit: int) -> None:
    """Print how many were acknowledged before the disk was full, and whether the store recovered."""
    with Store(path, storage_key=KEY) as store:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        seq = 0
        try:
            while True:
                store.commit([op(seq, body=noise(seq, size=20_000))], durable=True)
                seq += 1
        except DiskFull as error:
            assert store.full and error.advice
        for _ in range(3):
            try:
                store.commit([op(seq, body=noise(seq, size=20_000))], durable=True)
            except DiskFull:
                continue
            raise AssertionError("acknowledged on a full disk")
        assert len(store.reader.read_ops(CONTEXT, chain(0), 0, seq + 1, 10**9)) == seq, "it still serves what it has"
        store.maintain()
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        store.commit([op(seq, body=noise(seq, size=20_000))], durable=True)
        assert not store.full
        print(seq + 1, flush=True)


if __name__ == "__main__":
    journal = Path(sys.argv[1])
    if len(sys.argv) > 2:
        fill(journal, int(sys.argv[3]))
    else:
        write(journal)
