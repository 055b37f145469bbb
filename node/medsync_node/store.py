"""The journal on SQLite: commits lists of records atomically and in order. Reading back is store_reader.py's.

One commit at a time, from whichever thread; `maintain` between commits does what nobody should wait for. A failed
commit acknowledges nothing and leaves nothing: the same records can be committed again when there is space.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NoReturn

from medsync_node.access_rows import AccessIndex, Row
from medsync_node.rows import OP_COLUMN_COUNT, OP_COLUMNS, OWN, op_columns, side_crc, unpack_rows, value_crc
from medsync_node.schema import PAGE_BYTES, prepare
from medsync_node.store_reader import StoreReader, secret_place
from medsync_protocol.crypto import seal
from medsync_protocol.errors import DiskFull, OperatorError
from medsync_protocol.ids import ChainId, ContextId
from medsync_protocol.journal import OpRecord, Record, Rewind, ValueRecord

CHECKPOINT_BYTES: Final = 32 << 20  # in the write-ahead log between checkpoints: bounds it and the time to recover
_COMMIT_BYTES: Final = 5 * PAGE_BYTES  # what a commit adds to the log beyond its records: the trees' last pages
_OPS_A_STATEMENT: Final = 64  # one statement is one release of the interpreter lock, and alone it is one transaction
_INSERT_OP: Final = f"INSERT INTO ops ({OP_COLUMNS}) VALUES "
_MARKS: Final = "(" + ",".join("?" * OP_COLUMN_COUNT) + ")"
_NO_SPACE: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE})  # the second: quota, file size limit


class Synchronous(Enum):
    """Which commits wait for the platter. Whatever the mode, all survive the death of the process."""

    OWN = "own"  # durable ones (own operations): what was sent survives a power loss
    FULL = "full"
    NORMAL = "normal"  # none: after a power loss the node goes on under a new incarnation


class DiskReadOnly(DiskFull):
    """The disk takes no writes, as Linux makes one that fails: nothing was acknowledged, as on one without space."""


class DiskFailed(OperatorError):
    """The disk gave an error other than "full", or gave back what was not written. The store must be reopened."""


@dataclass(slots=True)
class _Written:
    """What one transaction changed, to be told to the index and the caches once it is committed."""

    next_id: int
    size: int = 0
    secrets_gone: bool = False
    added: list[tuple[int, Iterable[Row]]] = field(default_factory=list)
    changed: list[tuple[int, set[Row], set[Row]]] = field(default_factory=list)
    contexts: dict[ContextId, int] = field(default_factory=dict)
    chains: dict[tuple[ContextId, ChainId], tuple[int, int]] = field(default_factory=dict)


class Store:
    """Open one per home, under its lock. `storage_key` (32 bytes) seals secret values.

    Raises OperatorError for a file that is no journal of ours or from a newer program, DiskFailed for a damaged one.
    """

    def __init__(
        self, path: Path, *, storage_key: bytes, synchronous: Synchronous = Synchronous.OWN
    ) -> None:
        self.path = path
        self.trouble: DiskFull | None = None
        """Why the disk took no commit, with advice; None once one succeeded."""
        self._storage_key = storage_key
        self._mode = synchronous
        self._level: bool | None = None
        self._lock = threading.Lock()
        self._since_checkpoint = 0
        self._scrub = False
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self._connection = _connect(path)
        self._index = AccessIndex()
        try:
            prepare(self._connection)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA secure_delete = ON")
            self._connection.execute("PRAGMA wal_autocheckpoint = 0")
            self._load()
        except sqlite3.Error as error:
            self._connection.close()
            raise _damaged(error) from error
        self.reader = StoreReader(path, storage_key=storage_key, index=self._index)
        """Reads what is committed; safe from other threads while commits go on."""

    def _load(self) -> None:
        execute = self._connection.execute
        self._contexts = {ContextId(id_): n for n, id_ in execute("SELECT n, id FROM contexts")}
        self._chains = {
            (ContextId(context), ChainId(chain)): (context_n, n)
            for context, chain, context_n, n in execute(
                "SELECT contexts.id, chains.id, contexts.n, chains.n FROM chains JOIN contexts ON context = contexts.n"
            )
        }
        last_op: int | None = execute("SELECT max(id) FROM ops").fetchone()[0]
        last_value: int | None = execute("SELECT max(at) FROM named_values").fetchone()[0]
        self._next_id = 1 + max(last_op or 0, last_value or 0)
        self._index.load(self._connection)

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Checkpoint and close. What was committed stays committed if this is never reached."""
        self.reader.close()
        with self._lock:
            try:
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.OperationalError:
                self.trouble = _no_writing(self.path)  # the write-ahead log stays and is read at the next start
            self._connection.close()

    # -- committing -------------------------------------------------------------------------------------------

    def commit(self, records: Sequence[Record], *, durable: bool) -> None:
        """All or none, in order. When it returns they survive the process, and a power loss if it waited for the disk.

        Raises DiskFull or DiskReadOnly: nothing was committed, the same records may be tried again. Raises DiskFailed.
        """
        with self._lock:
            self._commit(records, durable)

    def try_commit_now(self, records: Sequence[Record], *, durable: bool) -> bool:
        """As `commit`; False if that would wait for another thread or for the platter."""
        if self._waits(durable) or not self._lock.acquire(blocking=False):
            return False
        try:
            self._commit(records, durable)
        finally:
            self._lock.release()
        return True

    def _commit(self, records: Sequence[Record], durable: bool) -> None:
        if not records:
            return
        try:
            self._wait_for_platter(self._waits(durable))
            written = self._write(records)
        except sqlite3.OperationalError as error:
            self._failed(error)
        finally:
            if self._connection.in_transaction:  # whatever went wrong, the next commit must not end up in this one
                self._connection.execute("ROLLBACK")
        self._note(written)

    def _waits(self, durable: bool) -> bool:
        return self._mode is Synchronous.FULL or (durable and self._mode is Synchronous.OWN)

    def _wait_for_platter(self, wait: bool) -> None:
        if self._level is not wait:
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if wait else 'NORMAL'}")
            self._level = wait

    def _write(self, records: Sequence[Record]) -> _Written:
        written = _Written(self._next_id)
        if len(records) <= _OPS_A_STATEMENT and all(map(self._is_plain, records)):
            self._insert_ops(written, records)  # type: ignore[arg-type]  # plain ones are OpRecords
            return written
        self._connection.execute("BEGIN IMMEDIATE")
        waiting: list[OpRecord] = []
        for record in records:
            if isinstance(record, OpRecord) and not record.replaces:
                waiting.append(record)
                if len(waiting) < _OPS_A_STATEMENT:
                    continue
            self._insert_ops(written, waiting)
            waiting = []
            if isinstance(record, ValueRecord):
                self._set_value(written, record)
            elif isinstance(record, Rewind):
                self._rewind(written, record)
            elif record.replaces:
                self._replace_op(written, record)
        self._insert_ops(written, waiting)
        self._connection.execute("COMMIT")
        return written

    def _is_plain(self, record: Record) -> bool:
        return (
            isinstance(record, OpRecord)
            and not record.replaces
            and (record.context, record.chain) in self._chains
        )

    def _insert_ops(self, written: _Written, records: Sequence[OpRecord]) -> None:
        if not records:
            return
        values: list[Any] = []
        for record in records:
            context, chain = self._place(written, record)
            columns = op_columns(written.next_id, chain, context, record)
            values += columns
            if record.rows:
                rows = [(row.index, row.kind, row.subject_tag) for row in record.rows]
                written.added.append((written.next_id, rows))
            written.next_id += 1
            written.size += len(record.body) + len(record.header)
        self._connection.execute(_INSERT_OP + ",".join([_MARKS] * len(records)), values)

    def _place(self, written: _Written, record: OpRecord | Rewind) -> tuple[int, int]:
        key = (record.context, record.chain)
        place = self._chains.get(key) or written.chains.get(key)
        if place is None:
            context = self._contexts.get(record.context) or written.contexts.get(record.context)
            if context is None:
                context = self._new("INSERT INTO contexts (id) VALUES (?)", (record.context,))
                written.contexts[record.context] = context
            chain = self._new("INSERT INTO chains (context, id) VALUES (?, ?)", (context, record.chain))
            place = written.chains[key] = (context, chain)
        return place

    def _new(self, statement: str, values: tuple[Any, ...]) -> int:
        number = self._connection.execute(statement, values).lastrowid
        assert number is not None
        return number

    def _replace_op(self, written: _Written, record: OpRecord) -> None:
        _, chain = self._place(written, record)
        held = self._connection.execute(
            "SELECT id, flags, rows, length(body) FROM ops WHERE chain = ? AND seq = ?", (chain, record.seq)
        ).fetchone()
        assert held is not None, "only a held operation is replaced"
        op_row, flags, packed, size = held
        written.secrets_gone = written.secrets_gone or len(record.body) < size  # entries were erased
        columns = op_columns(op_row, chain, 0, record)
        flags, (kinds, *middle), (rows, body, moment, _) = columns[4] | flags & OWN, columns[5:10], columns[10:]
        changed = (flags, kinds, *middle, rows, body, moment, side_crc(flags, kinds, rows, moment), op_row)
        self._connection.execute(
            "UPDATE ops SET flags=?, kinds=?, head_crc=?, crc=?, header=?, signature=?, rows=?, body=?, moment=?, side_crc=?"
            " WHERE id=?",
            changed,
        )
        before, after = set(unpack_rows(packed)), {(r.index, r.kind, r.subject_tag) for r in record.rows}
        if op_row <= self._index.upto:
            self._index.replace_written(self._connection, op_row, before - after, after - before)
        elif before != after:
            written.changed.append((op_row, before - after, after - before))
        written.size += len(record.body)

    def _rewind(self, written: _Written, record: Rewind) -> None:
        _, chain = self._place(written, record)
        gone = self._connection.execute(
            "DELETE FROM ops WHERE chain = ? AND seq >= ? RETURNING id, rows", (chain, record.first)
        ).fetchall()
        for op_row, packed in gone:
            rows = set(unpack_rows(packed))
            if rows and op_row <= self._index.upto:
                self._index.replace_written(self._connection, op_row, rows, ())
            elif rows:
                written.changed.append((op_row, rows, set()))

    def _set_value(self, written: _Written, record: ValueRecord) -> None:
        place = (record.table, record.context, record.key)
        if record.secret:
            written.secrets_gone = True
        if record.value is None:
            self._connection.execute(
                "DELETE FROM named_values WHERE name = ? AND context = ? AND key = ?", place
            )
            return
        value = record.value
        if record.secret:
            value = seal(self._storage_key, value, nonce=os.urandom(24), associated=secret_place(*place))
        self._connection.execute(
            "INSERT INTO named_values (name, context, key, at, secret, value, crc) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT"
            " DO UPDATE SET at = excluded.at, secret = excluded.secret, value = excluded.value, crc = excluded.crc",
            (*place, written.next_id, record.secret, value, value_crc(written.next_id, *place, record.secret, value)),
        )
        written.next_id += 1
        written.size += len(value)

    def _note(self, written: _Written) -> None:
        self.trouble = None
        self._next_id = written.next_id
        self._contexts |= written.contexts
        self._chains |= written.chains
        self._since_checkpoint += written.size + _COMMIT_BYTES
        self._scrub = self._scrub or written.secrets_gone
        for op_row, rows in written.added:
            self._index.add(op_row, rows)
        for op_row, gone, come in written.changed:
            self._index.replace_held(op_row, gone, come)

    def _failed(self, error: sqlite3.OperationalError) -> NoReturn:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        trouble = _no_writing(self.path)
        if error.sqlite_errorcode not in _NO_SPACE and not isinstance(trouble, DiskReadOnly):
            raise _damaged(error) from error
        self.trouble = trouble
        raise trouble from error

    @property
    def full(self) -> bool:
        """Whether the disk took no commit when it was last tried."""
        return self.trouble is not None

    # -- facts about this store -------------------------------------------------------------------------------

    def fact(self, name: str) -> bytes | None:
        """A value about this database itself, such as its incarnation."""
        with self._lock:
            row = self._connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def set_fact(self, name: str, value: bytes) -> None:
        """Durable. Raises DiskFull or DiskFailed."""
        with self._lock:
            try:
                self._wait_for_platter(True)
                self._connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))
            except sqlite3.OperationalError as error:
                self._failed(error)

    # -- upkeep -----------------------------------------------------------------------------------------------

    @property
    def upkeep_due(self) -> bool:
        """Whether `maintain` has something to do."""
        return self._scrub or self._since_checkpoint >= CHECKPOINT_BYTES or self._index.due

    def maintain(self) -> None:
        """Invert access rows, move the log into the database; after secrets went, leave none of them in the log.

        Want of space is no failure here: it is tried again later. Raises DiskFailed.
        """
        with self._lock, self._tolerating_no_space():
            self._wait_for_platter(False)
            if self._index.due:
                self._index.flush(self._connection, self._next_id - 1)
            if self._scrub:
                busy = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
                self._scrub = bool(busy)
            elif self._since_checkpoint >= CHECKPOINT_BYTES:
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            else:
                return
            self._since_checkpoint = 0

    @contextmanager
    def _tolerating_no_space(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            try:
                self._failed(error)
            except DiskFull:
                self._since_checkpoint = 0  # not before as much was written again


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)


def is_read_only(directory: Path) -> bool:
    """Whether the file system of this directory takes no writes; leaves nothing there.

    Flags don't always tell: a file system that Linux shut after an error keeps them. So a file without a name is opened,
    and never the journal itself: to close that again would drop SQLite's locks on it (POSIX, fcntl(2)).
    """
    if os.statvfs(directory).f_flag & os.ST_RDONLY:
        return True
    try:
        os.close(os.open(directory, os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o600))
    except OSError as error:
        return error.errno == errno.EROFS
    return False


def _no_writing(path: Path) -> DiskFull:
    if is_read_only(path.parent):
        return DiskReadOnly(
            "the disk is read-only: nothing is recorded or acknowledged",
            advice="see the kernel's log for disk errors (dmesg), mend or replace the disk and mount it for writing; the node goes on "
            "by itself, or when it is started again, and reads are answered meanwhile",
        )  # fmt: skip
    return DiskFull(
        "the disk is full: nothing is recorded or acknowledged",
        advice="free space; the node goes on by itself, and reads are answered meanwhile",
    )


def _damaged(error: sqlite3.Error) -> DiskFailed:
    return DiskFailed(
        f"the journal cannot be used: {error}",
        advice="check the disk; then restore a backup, or start an empty home and join again: members hold the operations",
    )
