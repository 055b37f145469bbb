"""What the store acknowledged survives kill -9 at any moment and a full disk, and nothing else is ever acknowledged."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from medsync_node.store import Store
from medsync_protocol.errors import DiskFull
from medsync_protocol.journal import ValueRecord
from tests.node.store_records import ACCESS, CONTEXT, KEY, chain, noise, op

ROOT = Path(__file__).resolve().parents[2]


def writer(*arguments: object) -> subprocess.Popen[str]:
    """The writing process."""
    command = [sys.executable, "-m", "tests.node.store_writer", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def acknowledged_before_a_kill(path: Path, lines: int) -> int:
    """Let it acknowledge so many commits, kill it in the middle of whatever comes next; the last seq it was promised."""
    with writer(path) as process:
        assert process.stdout is not None
        for _ in range(lines):
            process.stdout.readline()
        process.kill()
        rest = process.stdout.read().split()
        process.wait()
    assert rest or lines
    return int(rest[-1]) if rest else 0


def check(path: Path, at_least: int) -> int:
    """Everything acknowledged is there, whole and in order; how many there are."""
    with Store(path, storage_key=KEY) as store:
        held = store.reader.check()
        assert held >= at_least
        records = [record for record in store.reader.replay() if not isinstance(record, ValueRecord)]
        assert [record.seq for record in records] == list(range(held))
        (last,) = [record for record in store.reader.replay() if isinstance(record, ValueRecord)]
        assert last.value is not None and int(last.value) <= held
        assert len(store.reader.access_rows(CONTEXT, [ACCESS], None, limit=10**6)) == held
        assert len(store.reader.read_ops(CONTEXT, chain(0), 0, held, 10**9)) == held
    return held


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_process_loses_nothing_it_acknowledged(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    path, held = tmp_path / "journal.db", 0
    for _ in range(2):
        promised = acknowledged_before_a_kill(path, rng.randrange(1, 60))
        held = check(path, max(promised, held))
    assert held > 0


@pytest.mark.long
def test_fifty_kills_in_a_row_lose_nothing(tmp_path: Path) -> None:
    rng = random.Random(50)
    path, held = tmp_path / "journal.db", 0
    for _ in range(50):
        promised = acknowledged_before_a_kill(path, rng.randrange(1, 200))
        held = check(path, max(promised, held))


@pytest.mark.parametrize("limit", [70_000, 300_000, 1_000_000])
def test_a_disk_that_fills_up_acknowledges_nothing_more_and_recovers(limit: int, tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with writer(path, "full", limit) as process:
        printed, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    with Store(path, storage_key=KEY) as store:
        assert store.reader.check() == int(printed)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB that is really full when it is full."""
    point = tmp_path / "disk"
    point.mkdir()
    if shutil.which("mount") is None or subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(point)], capture_output=True
    ).returncode:
        pytest.skip("reason: may not mount a small file system here (needs root)")
    yield point
    subprocess.run(["umount", str(point)], check=True)


def test_a_file_system_without_space_is_read_only_until_there_is_some(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(400_000))
    with Store(small_disk / "journal.db", storage_key=KEY) as store:
        seq = 0
        with pytest.raises(DiskFull):
            while True:
                store.commit([op(seq, body=noise(seq, size=9_000))], durable=True)
                seq += 1
        assert seq > 5
        with pytest.raises(DiskFull):
            store.set_fact("incarnation", noise("fact", size=90_000))
        store.maintain()
        assert store.reader.read_op(CONTEXT, chain(0), seq - 1) is not None
        ballast.unlink()
        store.commit([op(seq)], durable=True)
        assert not store.full
        assert store.reader.check() == seq + 1
    with Store(small_disk / "journal.db", storage_key=KEY) as store:
        assert store.reader.check() == seq + 1
