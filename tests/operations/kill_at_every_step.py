"""Runs an action again and again, each time killed (SIGKILL) one step later, until it comes through.

A step is whatever the interpreter reports to audit hooks about files and databases: opening, renaming, removing, …
Run as a program: it forks, which a test with threads must not.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from medsync_node import key_file
from medsync_node.backup import making, restoring
from medsync_node.compacting import compact
from medsync_node.home import Home
from medsync_node.store import Store
from medsync_protocol.errors import OperatorError

KEY = b"k" * 32
WATCHED = (
    "open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate", "sqlite3.connect",
    "shutil.rmtree", "shutil.copyfile", "ctypes.dlsym", "fcntl.flock",
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
        "change-passphrase": lambda: key_file.change_passphrase(
            home / "key.json", "correct horse battery", "another horse battery", cost=key_file.Cost.DEVELOPER
        ),
    }
    step, killed = 0, True
    while killed:
        for left in directory.glob("home*"):
            shutil.rmtree(left)
        target.unlink(missing_ok=True)  # what a killed run left beside stays: the next one must cope with it
        if what != "restore":
            shutil.copytree(template, home)
        killed = killed_at(step, actions[what])
        step += 1
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
    assert operations_of(home) == (new if what in ("restore", "replace") else old)
    print(step)


def _opens(home: Path, passphrase: str) -> bool:
    try:
        key_file.unlock(home / "key.json", passphrase)
    except OperatorError:
        return False
    return True


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
