"""Backups: made while the node writes, whole or not there, restored under a new incarnation, usable after any kill."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from medsync_client.contexts import ContextCreate
from medsync_node import cli, key_file
from medsync_node.backup import making, restoring
from medsync_node.backup.archive import BadBackup
from medsync_node.compacting import compact
from medsync_node.home import Home
from medsync_node.store import Store
from medsync_protocol.errors import OperatorError
from tests.node.api_world import PASSPHRASE, Party, make_home, running
from tests.node.store_records import op

KEY = b"k" * 32


def places(party: Party) -> dict[tuple[bytes, bytes, int], bytes]:
    """(context, chain, seq) → operation, of all that this node wrote."""
    node = party.daemon.node
    found: dict[tuple[bytes, bytes, int], bytes] = {}
    for context, replica in node.engine.replicas.items():
        for chain, count in replica.vector.items():
            if chain[:32] == node.identity.device:
                wires = node.store.reader.read_ops(context, chain, 0, count, 1 << 30)
                found |= {(bytes(context), bytes(chain), seq): wire for seq, wire in enumerate(wires)}
    return found


async def test_no_place_in_a_chain_is_used_twice_after_a_restore(tmp_path: Path) -> None:
    home, again = make_home(tmp_path, "north"), Home(tmp_path / "again")
    archive = tmp_path / "monday.backup"
    async with running(home) as north:
        await north.client.create_network("hospitals")
        await north.client.create_context(ContextCreate(name="trial"))
        await north.client.rotate("trial")
        await trio.to_thread.run_sync(making.create, home, archive)
        held = places(north)
        for _ in range(3):
            await north.client.rotate("trial")  # not in the backup, and perhaps already at other members
        written = places(north)
    assert len(written) > len(held)
    for _ in range(2):  # the same backup twice, as on two machines
        await trio.to_thread.run_sync(partial(restoring.restore, archive, again, replace=True))
        async with running(again) as restored:
            assert places(restored) == held
            await restored.client.rotate("trial")
            new = {place: wire for place, wire in places(restored).items() if place not in held}
            assert len(new) == 1 and not new.keys() & written.keys()
            written |= new
    async with running(again) as restarted:  # a plain restart goes on where it was
        await restarted.client.rotate("trial")
        assert len({chain for context, chain, _ in places(restarted)}) == 2


async def test_a_backup_made_while_the_node_writes_is_one_moment_of_it(tmp_path: Path) -> None:
    home, archive = make_home(tmp_path, "north"), tmp_path / "busy.backup"
    async with running(home) as north, trio.open_nursery() as nursery:
        await north.client.create_network("hospitals")
        await north.client.create_context(ContextCreate(name="trial"))
        done, written = trio.Event(), []

        async def write() -> None:
            while not done.is_set():
                written.append(await north.client.rotate("trial"))

        first = len(places(north))
        nursery.start_soon(write)
        await trio.to_thread.run_sync(making.create, home, archive)
        done.set()
        found = await trio.to_thread.run_sync(partial(making.verify, archive, passphrase=PASSPHRASE))
        assert written and first <= found.operations <= len(places(north))
        assert found.opened is not None and found.opened >= found.operations


# -- without a daemon -------------------------------------------------------------------------------------------


def filled(directory: Path, name: str, count: int) -> Home:
    home = make_home(directory, name)
    with Store(home.journal_file, storage_key=KEY) as store:
        store.commit([op(seq) for seq in range(count)], durable=True)
    return home


RARE = pytest.param("rekey", marks=pytest.mark.long)  # twenty key files to stretch: a quarter of a minute


@pytest.mark.parametrize("what", ["create", "restore", "replace", "compact", "change-passphrase", RARE, "migrate"])
def test_a_kill_at_any_step_leaves_a_usable_home(tmp_path: Path, what: str) -> None:
    making.create(filled(tmp_path, "template", 3), tmp_path / "a.backup")
    with Store(tmp_path / "template" / "journal.db", storage_key=KEY) as store:
        store.commit([op(seq) for seq in range(3, 7)], durable=True)
    driver = [sys.executable, "-m", "tests.operations.kill_at_every_step", str(tmp_path), what]
    done = subprocess.run(driver, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 3


@pytest.mark.parametrize("spoil", ["cut", "flip", "not a tar", "empty"])
def test_a_spoiled_backup_is_told_and_restores_nothing(tmp_path: Path, spoil: str) -> None:
    archive = tmp_path / "a.backup"
    making.create(filled(tmp_path, "north", 3), archive)
    whole = archive.read_bytes()
    middle = whole.index(b"SQLite format 3") + 5000
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    archive.write_bytes({"cut": whole[:middle], "flip": flipped, "not a tar": b"x" * 5000, "empty": b""}[spoil])
    for act in (lambda: making.verify(archive), lambda: restoring.restore(archive, Home(tmp_path / "again"))):
        with pytest.raises(OperatorError) as caught:
            act()
        assert caught.value.advice
    assert not (tmp_path / "again").exists() and list(tmp_path.glob(".*")) == []


def test_a_backup_without_the_key_needs_the_right_one(tmp_path: Path) -> None:
    north, south = filled(tmp_path, "north", 3), make_home(tmp_path, "south")
    archive, again = tmp_path / "a.backup", Home(tmp_path / "again")
    manifest = making.create(north, archive, with_key=False)
    assert set(manifest.files) == {"journal.db"}
    for keys in (None, south.key_file):
        with pytest.raises(OperatorError) as caught:
            restoring.restore(archive, again, keys=keys)
        assert "--key-file" in caught.value.advice and not again.path.exists()
    restoring.restore(archive, again, keys=north.key_file)
    assert key_file.unlock(again.key_file, PASSPHRASE) == key_file.unlock(north.key_file, PASSPHRASE)
    assert again.key_file.stat().st_mode & 0o777 == 0o600 and again.path.stat().st_mode & 0o777 == 0o700


def test_neither_a_home_nor_a_backup_is_overwritten_unasked(tmp_path: Path) -> None:
    north, archive = filled(tmp_path, "north", 3), tmp_path / "a.backup"
    making.create(north, archive)
    with pytest.raises(OperatorError, match="exists"):
        making.create(north, archive)
    with pytest.raises(OperatorError, match="there is a home"):
        restoring.restore(archive, north)
    with north.locked(), pytest.raises(OperatorError, match="another medsync daemon"):
        restoring.restore(archive, north, replace=True)
    done = restoring.restore(archive, north, replace=True)
    assert done.before is not None and (done.before / "journal.db").exists() and not (north.path / "guard").exists()


def test_files_that_a_backup_does_not_hold_are_refused(tmp_path: Path) -> None:
    import io
    import tarfile

    making.create(filled(tmp_path, "north", 3), tmp_path / "a.backup")
    with tarfile.open(tmp_path / "a.backup") as tar:
        entry = tar.next()
        assert entry is not None
        head = json.loads(tar.extractfile(entry).read())  # type: ignore[union-attr]
    head["files"]["../escaped"] = [1, "00"]
    text = json.dumps(head).encode()
    with tarfile.open(tmp_path / "b.backup", "w") as tar:
        entry = tarfile.TarInfo("manifest.json")
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text))
    with pytest.raises(BadBackup, match="other files"):
        restoring.restore(tmp_path / "b.backup", Home(tmp_path / "again"))


def test_compacting_gives_room_back_and_keeps_every_row(tmp_path: Path) -> None:
    home = filled(tmp_path, "north", 2000)
    with Store(home.journal_file, storage_key=KEY) as store:
        store.commit([op(seq, body=b"", replaces=True) for seq in range(2000)], durable=True)
        identity = home.journal_identity(survives_power_loss=True)
    before, after = compact(home)
    assert after < before
    with Store(home.journal_file, storage_key=KEY) as store:
        assert store.reader.check() == 2000
    assert home.journal_identity(survives_power_loss=True) == identity  # so that the chain goes on
    with home.locked(), pytest.raises(OperatorError, match="another medsync daemon"):
        compact(home)


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def medsync(*arguments: str, code: int = 0) -> dict[str, Any]:
        assert cli.run([*arguments, "--json"]) == code
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    monkeypatch.setenv("PASS", PASSPHRASE)
    home = filled(tmp_path, "north", 3)
    with Store(home.journal_file, storage_key=key_file.unlock(home.key_file, PASSPHRASE).storage_key):
        at, archive, again = str(home.path), str(tmp_path / "a.backup"), str(tmp_path / "again")
        assert medsync("db", "check", "--home", at)["operations"] == 3
        assert medsync("backup", "create", archive, "--home", at)["operations"] == 3
    assert medsync("backup", "verify", archive, "--passphrase-from", "env:PASS")["opened"] is True
    assert medsync("backup", "restore", archive, "--home", again)["before"] is None
    assert medsync("backup", "restore", archive, "--home", again, code=1)["error"]["advice"]
    assert medsync("db", "compact", "--home", again)["after_bytes"] > 0
    assert medsync("db", "check", "--home", str(tmp_path), code=1)["error"]["advice"]
    shutil.rmtree(again)
