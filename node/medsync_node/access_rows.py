"""Which entries concern a subject, from either end: a short tail in memory, the rest inverted in sorted chunks.

Inverting at once would dirty one random page per entry and commit; done for thousands of entries together it costs a
row per subject. The packed rows beside each operation are the truth, so the tail is rebuilt from them at start.
An id is `operation row << 12 | entry index`; newer operations have larger ones.
"""

from __future__ import annotations

import sqlite3
import sys
import threading
from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Sequence
from typing import Final

from medsync_node.rows import INDEX_BITS, unpack_rows

FLUSH_ENTRIES: Final = 32_768  # ids held in memory before they are written as chunks: about 1.5 MB
_CHUNKS_A_STATEMENT: Final = 64
INVERTED_UPTO: Final = "access inverted up to"

Row = tuple[int, int, int]  # index, kind, subject tag


class AccessIndex:
    """One writer calls `load`, `add`, `replace_*` and `flush`; `newest` and `oldest` are safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tail: dict[tuple[int, int], list[int]] = {}
        self._held = 0
        self.upto = 0
        """Operation rows up to here are inverted on disk."""

    def load(self, connection: sqlite3.Connection) -> None:
        """Take up where the last process stopped."""
        found = connection.execute("SELECT value FROM facts WHERE name = ?", (INVERTED_UPTO,)).fetchone()
        self.upto = int.from_bytes(found[0], "big") if found else 0
        later = connection.execute(
            "SELECT id, rows FROM ops WHERE id > ? AND kinds != 0 ORDER BY id", (self.upto,)
        )
        for op_row, packed in later:
            self.add(op_row, unpack_rows(packed))

    @property
    def due(self) -> bool:
        """Whether the tail is long enough to be written out."""
        return self._held >= FLUSH_ENTRIES

    def add(self, op_row: int, rows: Iterable[Row]) -> None:
        """Rows of a newly committed operation."""
        base = op_row << INDEX_BITS
        tail = self._tail
        with self._lock:
            for index, kind, tag in rows:
                ids = tail.get((tag, kind))
                if ids is None:
                    tail[tag, kind] = [base | index]
                else:
                    ids.append(base | index)
                self._held += 1

    def replace_held(self, op_row: int, gone: Iterable[Row], come: Iterable[Row]) -> None:
        """Change rows of an operation that is still in the tail."""
        base = op_row << INDEX_BITS
        with self._lock:
            for index, kind, tag in gone:
                self._tail[tag, kind].remove(base | index)
                self._held -= 1
            for index, kind, tag in come:
                insort(self._tail.setdefault((tag, kind), []), base | index)
                self._held += 1

    def replace_written(
        self, connection: sqlite3.Connection, op_row: int, gone: Iterable[Row], come: Iterable[Row]
    ) -> None:
        """Change rows of an inverted operation, within the caller's transaction."""
        base = op_row << INDEX_BITS
        for index, kind, tag in gone:
            first, ids = _chunk_around(connection, tag, kind, base | index)
            ids.remove(base | index)
            _rewrite(connection, tag, kind, first, ids)
        for index, kind, tag in come:
            first, ids = _chunk_around(connection, tag, kind, base | index)
            ids.insert(bisect_left(ids, base | index), base | index)
            _rewrite(connection, tag, kind, first, ids)

    def flush(self, connection: sqlite3.Connection, upto: int) -> None:
        """Write the tail, which covers operation rows to `upto`, as chunks in one transaction."""
        chunks = [
            value
            for (tag, kind), ids in sorted(self._tail.items())
            if ids
            for value in (tag, kind, ids[0], _pack_ids(ids))
        ]
        connection.execute("BEGIN IMMEDIATE")
        width = 4 * _CHUNKS_A_STATEMENT
        for start in range(0, len(chunks), width):
            part = chunks[start : start + width]
            marks = ",".join(["(?,?,?,?)"] * (len(part) // 4))
            connection.execute(f"INSERT INTO access (tag, kind, first, ids) VALUES {marks}", part)
        connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (INVERTED_UPTO, upto.to_bytes(8, "big")))
        connection.execute("COMMIT")
        with self._lock:
            self._tail = {}
            self._held = 0
            self.upto = upto

    def newest(
        self, reader: sqlite3.Connection, tag: int, kinds: Sequence[int], before: int, limit: int
    ) -> list[int]:
        """Up to `limit` ids below `before`, descending."""
        found: set[int] = set()
        with self._lock:  # the tail first: what is flushed between is then seen twice, never missed
            for kind in kinds:
                ids = self._tail.get((tag, kind), ())
                end = bisect_left(ids, before)
                found.update(ids[max(0, end - limit) : end])
        for kind in kinds:
            found.update(_newest_written(reader, tag, kind, before, limit))
        return sorted(found, reverse=True)[:limit]


    def oldest(
        self, reader: sqlite3.Connection, tag: int, kinds: Sequence[int], after: int, limit: int
    ) -> list[int]:
        """Up to `limit` ids above `after`, ascending."""
        found: set[int] = set()
        with self._lock:  # as in `newest`
            for kind in kinds:
                ids = self._tail.get((tag, kind), ())
                start = bisect_right(ids, after)
                found.update(ids[start : start + limit])
        for kind in kinds:
            found.update(_oldest_written(reader, tag, kind, after, limit))
        return sorted(found)[:limit]


def _newest_written(
    reader: sqlite3.Connection, tag: int, kind: int, before: int, limit: int
) -> list[int]:
    found: list[int] = []
    chunks = reader.execute(
        "SELECT ids FROM access WHERE tag = ? AND kind = ? AND first < ? ORDER BY first DESC", (tag, kind, before)
    )
    for (packed,) in chunks:
        ids = unpack_ids(packed)
        end = bisect_left(ids, before)
        found.extend(reversed(ids[max(0, end - (limit - len(found))) : end]))
        if len(found) >= limit:
            break
    return found


def _oldest_written(
    reader: sqlite3.Connection, tag: int, kind: int, after: int, limit: int
) -> list[int]:
    found: list[int] = []
    chunks = reader.execute(
        "SELECT ids FROM access WHERE tag = ?1 AND kind = ?2 AND first >= COALESCE((SELECT max(first) FROM access"
        " WHERE tag = ?1 AND kind = ?2 AND first <= ?3), ?3) ORDER BY first",
        (tag, kind, after),
    )
    for (packed,) in chunks:
        ids = unpack_ids(packed)
        start = bisect_right(ids, after)
        found.extend(ids[start : start + limit - len(found)])
        if len(found) >= limit:
            break
    return found


def _chunk_around(connection: sqlite3.Connection, tag: int, kind: int, number: int) -> tuple[int, list[int]]:
    row = connection.execute(
        "SELECT first, ids FROM access WHERE tag = ? AND kind = ? AND first <= ? ORDER BY first DESC LIMIT 1",
        (tag, kind, number),
    ).fetchone()
    return (row[0], unpack_ids(row[1])) if row else (number, [])


def _rewrite(connection: sqlite3.Connection, tag: int, kind: int, first: int, ids: list[int]) -> None:
    if ids:
        connection.execute(
            "INSERT OR REPLACE INTO access (tag, kind, first, ids) VALUES (?, ?, ?, ?)",
            (tag, kind, first, _pack_ids(ids)),
        )
    else:
        connection.execute(
            "DELETE FROM access WHERE tag = ? AND kind = ? AND first = ?", (tag, kind, first)
        )


def _pack_ids(ids: Iterable[int]) -> bytes:
    packed = array("q", ids)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def unpack_ids(packed: bytes) -> list[int]:
    """The ids of a chunk, ascending."""
    ids = array("q")
    ids.frombytes(packed)
    if sys.byteorder == "big":
        ids.byteswap()
    return ids.tolist()
