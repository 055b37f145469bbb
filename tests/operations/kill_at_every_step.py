"""Runs an action again and again, each time killed (SIGKILL) one step later, until it comes through.

A step is whatever the interpreter reports to audit hooks about files and databases: opening, renaming, removing, …; of a
migration each statement is one.
Run as a program: it forks, which a test with threads must not.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from medsync_node import key_file, rekeying, schema
from medsync_node.backup import making, restoring
from medsync_node.compacting import compact
from medsync_node.home import Home
from medsync_node.store import Store
from medsync_protocol.errors import OperatorError
from medsync_protocol.ids import ContextId
from medsync_protocol.journal import ValueRecord

KEY = b"k" * 32
PASSPHRASE = "correct horse battery"
SECRET = ValueRecord("epoch_key", ContextId(b"c" * 32), b"name", b"a secret value", secret=True)
STATEMENT = "medsync.statement"
WATCHED = (
    "open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate", "sqlite3.connect",
    "shutil.rmtree", "shutil.copyfile", "ctypes.dlsym", "fcntl.flock", STATEMENT,
)  # fmt: skip


def killed_at(step: int, action: Callable[[], object]) -> bool:
    """Whether the action was killed at this step; False: it came through before."""
    child = os.fork()
    if child == 0:
        left = step

        def hook(event: str, _: Any) -> None:
            nonlocal left
            if event in WATCHED:
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        action()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the action failed"
    return os.WIFSIGNALED(status)


def operations_of(home: Path) -> int:
    """How many operations a usable home holds; raises when it isn't usable."""
    key_file.read_head(Home(home).key_file)
    with Store(Home(home).journal_file, storage_key=KEY) as store:
        return store.reader.check()


def main(directory: Path, what: str) -> None:
    """Prints how many steps there were."""
    template, archive, home, target = (directory / name for name in ("template", "a.backup", "home", "made.backup"))
    old, new = operations_of(template), making.verify(archive).operations
    assert old != new
    actions: dict[str, Callable[[], object]] = {
        "create": lambda: making.create(Home(home), target),
        "restore": lambda: restoring.restore(archive, Home(home)),
        "replace": lambda: restoring.restore(archive, Home(home), replace=True),
        "compact": lambda: compact(Home(home)),
        "migrate": lambda: _migrate(Home(home)),
        "rekey": lambda: _rekey(Home(home)),
        "change-passphrase": lambda: key_file.change_passphrase(
            home / "key.json", "correct horse battery", "another horse battery", cost=key_file.Cost.DEVELOPER
        ),
    }
    if what == "rekey":
        _put_secret(Home(template))
    step, killed = 0, True
    while killed:
        for left in directory.glob("home*"):
            shutil.rmtree(left)
        target.unlink(missing_ok=True)  # what a killed run left beside stays: the next one must cope with it
        if what != "restore":
            shutil.copytree(template, home)
        killed = killed_at(step, actions[what])
        step += 1
        if what == "migrate":
            _check_migrated(Home(home), killed)
        if what == "restore":
            assert not killed or not home.exists() or operations_of(home) == new
        else:
            assert operations_of(home) in ((old, new) if what == "replace" else (old,))
        if what == "create" and target.exists():
            assert making.verify(target).operations == old
        if what == "replace":
            kept = [operations_of(one) for one in directory.glob("home.before-*")]
            assert sorted([operations_of(home), *kept]) in ([old], sorted([old, new])), "nothing is lost"
        if what == "change-passphrase":
            assert any(_opens(home, one) for one in ("correct horse battery", "another horse battery"))
        if what == "rekey":
            _read_secret(Home(home))
    assert operations_of(home) == (new if what in ("restore", "replace") else old)
    print(step)


def _later(connection: sqlite3.Connection) -> None:
    """A migration as a coming version may have one."""
    connection.execute("CREATE TABLE later (op INTEGER PRIMARY KEY, size INTEGER NOT NULL)")
    connection.execute("INSERT INTO later SELECT id, length(body) FROM ops")
    connection.execute("CREATE INDEX later_by_size ON later (size)")


def _migrate(home: Home) -> None:
    with closing(sqlite3.connect(home.journal_file, isolation_level=None)) as connection:
        connection.set_trace_callback(lambda _: sys.audit(STATEMENT))
        schema.prepare(connection, (*schema.MIGRATIONS, _later))


def _check_migrated(home: Home, killed: bool) -> None:
    """It is of the old version without a trace of the new one, or of the new one with all of it; then as this program knows it."""
    now = len(schema.MIGRATIONS)
    with closing(sqlite3.connect(home.journal_file, isolation_level=None)) as connection:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_master WHERE name LIKE 'later%'").fetchone()[0]
        assert (version, tables) in ([(now, 0), (now + 1, 2)] if killed else [(now + 1, 2)])
        if version > now:
            held = connection.execute("SELECT (SELECT count(*) FROM ops), (SELECT count(*) FROM later)").fetchone()
            assert held[0] == held[1]
            connection.execute(f"PRAGMA user_version = {now}")


def _put_secret(home: Home) -> None:
    identity = key_file.unlock(home.key_file, PASSPHRASE)
    with Store(home.journal_file, storage_key=identity.storage_key) as store:
        store.commit([SECRET], durable=True)


def _rekey(home: Home) -> None:
    rekeying.prepare(home.key_file, PASSPHRASE)
    rekeying.certified(home.key_file, PASSPHRASE)
    rekeying.take_over(home, PASSPHRASE)


def _read_secret(home: Home) -> None:
    """What a start does after the kill: take over if it was certified, and read the journal under the key that gives."""
    old = key_file.open_keys(home.key_file, PASSPHRASE)
    identity = rekeying.take_over(home, PASSPHRASE)
    assert old.identity.member == identity.member and key_file.unlock(home.key_file, PASSPHRASE) == identity
    with Store(home.journal_file, storage_key=identity.storage_key) as store:
        assert SECRET in list(store.reader.replay())
    for former in identity.storage_keys[1:]:
        with Store(home.journal_file, storage_key=former) as store:
            try:
                list(store.reader.replay())
            except OperatorError:
                continue
            raise AssertionError("the old storage key opens the journal")


def _opens(home: Path, passphrase: str) -> bool:
    try:
        key_file.unlock(home / "key.json", passphrase)
    except OperatorError:
        return False
    return True


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
