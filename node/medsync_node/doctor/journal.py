"""Whether the journal is one of ours, undamaged, of a version known here, and not newer than this machine's clock."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from medsync_node.access_rows import AccessIndex
from medsync_node.doctor.finding import Examined, Finding, Findings
from medsync_node.schema import APPLICATION_ID, MIGRATIONS
from medsync_node.store_reader import StoreReader
from medsync_protocol.errors import Malformed, OperatorError
from medsync_protocol.operation import decode_header

SKEW_MS: Final = 2 * 60_000  # PROTOCOL §7: what a clock may be off before decisions answer INDETERMINATE
_LAST: Final = "SELECT header FROM ops WHERE id IN (SELECT max(id) FROM ops GROUP BY chain)"


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """The journal for reading, beside a daemon that writes. Raises sqlite3.Error."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=5.0)) as connection:
        connection.execute("PRAGMA query_only = ON")
        yield connection


def check_journal(examined: Examined) -> Findings:
    """Format, schema version, checksums of all rows (`thorough`), and the newest operations' time against the clock."""
    path = examined.home.journal_file
    if not path.exists():
        return
    try:
        with reading(path) as connection:
            application: int = connection.execute("PRAGMA application_id").fetchone()[0]
            version: int = connection.execute("PRAGMA user_version").fetchone()[0]
            if version and application != APPLICATION_ID:
                yield Finding(
                    code="journal_foreign", what="journal.db is a database, but not a journal of MedSync",
                    advice="name the right home with --home, or restore a backup",
                )  # fmt: skip
                return
            if version > len(MIGRATIONS):
                yield Finding(
                    code="version_skew",
                    what=f"the journal has schema version {version}, this program knows up to {len(MIGRATIONS)}",
                    advice="install the newer medsync that wrote it; going back is not possible",
                )
                return
            newest = max(_times(connection), default=0)
        if examined.thorough and version:
            check_rows(path)
    except sqlite3.Error as error:
        yield Finding(
            code="journal_damaged", what=f"the journal can't be read: {error}",
            advice="check the disk; `medsync backup restore`, or start an empty home and join again",
        )  # fmt: skip
        return
    except OperatorError as error:
        yield Finding.of("journal_damaged", error)
        return
    if newest > examined.now + SKEW_MS:
        yield Finding(
            code="clock",
            what=f"the journal holds operations from {(newest - examined.now) // 1000} s after this machine's time",
            advice="set the clock (timedatectl; chronyc makestep): it is behind, or was ahead when they were written",
        )


def check_rows(path: Path) -> int:
    """Read every row against its checksum; how many operations. Raises JournalDamaged."""
    reader = StoreReader(path, storage_key=b"", index=AccessIndex())  # checks open no secret and no index
    try:
        return reader.check()
    finally:
        reader.close()


def _times(connection: sqlite3.Connection) -> Iterator[int]:
    if not connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'ops'").fetchone()[0]:
        return
    for (header,) in connection.execute(_LAST):
        try:
            yield decode_header(header).hlc >> 16
        except Malformed:
            continue  # the checksums tell, and better
