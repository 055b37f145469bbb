"""Who may read a home's files, whose they are, and whether there is room for more."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from medsync_node.doctor.finding import Examined, Finding, Findings
from medsync_node.home import DIRECTORY_MODE, FILE_MODE
from medsync_node.store import is_read_only

_PUBLIC: Final = 0o077  # mode bits that let anybody else in


def check_files(examined: Examined) -> Findings:
    """Modes and owners: the home 0700, everything secret 0600, all of it the user's that runs this."""
    home = examined.home
    yield from _check(home.path, DIRECTORY_MODE)
    api = None if examined.config is None else examined.config.api
    secret = {home.key_file, home.config_file, home.guard_file, home.path / "token", home.path / "tokens.json"}
    secret |= {home.journal_file.with_name(home.journal_file.name + end) for end in ("", "-wal", "-shm")}
    if api is not None:
        secret |= {path for path in (api.token_file, api.private_key) if path is not None}
    for path in sorted(secret):
        if path.exists():
            yield from _check(path, FILE_MODE)


def _check(path: Path, mode: int) -> Findings:
    found = path.stat()
    if found.st_mode & _PUBLIC:
        yield Finding(
            code="file_mode",
            what=f"{path.name} can be used by others on this machine (mode {found.st_mode & 0o777:04o})",
            advice=f"chmod {mode:o} {path}; what others may have read, replace: keys, passphrase, tokens",
        )
    if found.st_uid != os.geteuid():
        yield Finding(
            code="file_owner",
            what=f"{path.name} belongs to user id {found.st_uid}, and this runs as {os.geteuid()}",
            advice="run medsync always as the same user, or chown -R the home to it",
        )


def check_space(examined: Examined) -> Findings:
    """Whether the disk can be written and holds at least what is asked for."""
    home = examined.home.path
    if is_read_only(home):
        yield Finding(
            code="disk_read_only", what="the home's file system is read-only: nothing is recorded or acknowledged",
            advice="see the kernel's log for disk errors (dmesg), mend or replace the disk, then mount it for writing",
        )  # fmt: skip
    free = shutil.disk_usage(home).free
    if free < examined.least_free:
        yield Finding(
            code="disk_space",
            what=f"the home's disk has {free >> 20} MiB left, less than {examined.least_free >> 20} MiB",
            advice="free space or move the home to a larger disk; at 0 the node records and acknowledges nothing",
        )
