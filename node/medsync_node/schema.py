"""The database's tables, their version, and how an older one is brought up to date. Reading and writing is store.py's.

Small integers stand for contexts and chains. Access rows are packed beside their operation and, in bulk and later,
inverted by subject (`access_rows.py`), so that a commit only ever appends.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Final

from medsync_node.rows import moment_of, side_crc, value_crc
from medsync_protocol.errors import OperatorError

APPLICATION_ID: Final = 0x4D534A31  # "MSJ1": tells `file` and us that this is a journal of ours
CHECKSUMS: Final = 2  # the version from which on every row of operations and values has one
PAGE_BYTES: Final = 4096  # the fastest of 4, 8, 16 and 32 KiB for single entries, level with 8 for batches

_VERSION_1: Final = """
CREATE TABLE contexts (n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE);
CREATE TABLE chains (n INTEGER PRIMARY KEY, context INTEGER NOT NULL, id BLOB NOT NULL, UNIQUE (context, id));
CREATE TABLE ops (
    id INTEGER PRIMARY KEY, chain INTEGER NOT NULL, seq INTEGER NOT NULL, context INTEGER NOT NULL,
    flags INTEGER NOT NULL, kinds INTEGER NOT NULL, head_crc INTEGER NOT NULL, crc INTEGER NOT NULL,
    header BLOB NOT NULL, signature BLOB NOT NULL, rows BLOB NOT NULL, body BLOB NOT NULL
);
CREATE UNIQUE INDEX ops_by_place ON ops (chain, seq);
CREATE INDEX ops_with_access ON ops (context, id, kinds) WHERE kinds != 0;
CREATE TABLE access (
    tag INTEGER NOT NULL, kind INTEGER NOT NULL, first INTEGER NOT NULL, ids BLOB NOT NULL,
    PRIMARY KEY (tag, kind, first)
) WITHOUT ROWID;
CREATE TABLE named_values (
    at INTEGER NOT NULL, name TEXT NOT NULL, context BLOB NOT NULL, key BLOB NOT NULL, secret INTEGER NOT NULL,
    value BLOB NOT NULL, UNIQUE (name, context, key)
);
CREATE TABLE facts (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
"""

Migration = Callable[[sqlite3.Connection], None]


def _run(script: str) -> Migration:
    def migrate(connection: sqlite3.Connection) -> None:
        for statement in script.split(";"):
            if statement.strip():
                connection.execute(statement)

    return migrate


def _times_and_checksums(connection: sqlite3.Connection) -> None:
    """Version 2: rows of the log in the order of their operations' times; checksums of what had none."""
    connection.create_function("moment_of", 1, moment_of)
    connection.create_function("side_crc", 4, side_crc)
    connection.create_function("value_crc", 6, value_crc)
    for table, column in (("ops", "moment"), ("ops", "side_crc"), ("named_values", "crc")):
        connection.execute(f"ALTER TABLE {table} ADD COLUMN {column} INTEGER NOT NULL DEFAULT 0")
    connection.execute("UPDATE ops SET moment = moment_of(header), side_crc = side_crc(flags, kinds, rows, moment_of(header))")
    connection.execute("UPDATE named_values SET crc = value_crc(at, name, context, key, secret, value)")
    connection.execute("CREATE INDEX ops_by_moment ON ops (context, moment, id, kinds) WHERE kinds != 0")


MIGRATIONS: Final[tuple[Migration, ...]] = (_run(_VERSION_1), _times_and_checksums)
"""Migration n brings version n to n+1. Released ones never change."""


def prepare(connection: sqlite3.Connection, migrations: tuple[Migration, ...] = MIGRATIONS) -> None:
    """Create or migrate. Raises OperatorError for a newer database or a foreign one."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        _found(connection)
    elif connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise OperatorError(
            "the file is a database, but not a journal of MedSync", advice="name another home"
        )
    if version > len(migrations):
        raise OperatorError(
            f"the journal has schema version {version}, this program knows up to {len(migrations)}",
            advice="run the newer medsync that wrote it; going back is not possible",
        )
    for step in range(version, len(migrations)):
        connection.execute("BEGIN IMMEDIATE")
        migrations[step](connection)
        connection.execute(f"PRAGMA user_version = {step + 1}")
        connection.execute("COMMIT")


def _found(connection: sqlite3.Connection) -> None:
    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise OperatorError("the file is a database, but not a journal of MedSync", advice="name another home")
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
