"""A home directory: where its files lie, who may read them, one daemon at a time, and the restart guard's file."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from medsync_protocol.codec import pack, unpack, want_array, want_bytes, want_int
from medsync_protocol.errors import Malformed, OperatorError
from medsync_protocol.journal import Guard

DIRECTORY_MODE: Final = 0o700
FILE_MODE: Final = 0o600
MAX_SOCKET_PATH: Final = 107  # bytes: sun_path of Linux


@dataclass(frozen=True, slots=True)
class Home:
    """Names inside one home; nothing is touched by making this."""

    path: Path

    @property
    def config_file(self) -> Path:
        """Settings, `config.toml`."""
        return self.path / "config.toml"

    @property
    def key_file(self) -> Path:
        """The member's and device's seeds under a passphrase."""
        return self.path / "key.json"

    @property
    def journal_file(self) -> Path:
        """The SQLite database."""
        return self.path / "journal.db"

    @property
    def guard_file(self) -> Path:
        """What this home knows to have written, outside the database."""
        return self.path / "guard"

    @property
    def lock_file(self) -> Path:
        """Locked by the daemon that runs on this home; holds its process id."""
        return self.path / "lock"

    @property
    def tokens_file(self) -> Path:
        """Hashes of the issued tokens, with scopes and ends."""
        return self.path / "tokens.json"

    @property
    def api_socket(self) -> Path:
        """Default place of the API's unix socket."""
        return self.path / "api.sock"

    def create(self) -> None:
        """Make the directory, mode 0700. Raises OperatorError when it can't be."""
        try:
            self.path.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
            self.path.chmod(DIRECTORY_MODE)
        except OSError as error:
            raise OperatorError(
                f"cannot make the home directory: {error.strerror}", advice="choose another with --home"
            ) from error

    def require(self) -> None:
        """Raises OperatorError when there is no home here."""
        if not self.path.is_dir():
            raise OperatorError(
                f"there is no home at {self.path}",
                advice="make one with `medsync init NAME`, or name another with --home",
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the home for this process. Raises OperatorError when another one does, or it can't be written."""
        try:
            descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        except OSError as error:
            raise OperatorError(
                f"this home can't be written: {error.strerror}",
                advice="a node writes from its start on: mount its disk for writing, or run as the user that owns the home",
            ) from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
                raise OperatorError(
                    f"another medsync daemon runs on this home (process {holder})",
                    advice="stop that one first, or give this one a home of its own with --home",
                ) from error
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def read_guard(self) -> Guard | None:
        """The guard last written; None when there is none or it can't be read."""
        try:
            identity, incarnation, next_seq = want_array(unpack(self.guard_file.read_bytes()), 3)
            return Guard(
                file_identity=want_bytes(identity), incarnation=want_bytes(incarnation, 8),
                next_seq=want_int(next_seq),
            )  # fmt: skip
        except (FileNotFoundError, Malformed):
            return None

    def write_guard(self, guard: Guard) -> None:
        """Replace the guard, whole or not at all."""
        write_private(self.guard_file, pack([guard.file_identity, guard.incarnation, guard.next_seq]))

    def journal_identity(self, *, survives_power_loss: bool) -> bytes:
        """What tells this database file from a copy; unless writes survive it, the machine's boot counts too.

        Own operations that were sent but not on the platter may be gone after a reboot, so that the chain must not go on.
        """
        stat = self.journal_file.stat()
        boot = b"" if survives_power_loss else _boot_id()
        return pack([stat.st_dev, stat.st_ino, boot])


def write_private(path: Path, content: bytes) -> None:
    """Write a file of mode 0600 atomically and durably."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make renames and new files in it survive a power loss."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _boot_id() -> bytes:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()
    except OSError:  # no such file here: every start counts as after a power loss
        return os.urandom(16)
