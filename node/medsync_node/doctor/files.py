"""Who may read a home's files, whose they are, and whether there is room for more."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from medsync_node.config import SECRET_SETTINGS, in_force
from medsync_node.doctor.finding import Examined, Finding, Findings
from medsync_node.home import DIRECTORY_MODE, FILE_MODE
from medsync_node.store import is_read_only
from medsync_protocol.errors import OperatorError

_PUBLIC: Final = 0o077  # mode bits that let anybody else in
_SHARED: Final = 0o027  # the same but reading by a group, which for a file outside the home is somebody's choice
_ROOT: Final = 0


def check_files(examined: Examined) -> Findings:
    """Modes and owners: the home 0700, everything secret 0600, all of it the user's that runs this.

    Of secrets that the settings name outside the home (passphrase, TLS key, a file with `chain.rpc`): nobody else may read
    or replace them but root and, if it was given to one, a group.
    """
    home = examined.home
    api = None if examined.config is None else examined.config.api
    secret = {home.key_file, home.config_file, home.guard_file, home.path / "token", home.path / "tokens.json"}
    secret |= {home.journal_file.with_name(home.journal_file.name + end) for end in ("", "-wal", "-shm")}
    if api is not None:
        secret |= {path for path in (api.token_file, api.private_key) if path is not None}
    secret |= set(_named(examined))
    inside = {path for path in secret if path.absolute().is_relative_to(home.path.absolute())}
    yield from _check_modes({home.path}, DIRECTORY_MODE, _PUBLIC)
    yield from _check_modes(inside, FILE_MODE, _PUBLIC)
    yield from _check_owners({home.path, *inside}, frozenset({os.geteuid()}), "chown -R the home to it")
    yield from _check_modes(secret - inside, FILE_MODE, _SHARED)
    yield from _check_owners(secret - inside, frozenset({os.geteuid(), _ROOT}), "chown them to it: their owner can replace them")


def _named(examined: Examined) -> Iterator[Path]:
    """Files that settings name as the place of a secret."""
    try:
        settings = in_force(examined.home.path, examined.environment)
    except OperatorError:
        return  # the settings' own check tells
    for name, value, _, _ in settings:
        if name in SECRET_SETTINGS and isinstance(value, str) and value.startswith("file:"):
            yield Path(value.removeprefix("file:")).expanduser()


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None  # that it is missing, or can't be reached, tells whoever needs it


def _check_modes(paths: Iterable[Path], mode: int, public: int) -> Findings:
    found = {path: status.st_mode & 0o777 for path in sorted(paths) if (status := _stat(path)) and status.st_mode & public}
    if found:
        listed = ", ".join(f"{path.name} (mode {bits:04o})" for path, bits in found.items())
        yield Finding(
            code="file_mode", what=f"{listed} can be used by others on this machine",
            advice=f"chmod {mode:o} {' '.join(map(str, found))}; what others may have read, replace: keys, passphrase, tokens",
        )  # fmt: skip


def _check_owners(paths: Iterable[Path], allowed: frozenset[int], then: str) -> Findings:
    by_owner: dict[int, list[str]] = {}
    for path in sorted(paths):
        if (status := _stat(path)) and status.st_uid not in allowed:
            by_owner.setdefault(status.st_uid, []).append(path.name)
    for owner, names in sorted(by_owner.items()):
        belong = "belongs" if len(names) == 1 else "belong"
        yield Finding(
            code="file_owner", what=f"{', '.join(names)} {belong} to user id {owner}, and this runs as {os.geteuid()}",
            advice=f"run medsync always as the same user, or {then}",
        )  # fmt: skip


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
