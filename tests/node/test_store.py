"""The journal on SQLite gives back what was committed, in order, sealed where it must be, and nothing it can't vouch for."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from medsync_node import access_rows, schema
from medsync_node.store import CHECKPOINT_BYTES, DiskFailed, Store, Synchronous
from medsync_node.store_reader import JournalDamaged
from medsync_protocol.codec import unpack
from medsync_protocol.errors import OperatorError
from medsync_protocol.journal import Record, ValueRecord
from tests.node.store_records import ACCESS, CONTEXT, KEY, OTHER, chain, noise, op


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal lies."""
    return tmp_path / "journal.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """An open store."""
    with Store(path, storage_key=KEY) as opened:
        yield opened


def value(key: bytes, content: bytes | None, *, secret: bool = False, table: str = "t") -> ValueRecord:
    """A named value."""
    return ValueRecord(table, CONTEXT, key, content, secret)


def replayed(path: Path) -> list[Record]:
    """What a start reads."""
    with Store(path, storage_key=KEY) as store:
        return list(store.reader.replay())


# -- commit and replay ------------------------------------------------------------------------------------------


def test_what_was_committed_is_replayed_in_its_order_after_a_reopening(path: Path) -> None:
    records: list[Record] = [
        op(0, folds=True), value(b"a", b"1"), op(1, folds=True), op(0, of=1, folds=True), value(b"b", b"2"), op(0, of=2, context=OTHER, folds=True),
        value(b"a", b"3"),
    ]  # fmt: skip
    with Store(path, storage_key=KEY) as store:
        store.commit(records[:3], durable=True)
        store.commit(records[3:], durable=False)
    assert replayed(path) == [records[0], *records[2:]], "the first value of `a` gave way to the last"


@pytest.mark.parametrize("size", [1, 63, 64, 65, 200])
def test_a_commit_of_any_size_comes_back_whole(path: Path, size: int) -> None:
    records = [op(n // 3, of=n % 3, folds=True) for n in range(size)]
    with Store(path, storage_key=KEY) as store:
        store.commit(records, durable=False)
        assert store.reader.sizes().operations == size
    assert replayed(path) == records


def test_bodies_that_do_not_fold_and_rows_are_left_out_of_a_replay_but_served(store: Store) -> None:
    record = op(0, rows=((1, ACCESS, 7),))
    store.commit([record], durable=False)
    assert list(store.reader.replay()) == [replace(record, body=b"", rows=())]
    wire = store.reader.read_op(CONTEXT, chain(0), 0)
    assert wire is not None
    assert unpack(wire) == (record.header, record.signature, record.body)


def test_nothing_is_committed_of_a_commit_that_fails(store: Store) -> None:
    store.commit([op(0)], durable=False)
    with pytest.raises(sqlite3.IntegrityError):
        store.commit([op(1), op(0, of=5), value(b"a", b"1"), op(1)], durable=False)
    store.commit([op(1)], durable=False)
    assert store.reader.sizes().operations == 2
    assert [record for record in store.reader.replay() if isinstance(record, ValueRecord)] == []


def test_operations_are_served_in_ranges_within_a_limit_and_at_least_one(store: Store) -> None:
    store.commit([op(seq) for seq in range(10)], durable=False)
    size = len(store.reader.read_op(CONTEXT, chain(0), 0) or b"")
    read = store.reader.read_ops
    assert len(read(CONTEXT, chain(0), 2, 9, 10**9)) == 7
    assert len(read(CONTEXT, chain(0), 2, 9, 3 * size + 5)) == 3
    assert len(read(CONTEXT, chain(0), 2, 9, 0)) == 1
    assert read(CONTEXT, chain(0), 10, 20, 10**9) == read(CONTEXT, chain(7), 0, 5, 10**9) == []
    assert store.reader.read_op(OTHER, chain(0), 0) is None


def test_a_replacement_takes_the_place_of_body_and_rows_and_keeps_whose_it_was(store: Store) -> None:
    store.commit([op(0, rows=((0, ACCESS, 7), (1, ACCESS, 8))), op(1)], durable=False)
    pruned = op(0, rows=((1, ACCESS, 8),), body=noise("pruned"), own=False, folds=True, replaces=True)
    store.commit([pruned], durable=False)
    (first, second) = list(store.reader.replay())
    assert first == replace(pruned, rows=(), own=True, replaces=False)
    assert isinstance(second, type(first)) and second.seq == 1  # type: ignore[union-attr]
    assert [row.index for row in store.reader.access_rows(CONTEXT, [ACCESS], None, limit=9)] == [1]
    assert store.reader.check() == 2


def test_a_replacement_in_the_commit_of_its_original_counts(store: Store) -> None:
    store.commit([op(0), op(0, body=b"filled", folds=True, replaces=True)], durable=False)
    (held,) = store.reader.replay()
    assert held == op(0, body=b"filled", folds=True)


@pytest.mark.parametrize("mode", Synchronous)
@pytest.mark.parametrize("durable", [False, True])
def test_try_commit_now_declines_where_it_would_have_to_wait(
    path: Path, mode: Synchronous, durable: bool
) -> None:
    waits = mode is Synchronous.FULL or (durable and mode is Synchronous.OWN)
    with Store(path, storage_key=KEY, synchronous=mode) as store:
        assert store.try_commit_now([op(0)], durable=durable) is not waits
        assert store.try_commit_now([], durable=durable) is not waits
        assert store.reader.sizes().operations == (not waits)


def test_commits_from_several_threads_are_all_there(store: Store) -> None:
    def write(number: int) -> None:
        for seq in range(50):
            store.commit([op(seq, of=number)], durable=False)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        store.reader.sizes()
        store.maintain()
    for thread in threads:
        thread.join()
    assert store.reader.check() == 200


# -- named values -----------------------------------------------------------------------------------------------


def test_a_value_is_deleted_and_a_table_context_and_key_name_it(store: Store) -> None:
    store.commit([value(b"a", b"1"), value(b"a", b"2", table="other"), ValueRecord("t", OTHER, b"a", b"3")], durable=False)
    store.commit([value(b"a", None), value(b"never", None)], durable=False)
    assert list(store.reader.replay()) == [value(b"a", b"2", table="other"), ValueRecord("t", OTHER, b"a", b"3")]


def test_a_secret_is_nowhere_in_the_files_and_opens_for_its_home_only(path: Path) -> None:
    secret = noise("an epoch key", size=48)
    with Store(path, storage_key=KEY) as store:
        store.commit([value(b"a", secret, secret=True)], durable=True)
        assert list(store.reader.replay()) == [value(b"a", secret, secret=True)]
        assert not _on_disk(path, secret)
    with Store(path, storage_key=b"x" * 32) as store, pytest.raises(JournalDamaged, match="does not open"):
        list(store.reader.replay())


def test_a_secret_moved_to_another_place_does_not_open(path: Path) -> None:
    with Store(path, storage_key=KEY) as store:
        store.commit([value(b"a", b"1", secret=True)], durable=True)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE named_values SET key = ?", (b"b",))
    connection.close()
    with Store(path, storage_key=KEY) as store, pytest.raises(JournalDamaged):
        list(store.reader.replay())


def test_a_deleted_secret_leaves_not_even_its_ciphertext(path: Path) -> None:
    with Store(path, storage_key=KEY) as store:
        store.commit([value(b"a", b"1" * 40, secret=True)], durable=True)
        sealed = sqlite3.connect(path).execute("SELECT value FROM named_values").fetchone()[0]
        assert _on_disk(path, sealed)
        store.commit([value(b"a", None, secret=True)], durable=True)
        assert store.upkeep_due
        store.maintain()
        assert not store.upkeep_due
        assert not _on_disk(path, sealed)


def _on_disk(path: Path, content: bytes) -> bool:
    return any(content in file.read_bytes() for file in path.parent.iterdir() if file.is_file())


# -- what is no journal of ours, or a damaged one ---------------------------------------------------------------


def test_a_foreign_database_and_a_newer_one_are_left_alone(path: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.db"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE patients (name)")
    connection.close()
    before = foreign.read_bytes()
    with pytest.raises(OperatorError, match="not a journal"):
        Store(foreign, storage_key=KEY)
    assert foreign.read_bytes() == before
    Store(path, storage_key=KEY).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(OperatorError, match="99") as refused:
        Store(path, storage_key=KEY)
    assert refused.value.advice


def test_a_file_that_is_no_database_is_refused_with_advice(path: Path) -> None:
    path.write_bytes(noise("no database", size=8192))
    with pytest.raises(DiskFailed) as refused:
        Store(path, storage_key=KEY)
    assert "restore a backup" in refused.value.advice


@pytest.mark.parametrize(
    ("column", "content"), [("header", b"x"), ("signature", b"y" * 64), ("body", b"z"), ("seq", 5), ("flags", 0x101)]
)
def test_a_row_that_changed_is_never_given_out(path: Path, column: str, content: Any) -> None:
    with Store(path, storage_key=KEY) as store:
        store.commit([op(0, folds=True), op(1, folds=True)], durable=True)
        assert store.reader.check() == 2
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE ops SET {column} = ? WHERE seq = 1", (content,))
    connection.close()
    with Store(path, storage_key=KEY) as store:
        for attempt in (
            store.reader.check, lambda: list(store.reader.replay()), lambda: store.reader.read_ops(CONTEXT, chain(0), 1, 9, 10**9),
        ):  # fmt: skip
            with pytest.raises(JournalDamaged) as damaged:
                attempt()
            assert "checksum" in str(damaged.value) and damaged.value.advice


@pytest.mark.parametrize(
    "change",
    [
        "ops SET rows = x'0000050001000000'", "ops SET rows = 'text'", "ops SET kinds = 1", "ops SET moment = moment + 1",
        "named_values SET value = x'00'", "named_values SET at = at + 1", "named_values SET secret = 1", "named_values SET value = 7",
        "access SET ids = x'0210000000000000'", "access SET tag = tag + 1", "ops SET context = 2",
        "facts SET value = x'0000000000000000' WHERE name = 'access inverted up to'",
    ],
)  # fmt: skip
def test_what_stands_beside_operations_is_checked_too(path: Path, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_rows, "FLUSH_ENTRIES", 1)
    with Store(path, storage_key=KEY) as store:
        store.commit([op(0, rows=((1, ACCESS, 7),)), value(b"a", b"1")], durable=True)
        store.maintain()
        assert store.reader.check() == 1
        with closing(sqlite3.connect(path, isolation_level=None)) as rot:
            rot.execute(f"UPDATE {change}")
        with pytest.raises(JournalDamaged) as damaged:
            store.reader.check()
        assert damaged.value.advice
        if "named_values" in change:
            with pytest.raises(JournalDamaged, match="checksum"):
                list(store.reader.replay())


def test_rotten_pages_are_noticed(path: Path) -> None:
    with Store(path, storage_key=KEY) as store:
        store.commit([op(seq, folds=True) for seq in range(200)], durable=True)
    whole = path.read_bytes()
    for start, size in ((whole.index(op(99).body) + 20, 1), (len(whole) // 2, 600), (4096 * 3, 4096)):
        rotten = bytearray(whole)
        for at in range(start, start + size):
            rotten[at] ^= 0x55
        path.write_bytes(rotten)
        with pytest.raises((DiskFailed, JournalDamaged)), Store(path, storage_key=KEY) as store:
            store.reader.check()


def test_migrations_run_once_each_and_whole(path: Path) -> None:
    steps: list[str] = []

    def second(connection: sqlite3.Connection) -> None:
        steps.append("second")
        connection.execute("ALTER TABLE facts ADD COLUMN note TEXT")

    Store(path, storage_key=KEY).close()
    connection = sqlite3.connect(path, isolation_level=None)
    for _ in range(2):
        schema.prepare(connection, (*schema.MIGRATIONS, second))
    assert steps == ["second"]
    assert connection.execute("PRAGMA user_version").fetchone()[0] == len(schema.MIGRATIONS) + 1
    connection.close()


# -- facts, sizes, files ----------------------------------------------------------------------------------------


def test_facts_about_the_database_stay(path: Path) -> None:
    with Store(path, storage_key=KEY) as store:
        assert store.fact("incarnation") is None
        store.set_fact("incarnation", b"first")
        store.set_fact("incarnation", b"second")
    with Store(path, storage_key=KEY) as store:
        assert store.fact("incarnation") == b"second"


def test_the_log_is_moved_into_the_database_before_it_grows_without_bound(path: Path) -> None:
    with Store(path, storage_key=KEY) as store:
        seq = 0
        while not store.upkeep_due:
            store.commit([op(seq + n, body=noise(seq + n, size=60_000)) for n in range(40)], durable=False)
            seq += 40
        assert store.reader.sizes().log_bytes < 2 * CHECKPOINT_BYTES
        store.maintain()
        assert not store.upkeep_due
        for _ in range(3):
            store.commit([op(seq, body=noise(seq, size=60_000))], durable=False)
            seq += 1
        assert store.reader.sizes().log_bytes < 2 * CHECKPOINT_BYTES
        assert store.reader.check() == seq


def test_the_files_are_for_their_owner_alone(path: Path) -> None:
    with Store(path, storage_key=KEY) as store:
        store.commit([op(0)], durable=True)
        modes = {stat.S_IMODE(os.stat(file).st_mode) for file in path.parent.iterdir()}
    assert modes == {0o600}


# -- backup -----------------------------------------------------------------------------------------------------


def test_a_backup_taken_while_commits_go_on_is_a_whole_prefix(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "backups" / "copy.db"
    target.parent.mkdir()
    with Store(path, storage_key=KEY) as store:
        store.commit([op(seq, folds=True) for seq in range(300)], durable=False)
        store.commit([value(b"key", b"secret", secret=True)], durable=False)
        done = threading.Event()

        def write() -> None:
            seq = 300
            while not done.is_set():
                store.commit([op(seq, folds=True)], durable=False)
                seq += 1

        writer = threading.Thread(target=write)
        writer.start()
        try:
            store.reader.backup(target)
        finally:
            done.set()
            writer.join()
        with pytest.raises(FileExistsError):
            store.reader.backup(target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [file.name for file in target.parent.iterdir()] == ["copy.db"]
    with Store(target, storage_key=KEY) as copy:
        held = list(copy.reader.replay())
        assert copy.reader.check() == len(held) - 1 >= 300
    operations = [record for record in held if not isinstance(record, ValueRecord)]
    assert operations == [op(seq, folds=True) for seq in range(len(operations))]
    assert value(b"key", b"secret", secret=True) in held
