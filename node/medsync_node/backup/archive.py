"""The backup file: a tar with a manifest first, then the files it lists with their hashes. What they mean is others'.

A backup holds the journal and the key file under their own seals: whoever has it needs the passphrase too.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Final

from medsync_node.home import DIRECTORY_MODE, FILE_MODE, sync_directory
from medsync_protocol.errors import OperatorError

KIND: Final = "medsync-backup"
VERSION: Final = 1
MANIFEST: Final = "manifest.json"
JOURNAL: Final = "journal.db"
FILES: Final = (JOURNAL, "key.json", "config.toml")
"""What a backup may hold. Tokens, sockets, locks and the restart guard are not in it, on purpose."""
MAX_MANIFEST: Final = 64 * 1024  # bytes: ours have 900
_CHUNK: Final = 1 << 20  # bytes copied and hashed at a time


class BadBackup(OperatorError):
    """A file that is no backup, or lost some of its bytes."""

    def __init__(self, why: str) -> None:
        super().__init__(f"this backup can't be used: {why}", advice="take an older one: `medsync backup verify FILE`")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """`files`: name → (bytes, BLAKE2b-256 in hex). `created` in ms. Keys are public ones, in hex."""

    created: int
    medsync: str
    name: str
    member: str
    device: str
    operations: int
    files: Mapping[str, tuple[int, str]]


def digest_of(path: Path) -> tuple[int, str]:
    """(bytes, BLAKE2b-256 in hex) of a file."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=32))
        return file.tell(), found.hexdigest()


def write_archive(target: Path, manifest: Manifest, sources: Mapping[str, Path]) -> None:
    """Write the file whole or not at all, mode 0600, on the platter when this returns. Raises OSError."""
    draft = target.with_name(f".{target.name}.tar")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                head = json.dumps({"kind": KIND, "version": VERSION, **asdict(manifest)}, indent=2).encode()
                _add(tar, MANIFEST, len(head), io.BytesIO(head))
                for name, path in sources.items():
                    with path.open("rb") as source:
                        _add(tar, name, path.stat().st_size, source)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(target)
    finally:
        draft.unlink(missing_ok=True)
    sync_directory(target.parent)


def _add(tar: tarfile.TarFile, name: str, size: int, source: IO[bytes]) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, FILE_MODE
    tar.addfile(entry, source)


def extract(archive: Path, into: Path) -> Manifest:
    """Make the directory `into`, mode 0700, and put the files there, each checked and synced. Raises BadBackup, OSError."""
    try:
        with tarfile.open(archive, mode="r:") as tar:
            manifest = _read_manifest(tar)
            into.mkdir(mode=DIRECTORY_MODE)
            for name, (size, digest) in manifest.files.items():
                entry = tar.next()
                if entry is None or entry.name != name or not entry.isreg() or entry.size != size:
                    raise BadBackup(f"{name} is missing or has another size")
                source = tar.extractfile(entry)
                assert source is not None, "a regular file has content"
                if _copy(source, into / name) != digest:
                    raise BadBackup(f"{name} is not what was backed up")
    except (tarfile.TarError, EOFError) as error:
        raise BadBackup(f"it is no whole tar file ({error})") from error
    sync_directory(into)
    return manifest


def _copy(source: IO[bytes], target: Path) -> str:
    found = hashlib.blake2b(digest_size=32)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    with os.fdopen(descriptor, "wb") as file:
        while chunk := source.read(_CHUNK):
            found.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return found.hexdigest()


def _read_manifest(tar: tarfile.TarFile) -> Manifest:
    entry = tar.next()
    if entry is None or entry.name != MANIFEST or not entry.isreg() or entry.size > MAX_MANIFEST:
        raise BadBackup("it doesn't begin with a manifest of ours")
    source = tar.extractfile(entry)
    assert source is not None, "a regular file has content"
    try:
        fields: dict[str, Any] = json.loads(source.read())
        if fields.pop("kind") != KIND:
            raise BadBackup("it is of another program")
        version = fields.pop("version")
        if version != VERSION:
            raise BadBackup(f"it has version {version!r}, this program knows {VERSION}")
        files = {str(name): (int(size), str(digest)) for name, (size, digest) in fields.pop("files").items()}
        manifest = Manifest(files=files, **fields)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadBackup("its manifest can't be read") from error
    if not set(manifest.files) <= set(FILES) or JOURNAL not in manifest.files:
        raise BadBackup("it holds other files than a backup does")
    return manifest
