"""The bridge's directory: 0700, one bridge at a time, its journal in it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from medsync_bridge.journal import Journal, JournalInUse, open_journal

JOURNAL: Final = "journal.sqlite"
_LOCK: Final = "lock"


@contextmanager
def open_home(path: Path) -> Iterator[Journal]:
    """The journal of this home, made if missing, locked for this process. Raises JournalInUse."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    descriptor = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _lock(descriptor)
        with open_journal(path / JOURNAL) as journal:
            yield journal
    finally:
        os.close(descriptor)


@contextmanager
def read_home(path: Path) -> Iterator[Journal | None]:
    """The journal for reading beside a running bridge; None when this home has none yet."""
    if not (path / JOURNAL).exists():
        yield None
        return
    with open_journal(path / JOURNAL) as journal:
        yield journal


def _lock(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise JournalInUse(
            "another bridge works in this home", advice="stop it, or give --bridge-home another directory"
        ) from error
