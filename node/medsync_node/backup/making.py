"""Makes a backup of a home and checks one, whether its daemon runs or not."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from medsync_node import key_file
from medsync_node.access_rows import AccessIndex
from medsync_node.backup.archive import JOURNAL, BadBackup, Manifest, digest_of, extract, write_archive
from medsync_node.doctor.journal import check_rows
from medsync_node.home import DIRECTORY_MODE, Home
from medsync_node.incarnation import FACT
from medsync_node.store_reader import StoreReader
from medsync_protocol.errors import OperatorError


def create(home: Home, target: Path, *, with_key: bool = True) -> Manifest:
    """Copy one moment of a home into a new file. Raises OperatorError; then there is no such file.

    The daemon may write meanwhile. `with_key` False leaves the key file out: without another copy of it, what is
    backed up opens for nobody.
    """
    home.require()
    head = key_file.read_head(home.key_file)
    if target.exists():
        raise OperatorError(f"{target.name} exists: a backup is never overwritten", advice="name a new file")
    if not home.journal_file.exists():
        raise OperatorError("this home has no journal yet", advice="start the daemon once: `medsync run`")
    scratch = target.with_name(f".{target.name}.draft")
    try:
        shutil.rmtree(scratch, ignore_errors=True)  # of one that was killed
        scratch.mkdir(mode=DIRECTORY_MODE)
        try:
            journal = scratch / JOURNAL
            operations = _copy_journal(home, journal)
            sources = {JOURNAL: journal}
            for path in [home.key_file] * with_key + [home.config_file] * home.config_file.exists():
                sources[path.name] = Path(shutil.copyfile(path, scratch / path.name))  # may change meanwhile
            manifest = Manifest(
                created=time.time_ns() // 1_000_000, medsync=version("medsync"), name=head.name, member=head.member,
                device=head.device, operations=operations,
                files={name: digest_of(path) for name, path in sources.items()},
            )  # fmt: skip
            write_archive(target, manifest, sources)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except (OSError, sqlite3.Error) as error:
        raise OperatorError(
            f"the backup could not be written: {error}",
            advice="it needs room for the journal twice where the backup goes; the home itself is as it was",
        ) from error
    return manifest


def _copy_journal(home: Home, journal: Path) -> int:
    reader = StoreReader(home.journal_file, storage_key=b"", index=AccessIndex())  # copies, opens no secret
    try:
        reader.backup(journal)
    finally:
        reader.close()
    forget_incarnation(journal)
    return check_rows(journal)


def forget_incarnation(journal: Path) -> None:
    """Take out of a copy the name under which its home writes: whatever starts on the copy takes a new one (PROTOCOL §1)."""
    with closing(sqlite3.connect(journal, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("DELETE FROM facts WHERE name = ?", (FACT,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a backup was found to hold. `opened`: its secrets opened under the passphrase; None: not tried."""

    manifest: Manifest
    operations: int
    opened: int | None


def verify(archive: Path, *, passphrase: str | None = None, keys: Path | None = None) -> Verified:
    """Unpack a backup in a temporary place and read all of it; nothing stays. Raises OperatorError.

    With a passphrase every record is read as a start would, secrets too, by the key file in it, or `keys`.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="medsync-verify-") as scratch:
            place = Path(scratch) / "home"
            manifest = extract(archive, place)
            operations = check_rows(place / JOURNAL)
            opened = None if passphrase is None else _replay(place, keys or place / "key.json", passphrase)
    except (OSError, sqlite3.Error) as error:
        raise OperatorError(
            f"the backup can't be read: {error}", advice=f"see the file; checking needs its size in {tempfile.gettempdir()}"
        ) from error
    if operations != manifest.operations:
        raise BadBackup(f"it holds {operations} operations, not {manifest.operations}")
    return Verified(manifest=manifest, operations=operations, opened=opened)


def _replay(place: Path, keys: Path, passphrase: str) -> int:
    identity = key_file.unlock(keys, passphrase)
    reader = StoreReader(place / JOURNAL, storage_key=identity.storage_key, index=AccessIndex())
    try:
        return sum(1 for _ in reader.replay())
    finally:
        reader.close()


def sync_file(path: Path) -> None:
    """Have a file's bytes on the platter."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
