"""Reads what the journal holds: replay at start, operations to serve, access rows page by page, backup, checks."""

from __future__ import annotations

import os
import sqlite3
import threading
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from medsync_node.access_rows import AccessIndex
from medsync_node.authorship import writers
from medsync_node.row_check import check_rows
from medsync_node.rows import (
    FOLDS, INDEX_BITS, MOMENT_MAX, OWN, RECORD_COLUMNS, Damaged, check_value, kinds_mask, moment_of, op_record, unpack_rows,
)  # fmt: skip
from medsync_node.schema import CHECKSUMS
from medsync_protocol.codec import pack
from medsync_protocol.crypto import unseal
from medsync_protocol.errors import Malformed, OperatorError
from medsync_protocol.ids import ChainId, ContextId, DeviceId
from medsync_protocol.journal import Kept, OpRecord, ValueRecord
from medsync_protocol.operation import join

_ID_BITS: Final = 62  # of a position: the moment stands above them
NEWEST: Final = (MOMENT_MAX + 1) << _ID_BITS  # above every position and row id: where paging starts
_MAX_INDEX: Final = (1 << INDEX_BITS) - 1
_ALL: Final = 2**62  # entries: no limit
_ROWS_A_STATEMENT: Final = 500  # parameters of one statement, below any build's limit
_BACKUP_PAGES: Final = 1024  # pages copied at a time; commits go on meanwhile


class JournalDamaged(OperatorError):
    """A row failed its checksum, or a secret value does not open."""


@dataclass(frozen=True, slots=True)
class AccessRow:
    """Where an access entry stands: `id` is the paging cursor, `wire` its whole operation as held.

    From the newest on, `id` is a position, `moment << 62 | number`: one order for all pages, whatever arrived when.
    In order of arrival it is the number alone.
    """

    id: int
    wire: bytes
    index: int


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes on disk and how many operations."""

    operations: int
    journal_bytes: int
    log_bytes: int


class StoreReader:
    """Its own connection, one call at a time. Use through `Store.reader`."""

    def __init__(self, path: Path, *, storage_key: bytes, index: AccessIndex) -> None:
        self._path = path
        self._storage_key = storage_key
        self._index = index
        self._lock = threading.Lock()
        self._connection = _connect(path)
        self._chains: dict[tuple[ContextId, ChainId], int] = {}
        self._ordered: tuple[list[int], list[int]] = ([], [])

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.close()

    # -- start ------------------------------------------------------------------------------------------------

    def replay(self) -> Iterator[Kept]:
        """Every record in commit order; bodies of data operations only where they fold, rows never.

        Raises JournalDamaged.
        """
        connection = _connect(self._path)
        try:
            values = self._values(connection)
            at, value = next(values, (NEWEST, None))
            for number, op in self._ops(connection):
                while value is not None and at < number:
                    yield value
                    at, value = next(values, (NEWEST, None))
                yield op
            while value is not None:
                yield value
                at, value = next(values, (NEWEST, None))
        except sqlite3.DatabaseError as error:
            raise _damaged(str(error)) from error
        finally:
            connection.close()

    def _ops(self, connection: sqlite3.Connection) -> Iterator[tuple[int, OpRecord]]:
        chains = {
            n: (ContextId(context), ChainId(chain))
            for n, context, chain in connection.execute(
                "SELECT chains.n, contexts.id, chains.id FROM chains JOIN contexts ON context = contexts.n"
            )
        }
        rows = connection.execute(
            "SELECT id, chain, seq, flags, head_crc, crc, header, signature,"
            f" CASE WHEN flags & {FOLDS} THEN body END FROM ops ORDER BY id"
        )
        for number, chain, *columns in rows:
            yield number, _record(*chains[chain], columns)

    def _values(self, connection: sqlite3.Connection) -> Iterator[tuple[int, ValueRecord]]:
        summed = _version(connection) >= CHECKSUMS
        rows = connection.execute(
            f"SELECT {'crc' if summed else '0'}, at, name, context, key, secret, value FROM named_values ORDER BY at"
        )
        for crc, at, name, context, key, secret, value in rows:
            if summed:
                _check_value(crc, at, name, context, key, secret, value)
            if secret:
                value = self._unseal(name, context, key, value)
            yield at, ValueRecord(name, ContextId(context), key, value, bool(secret))

    def _unseal(self, name: str, context: bytes, key: bytes, value: bytes) -> bytes:
        try:
            return unseal(self._storage_key, value, secret_place(name, context, key))
        except Malformed as error:
            raise JournalDamaged(
                f"a secret value of the table {name!r} does not open under this home's key",
                advice="the key file and the journal belong to different homes, or the journal is damaged",
            ) from error

    # -- operations -------------------------------------------------------------------------------------------

    def read_ops(
        self, context: ContextId, chain: ChainId, first: int, end: int, limit_bytes: int
    ) -> list[bytes]:
        """Wire forms of the held first ≤ seq < end, up to `limit_bytes` together, but at least one if any is held."""
        wires: list[bytes] = []
        size = 0
        with self._lock:
            number = self._chain(context, chain)
            rows = self._connection.execute(
                f"SELECT {RECORD_COLUMNS} FROM ops WHERE chain = ? AND seq >= ? AND seq < ? ORDER BY seq",
                (number, first, end),
            )
            for columns in rows:
                wire = _wire(_record(context, chain, columns))
                size += len(wire)
                if wires and size > limit_bytes:
                    break
                wires.append(wire)
        return wires

    def read_op(self, context: ContextId, chain: ChainId, seq: int) -> bytes | None:
        """Wire form of one held operation; None when it is not held."""
        wires = self.read_ops(context, chain, seq, seq + 1, 0)
        return wires[0] if wires else None

    def _chain(self, context: ContextId, chain: ChainId) -> int:
        number = self._chains.get((context, chain))
        if number is None:
            row = self._connection.execute(
                "SELECT chains.n FROM chains JOIN contexts ON context = contexts.n WHERE contexts.id = ? AND chains.id = ?",
                (context, chain),
            ).fetchone()
            if row is None:
                return -1
            number = self._chains[context, chain] = row[0]
        return number

    def log_nodes(self, context: ContextId) -> bytes:
        """Nodes of the log of all accepted checkpoints, in storage order: what `log.Log` restores from."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT value FROM named_values WHERE name = 'log' AND context = ? ORDER BY key", (context,)
            ).fetchall()
        return b"".join(value for (value,) in rows)

    def own_operations(self) -> int:
        """How many operations this home wrote, under any incarnation."""
        with self._lock:
            count: int = self._connection.execute(
                f"SELECT count(*) FROM ops WHERE flags & {OWN}"
            ).fetchone()[0]
        return count

    def own_devices(self) -> frozenset[DeviceId]:
        """The devices under which this home wrote."""
        with self._lock:
            return writers(self._connection)

    # -- access rows ------------------------------------------------------------------------------------------

    def access_rows(
        self, context: ContextId, kinds: Sequence[int], subject_tag: int | None, *, before: int = NEWEST, limit: int
    ) -> list[AccessRow]:
        """Entries of these kinds, newest first by their operations' times, with positions below `before`.

        Of one subject, or of the whole context. What arrived late stands where it belongs, not where it came.
        """
        before = min(before, NEWEST)
        with self._lock:
            if subject_tag is None:
                found = self._newest_of_context(context, kinds, before, limit)
            else:
                found = self._newest_of_subject(subject_tag, kinds, before, limit)
            wires = {op_row: self._wire_of(op_row) for op_row in {_op_row(position) for position in found}}
        return [AccessRow(position, wires[_op_row(position)], position & _MAX_INDEX) for position in found]

    def access_rows_after(
        self, context: ContextId, kinds: Sequence[int], subject_tag: int | None, *, after: int, limit: int
    ) -> list[AccessRow]:
        """The same in order of arrival: what came first is first, with numbers above `after`."""
        with self._lock:
            if subject_tag is None:
                ids = self._oldest_of_context(context, kinds, after, limit)
            else:
                ids = self._index.oldest(self._connection, subject_tag, kinds, after, limit)
            wires = {op_row: self._wire_of(op_row) for op_row in {number >> INDEX_BITS for number in ids}}
        return [AccessRow(number, wires[number >> INDEX_BITS], number & _MAX_INDEX) for number in ids]

    def last_row(self) -> int:
        """An id that no entry committed so far is above."""
        with self._lock:
            newest: int | None = self._connection.execute("SELECT max(id) FROM ops").fetchone()[0]
        return (newest or 0) << INDEX_BITS | _MAX_INDEX

    def wires_about(self, context: ContextId, subject_tag: int) -> list[bytes]:
        """Every operation with an indexed entry of one subject."""
        kinds, found, after = list(range(64)), dict[int, bytes](), 0
        while rows := self.access_rows_after(context, kinds, subject_tag, after=after, limit=256):
            found.update((row.id >> INDEX_BITS, row.wire) for row in rows)
            after = rows[-1].id
        return list(found.values())

    def _newest_of_subject(self, tag: int, kinds: Sequence[int], before: int, limit: int) -> list[int]:
        """All numbers of one subject are a few bytes each; the moments of their operations order them.

        The last order is kept: who turns pages asks for the same again. An operation's row keeps its header while it is there,
        and its number is never given again.
        """
        numbers = self._index.newest(self._connection, tag, kinds, 1 << _ID_BITS, _ALL)
        if numbers != self._ordered[0]:
            moments = self._moments(sorted({number >> INDEX_BITS for number in numbers}))
            self._ordered = numbers, sorted(moments[number >> INDEX_BITS] << _ID_BITS | number for number in numbers)
        positions = self._ordered[1]
        end = bisect_left(positions, before)
        return positions[max(0, end - limit) : end][::-1]

    def _moments(self, op_rows: Sequence[int]) -> dict[int, int]:
        found: dict[int, int] = {}
        for start in range(0, len(op_rows), _ROWS_A_STATEMENT):
            part = op_rows[start : start + _ROWS_A_STATEMENT]
            marks = ",".join("?" * len(part))  # of the header: the column lies behind the body
            rows = self._connection.execute(f"SELECT id, header FROM ops WHERE id IN ({marks})", part)
            found.update((op_row, moment_of(header)) for op_row, header in rows)
        return found

    def _newest_of_context(
        self, context: ContextId, kinds: Sequence[int], before: int, limit: int
    ) -> list[int]:
        found: list[int] = []
        rows = self._connection.execute(
            "SELECT moment, id, rows FROM ops WHERE context = (SELECT n FROM contexts WHERE id = ?) AND (moment, id) <= (?, ?)"
            " AND kinds != 0 AND kinds & ? ORDER BY moment DESC, id DESC",
            (context, before >> _ID_BITS, _op_row(before), kinds_mask(kinds)),
        )
        for moment, op_row, packed in rows:
            indexes = sorted((index for index, kind, _ in unpack_rows(packed) if kind in kinds), reverse=True)
            positions = [moment << _ID_BITS | op_row << INDEX_BITS | index for index in indexes]
            found += [position for position in positions if position < before]
            if len(found) >= limit:
                break
        return found[:limit]

    def _oldest_of_context(
        self, context: ContextId, kinds: Sequence[int], after: int, limit: int
    ) -> list[int]:
        found: list[int] = []
        rows = self._connection.execute(
            "SELECT id, rows FROM ops WHERE context = (SELECT n FROM contexts WHERE id = ?) AND id >= ?"
            " AND kinds != 0 AND kinds & ? ORDER BY id",
            (context, after >> INDEX_BITS, kinds_mask(kinds)),
        )
        for op_row, packed in rows:
            indexes = sorted(index for index, kind, _ in unpack_rows(packed) if kind in kinds)
            found += [number for number in (op_row << INDEX_BITS | index for index in indexes) if number > after]
            if len(found) >= limit:
                break
        return found[:limit]

    def _wire_of(self, op_row: int) -> bytes:
        context, chain, *columns = self._connection.execute(
            f"SELECT contexts.id, chains.id, {RECORD_COLUMNS} FROM ops JOIN chains ON ops.chain = chains.n"
            " JOIN contexts ON chains.context = contexts.n WHERE ops.id = ?",
            (op_row,),
        ).fetchone()
        return _wire(_record(context, chain, columns))

    # -- upkeep -----------------------------------------------------------------------------------------------

    def sizes(self) -> Sizes:
        """What lies on the disk."""
        with self._lock:
            ends = self._connection.execute(
                "SELECT (SELECT max(seq) FROM ops WHERE chain = n) FROM chains"
            ).fetchall()
        log = self._path.with_name(self._path.name + "-wal")
        return Sizes(
            sum(end + 1 for (end,) in ends if end is not None),
            self._path.stat().st_size,
            log.stat().st_size if log.exists() else 0,
        )

    def check(self) -> int:
        """Read every row against its checksum, and indexes against rows; how many operations. Raises JournalDamaged."""
        connection = _connect(self._path)
        try:
            return check_rows(connection)
        except Damaged as error:
            raise _damaged(str(error)) from error
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # the second: of the schema's text
            raise _damaged(str(error)) from error
        finally:
            connection.close()

    def backup(self, target: Path) -> None:
        """A consistent copy of everything committed, mode 0600, while commits go on. `target` must not exist.

        Holds values sealed under the home's key. A restored copy goes on under a new incarnation.
        """
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        source, copy = _connect(self._path), sqlite3.connect(target)
        try:
            source.execute("BEGIN")  # one snapshot: else a commit between two steps would start the copy again
            source.execute("SELECT count(*) FROM sqlite_master").fetchone()
            source.backup(copy, pages=_BACKUP_PAGES)
            copy.execute("PRAGMA journal_mode = DELETE")
        finally:
            copy.close()
            source.close()
        descriptor = os.open(target, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def _op_row(position: int) -> int:
    return (position & (1 << _ID_BITS) - 1) >> INDEX_BITS


def secret_place(name: str, context: bytes, key: bytes) -> bytes:
    """Associated data of a secret value: it opens only where it was put."""
    return pack([name, context, key])


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    connection.execute("PRAGMA query_only = ON")
    return connection


def _record(context: ContextId, chain: ChainId, columns: Any) -> OpRecord:
    try:
        return op_record(context, chain, columns)
    except Damaged as error:
        raise _damaged(str(error)) from error


def _check_value(*columns: Any) -> None:
    try:
        check_value(*columns)
    except Damaged as error:
        raise _damaged(str(error)) from error


def _wire(record: OpRecord) -> bytes:
    return join(record.header, record.signature, record.body)


def _damaged(what: str) -> JournalDamaged:
    return JournalDamaged(
        f"the journal is damaged: {what}",
        advice="check the disk; then restore a backup, or start an empty home and join again: members hold the operations",
    )
