"""A home is for its owner and for one daemon at a time, and knows when its database is not the one it wrote."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from medsync_node.home import Home, write_private
from medsync_protocol.errors import OperatorError
from medsync_protocol.journal import Guard, Restart, may_continue


def mode(path: Path) -> int:
    """Permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


def test_a_home_is_made_for_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    home = Home(tmp_path / "deep" / "home")
    before = os.umask(0)
    try:
        home.create()
        home.create()
        write_private(home.key_file, b"seeds")
    finally:
        os.umask(before)
    assert (mode(home.path), mode(home.key_file)) == (0o700, 0o600)


def test_a_home_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OperatorError) as refused:
        Home(tmp_path / "file" / "home").create()
    assert "--home" in refused.value.advice


def test_a_second_daemon_on_one_home_is_told_who_holds_it(tmp_path: Path) -> None:
    home = Home(tmp_path)
    script = (
        "import sys, pathlib; from medsync_node.home import Home; from medsync_protocol.errors import OperatorError\n"
        "try:\n with Home(pathlib.Path(sys.argv[1])).locked(): print('locked')\n"
        "except OperatorError as error: print(error, error.advice)"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with home.locked():
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert f"process {os.getpid()}" in said and "stop that one first" in said
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "locked\n"


def test_a_killed_daemon_leaves_no_lock_behind(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib, signal; from medsync_node.home import Home\n"
        "with Home(pathlib.Path(sys.argv[1])).locked():\n print('locked', flush=True)\n signal.pause()"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "locked\n"
        with pytest.raises(OperatorError), Home(tmp_path).locked():
            pass
        holder.kill()
        holder.wait()
    with Home(tmp_path).locked():
        pass


def test_a_private_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "guard"
    write_private(target, b"first")

    def fails(descriptor: int) -> None:
        raise OSError(28, "no space")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fails)
        with pytest.raises(OSError, match="no space"):
            write_private(target, b"second")
    assert target.read_bytes() == b"first"
    assert [file.name for file in tmp_path.iterdir()] == ["guard"]


def guard_of(home: Home, next_seq: int) -> Guard:
    """The guard as it would be now."""
    identity = home.journal_identity(survives_power_loss=True)
    return Guard(file_identity=identity, incarnation=b"incarnat", next_seq=next_seq)


def test_a_restored_or_copied_journal_is_not_the_one_the_guard_names(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    home.journal_file.write_bytes(b"journal")
    assert home.read_guard() is None
    home.write_guard(guard_of(home, 5))
    assert home.read_guard() == guard_of(home, 5)
    assert may_continue(home.read_guard(), guard_of(home, 5)) is Restart.CONTINUE
    shutil.copytree(home.path, tmp_path / "copy")
    copied = Home(tmp_path / "copy")
    assert may_continue(copied.read_guard(), guard_of(copied, 5)) is Restart.NEW_INCARNATION
    backup = tmp_path / "backup"
    shutil.copy(home.journal_file, backup)
    home.journal_file.unlink()
    backup.rename(home.journal_file)
    assert may_continue(home.read_guard(), guard_of(home, 5)) is Restart.NEW_INCARNATION


def test_an_unreadable_guard_is_none(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for content in (b"", b"\x93", b"\xff" * 20, b"\x93\xc4\x01a\xc4\x01b\x05"):
        home.guard_file.write_bytes(content)
        assert home.read_guard() is None


def test_unless_writes_survive_a_power_loss_the_boot_is_part_of_the_identity(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.journal_file.write_bytes(b"journal")
    lasting, fleeting = (home.journal_identity(survives_power_loss=survives) for survives in (True, False))
    assert lasting != fleeting
    assert fleeting == home.journal_identity(survives_power_loss=False)
