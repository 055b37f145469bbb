"""Access rows page from either end, by subject and over all, before and after they are inverted, replaced and reopened."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest

from medsync_node import access_rows
from medsync_node.store import Store
from medsync_node.store_reader import NEWEST, AccessRow
from medsync_protocol.codec import unpack
from medsync_protocol.ids import KeyId, NetworkId, OpId
from medsync_protocol.journal import OpRecord
from medsync_protocol.operation import Header, encode_header
from tests.node.store_records import ACCESS, CONTEXT, KEY, OTHER, RECEIPT, chain, op

TAGS = [-(2**63), -5, 0, 9, 2**63 - 1]


class Model:
    """What the store must answer: (context, seq, index, kind, tag), oldest first."""

    def __init__(self) -> None:
        self.entries: list[tuple[bytes, bytes, int, int, int, int]] = []

    def add(self, record: OpRecord) -> None:
        """A record's rows, in the order of their indexes."""
        for row in sorted(record.rows, key=lambda row: row.index):
            self.entries.append((record.context, record.chain, record.seq, row.index, row.kind, row.subject_tag))

    def replace(self, record: OpRecord) -> None:
        """Its rows take the old ones' place in time."""
        mine = [at for at, entry in enumerate(self.entries) if entry[1:3] == (record.chain, record.seq)]
        at = mine[0] if mine else 0
        self.entries = [entry for entry in self.entries if entry[1:3] != (record.chain, record.seq)]
        made = Model()
        made.add(record)
        self.entries[at:at] = made.entries

    def newest(self, context: bytes, kinds: list[int], tag: int | None) -> list[tuple[bytes, int]]:
        """(header, index) of what matches, newest first."""
        return [
            (op(seq, of=int.from_bytes(chain, "big")).header, index)
            for of, chain, seq, index, kind, its in reversed(self.entries)
            if of == context and kind in kinds and tag in (None, its)
        ]


def paged(store: Store, kinds: list[int], tag: int | None, size: int, context: bytes = CONTEXT) -> list[tuple[bytes, int]]:
    """Everything, page by page; the same from the other end."""
    found: list[AccessRow] = []
    before = NEWEST
    while page := store.reader.access_rows(context, kinds, tag, before=before, limit=size):  # type: ignore[arg-type]
        assert len(page) <= size
        found += page
        before = page[-1].id
    assert [row.id for row in found] == sorted({row.id for row in found}, reverse=True)
    forward: list[AccessRow] = []
    after = 0
    while page := store.reader.access_rows_after(context, kinds, tag, after=after, limit=size):  # type: ignore[arg-type]
        assert len(page) <= size
        forward += page
        after = page[-1].id
    assert forward == found[::-1] and after <= store.reader.last_row()
    return [(unpack(row.wire)[0], row.index) for row in found]


def some_rows(rng: random.Random) -> tuple[tuple[int, int, int], ...]:
    """Rows of one operation, indexes ascending."""
    indexes = sorted(rng.sample(range(4096), k=rng.randint(0, 5)))
    return tuple((index, rng.choice([ACCESS, RECEIPT]), rng.choice(TAGS)) for index in indexes)


@pytest.mark.parametrize("seed", range(6))
def test_pages_are_those_of_a_list_whatever_was_inverted_replaced_or_reopened(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_rows, "FLUSH_ENTRIES", 12)
    rng = random.Random(seed)
    model, path = Model(), tmp_path / "journal.db"
    store = Store(path, storage_key=KEY)
    written: list[OpRecord] = []
    nexts = [0, 0]
    for _ in range(60):
        made = []
        for _ in range(rng.randint(1, 3)):
            of = rng.randrange(2)
            made.append(op(nexts[of], of=of, rows=some_rows(rng)))
            nexts[of] += 1
        store.commit(made, durable=False)
        for record in made:
            model.add(record)
        written += made
        if rng.random() < 0.3:
            old = rng.choice(written)
            changed = op(old.seq, of=int.from_bytes(old.chain, "big"), rows=some_rows(rng), replaces=True)
            if not any(row for row in changed.rows) or not old.rows:
                continue
            store.commit([changed], durable=False)
            model.replace(changed)
            written[written.index(old)] = changed
        if store.upkeep_due and rng.random() < 0.7:
            store.maintain()
        if rng.random() < 0.1:
            store.close()
            store = Store(path, storage_key=KEY)
    with store:
        for tag in (None, *TAGS, 12345):
            for kinds in ([ACCESS], [RECEIPT], [ACCESS, RECEIPT], [7]):
                for size in (1, 7, 1000):
                    assert paged(store, kinds, tag, size) == model.newest(CONTEXT, kinds, tag)


def test_rows_of_one_context_are_not_shown_in_another(tmp_path: Path) -> None:
    with Store(tmp_path / "journal.db", storage_key=KEY) as store:
        store.commit([op(0, rows=((0, ACCESS, 1),)), op(0, of=1, context=OTHER, rows=((0, ACCESS, 2),))], durable=False)
        assert paged(store, [ACCESS], None, 5) == [(op(0).header, 0)]
        assert paged(store, [ACCESS], None, 5, OTHER) == [(op(0, of=1).header, 0)]


def test_a_page_that_ends_within_an_operation_goes_on_within_it(tmp_path: Path) -> None:
    rows = tuple((index, ACCESS, 1) for index in range(10))
    with Store(tmp_path / "journal.db", storage_key=KEY) as store:
        store.commit([op(0, rows=rows), op(1, rows=rows)], durable=False)
        for tag in (None, 1):
            listed = [index for _, index in paged(store, [ACCESS], tag, 3)]
            assert listed == [*range(9, -1, -1)] * 2


def test_what_arrives_late_stands_where_its_time_puts_it_whatever_was_inverted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a restored backup: one chain's hours came at once, then the other's."""
    monkeypatch.setattr(access_rows, "FLUSH_ENTRIES", 8)
    rows = ((0, ACCESS, 1), (1, RECEIPT, 1), (2, ACCESS, 1))
    times = [(10, 0), (30, 0), (50, 0), (60, 0), (20, 1), (30, 1), (40, 1), (70, 1), (25, 1), (2**63 - 1, 1)]
    records = [op(seq, of=of, rows=rows, header=written_at(hlc, seq, of)) for seq, (hlc, of) in enumerate(times)]
    with Store(tmp_path / "journal.db", storage_key=KEY) as store:
        for record in records:
            store.commit([record], durable=False)
            store.maintain()
        came = sorted(range(len(times)), key=lambda at: (times[at][0], at), reverse=True)
        expected = [(records[at].header, index) for at in came for index in (2, 0)]
        for tag, size in itertools.product((None, 1), (1, 3, 1000)):
            found: list[AccessRow] = []
            while page := store.reader.access_rows(CONTEXT, [ACCESS], tag, before=found[-1].id if found else NEWEST, limit=size):
                found += page
            assert [(unpack(row.wire)[0], row.index) for row in found] == expected
            assert not store.reader.access_rows(CONTEXT, [ACCESS], tag, before=0, limit=size)
        arrived = store.reader.access_rows_after(CONTEXT, [ACCESS], 1, after=0, limit=1000)
        assert [unpack(row.wire)[0] for row in arrived] == [record.header for record in records for _ in (0, 2)]
        assert {*store.reader.wires_about(CONTEXT, 1)} == {row.wire for row in arrived}


def written_at(hlc: int, seq: int, of: int) -> bytes:
    """An operation's header of that time."""
    none = bytes(32)
    return encode_header(Header(
        network=NetworkId(none), context=CONTEXT, plane=2, chain=chain(of), seq=seq, prev=OpId(none), membership_heads=(), seen_k=0,
        seen_root=none, key_id=KeyId(none), hlc=hlc, kind=0, entries_root=none, count=3,
    ))  # fmt: skip


def test_a_crash_between_inverting_and_the_next_commit_shows_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_rows, "FLUSH_ENTRIES", 5)
    path = tmp_path / "journal.db"
    store = Store(path, storage_key=KEY)
    for seq in range(6):
        store.commit([op(seq, rows=((0, ACCESS, 1),))], durable=False)
    assert store.upkeep_due
    store.maintain()
    store.commit([op(6, rows=((0, ACCESS, 1),))], durable=False)
    with Store(path, storage_key=KEY) as another:  # the first is never closed: as after a crash
        assert len(paged(another, [ACCESS], 1, 4)) == 7
    store.close()
