"""Every row of a journal against its checksum, and its indexes against its rows. What a fault means is the caller's to say."""

from __future__ import annotations

import sqlite3
import struct

from medsync_node.access_rows import INVERTED_UPTO, unpack_ids
from medsync_node.rows import INDEX_BITS, RECORD_COLUMNS, Damaged, check_value, op_record, side_crc, unpack_rows
from medsync_node.schema import CHECKSUMS


def check_rows(connection: sqlite3.Connection) -> int:
    """How many operations there are. Raises Damaged, sqlite3.Error. One snapshot, however much is written meanwhile.

    A journal that was not yet brought to the version with checksums of everything is checked as far as it has some.
    """
    connection.execute("BEGIN")
    verdict: str = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if verdict != "ok":
        raise Damaged(verdict)
    count = _check_operations(connection)
    if connection.execute("PRAGMA user_version").fetchone()[0] >= CHECKSUMS:
        _check_values(connection)
        try:
            _check_access(connection)
        except (TypeError, struct.error) as error:  # SQLite gives back what the page says, whatever the column's type
            raise Damaged(f"a row holds something else than was written: {error}") from error
    return count


def _check_operations(connection: sqlite3.Connection) -> int:
    rows = connection.execute(
        f"SELECT contexts.id, chains.id, {RECORD_COLUMNS} FROM ops LEFT JOIN chains ON ops.chain = chains.n"
        " LEFT JOIN contexts ON chains.context = contexts.n AND ops.context = contexts.n"
    )
    count = 0
    for context, chain, *columns in rows:
        if context is None or chain is None:
            raise Damaged(f"an operation belongs to no chain of its context, seq {columns[0]}")
        op_record(context, chain, columns)
        count += 1
    return count


def _check_access(connection: sqlite3.Connection) -> None:
    """What stands beside operations, and the inverted access rows against those they were made of."""
    found = connection.execute("SELECT value FROM facts WHERE name = ?", (INVERTED_UPTO,)).fetchone()
    upto = int.from_bytes(found[0], "big") if found else 0
    difference = 0  # a sum over the rows beside operations, less that over the inverted ones: in any order
    rows = connection.execute("SELECT id, seq, flags, kinds, rows, moment, side_crc FROM ops")
    for op_row, seq, flags, kinds, packed, moment, crc in rows:
        if side_crc(flags, kinds, packed, moment) != crc:
            raise Damaged(f"what stands beside an operation fails its checksum, seq {seq}")
        if op_row <= upto:
            base = op_row << INDEX_BITS
            difference += sum(hash((tag, kind, base | index)) for index, kind, tag in unpack_rows(packed))
    for tag, kind, packed in connection.execute("SELECT tag, kind, ids FROM access"):
        difference -= sum(hash((tag, kind, number)) for number in unpack_ids(packed))
    if difference:
        raise Damaged("the index of accesses by subject differs from the operations")


def _check_values(connection: sqlite3.Connection) -> None:
    for columns in connection.execute("SELECT crc, at, name, context, key, secret, value FROM named_values"):
        check_value(*columns)
