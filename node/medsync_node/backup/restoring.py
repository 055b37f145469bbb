"""Puts a backup back as a home, whole or not at all: at every step the old home or the new one is there and usable.

The new home begins a new incarnation: neither its incarnation nor its restart guard is in a backup, so that no
(chain, seq) is ever used twice (PROTOCOL §1), however often and wherever one backup is restored.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sqlite3
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from medsync_node import key_file
from medsync_node.backup.archive import JOURNAL, Manifest, extract
from medsync_node.backup.making import forget_incarnation, sync_file
from medsync_node.doctor.journal import check_rows
from medsync_node.home import Home, sync_directory
from medsync_protocol.errors import OperatorError

_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2  # renameat2(2): both names swap in one step


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What came back. `before`: where the home that stood there is now."""

    manifest: Manifest
    before: Path | None


def restore(archive: Path, home: Home, *, replace: bool = False, keys: Path | None = None) -> Restored:
    """Unpack and check beside the home, then put it in place by one rename. Raises OperatorError.

    A home that stands there is only replaced when `replace` says so and no daemon runs on it, and is kept beside.
    `keys`: the key file for a backup that holds none.
    """
    path = home.path
    occupied = path.is_dir() and any(path.iterdir())
    if occupied and not replace:
        raise OperatorError(
            f"there is a home at {path}",
            advice="name another with --home, or say --replace: the one there is kept beside it",
        )
    staging = path.with_name(f".{path.name}.restoring")
    with ExitStack() as stack:
        if occupied:
            stack.enter_context(home.locked())
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(staging, ignore_errors=True)  # of one that was killed
            manifest = _stage(archive, staging, keys)
            before = _put_in_place(staging, path, occupied)
        except (OSError, sqlite3.Error) as error:
            raise OperatorError(
                f"the backup could not be restored: {error}",
                advice="it needs the backup's size on the home's disk; a home that stood there is as it was",
            ) from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return Restored(manifest=manifest, before=before)


def _stage(archive: Path, staging: Path, keys: Path | None) -> Manifest:
    manifest = extract(archive, staging)
    new = Home(staging)
    if keys is None and not new.key_file.exists():
        raise OperatorError("this backup holds no key file", advice="name a copy of it with --key-file")
    if keys is not None:
        shutil.copyfile(keys, new.key_file)
        new.key_file.chmod(0o600)
        sync_file(new.key_file)
    head = key_file.read_head(new.key_file)
    if (head.member, head.device) != (manifest.member, manifest.device):
        raise OperatorError("the key file is of another home than the backup", advice="name the right one with --key-file")
    forget_incarnation(staging / JOURNAL)
    check_rows(staging / JOURNAL)
    sync_file(staging / JOURNAL)
    sync_directory(staging)
    return manifest


def _put_in_place(staging: Path, path: Path, occupied: bool) -> Path | None:
    if not occupied:
        staging.rename(path)  # onto nothing, or an empty directory
        sync_directory(path.parent)
        return None
    before = path.with_name(f"{path.name}.before-{time.time_ns() // 1_000_000}")
    staging.rename(before)  # so that what is swapped out has its lasting name at once
    try:
        _exchange(before, path)
    except OperatorError:
        before.rename(staging)
        raise
    sync_directory(path.parent)
    return before


def _exchange(one: Path, other: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE):
        error = ctypes.get_errno()
        raise OperatorError(
            f"this file system can't swap two directories at once ({os.strerror(error)})",
            advice="move the old home away yourself, then restore without --replace",
        )
