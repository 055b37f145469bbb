"""The key file of a home: the member's and the device's seeds, sealed under a passphrase by argon2id and secretbox.

Where the passphrase comes from is `passphrase.py`'s; what derives from the seeds is `medsync_protocol.identity`'s.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Final

from nacl.exceptions import CryptoError
from nacl.pwhash import argon2id
from nacl.secret import SecretBox

from medsync_node.home import write_private
from medsync_protocol.errors import KeyFileLocked, OperatorError
from medsync_protocol.identity import Identity

KIND: Final = "medsync-key-file"
VERSION: Final = 1
VERSION_RENEWED: Final = 2  # what a program that knows only version 1 would read wrongly: keys that were renewed
MIN_PASSPHRASE: Final = 8  # characters: below it a stolen key file is searched in minutes, whatever the cost
MAX_NAME: Final = 64  # characters: a name stands in tables and logs
MAX_FILE: Final = 64 * 1024  # bytes: ours have 700, and 260 more for each time the keys were renewed
MAX_MEMORY: Final = 1 << 30  # bytes that a key file may ask of us: 4 times what we write
MAX_PASSES: Final = 16

JOURNAL: Final = "journal.db"  # beside the key file of a home that has been in use
RESTORE = "restore it from your backup: without it this home's member and device keys are gone"


class Cost(Enum):
    """(passes, bytes) of argon2id: what trying one passphrase costs, here and for whoever stole the file."""

    INSTITUTION = (argon2id.OPSLIMIT_MODERATE, argon2id.MEMLIMIT_MODERATE)  # 256 MiB, most of a second
    DEVELOPER = (
        argon2id.OPSLIMIT_INTERACTIVE,
        argon2id.MEMLIMIT_INTERACTIVE,
    )  # 64 MiB: many homes on a laptop


@dataclass(frozen=True, slots=True)
class KeyFileHead:
    """What stands in clear: the name and public keys, for `medsync init` and for people who look."""

    name: str
    member: str
    device: str


@dataclass(frozen=True, slots=True)
class Renewal:
    """A device and sealing seed that will take the place of the present ones; `certified` once other members know."""

    device_seed: bytes = field(repr=False)
    sealing_seed: bytes = field(repr=False)
    certified: bool = False


@dataclass(frozen=True, slots=True)
class Keys:
    """What a key file holds: the identity in use, and the renewal under way if there is one."""

    identity: Identity
    renewal: Renewal | None = None

    def renewed(self) -> Identity:
        """The identity once the renewal is done."""
        assert self.renewal is not None, "asked of a key file with a renewal"
        return self.identity.renewed(
            device_seed=self.renewal.device_seed, sealing_seed=self.renewal.sealing_seed
        )


def new_identity(name: str) -> Identity:
    """Fresh random seeds. Raises OperatorError for a name that can't be shown."""
    if not name or len(name) > MAX_NAME or not name.isprintable() or name != name.strip():
        raise OperatorError(
            "this is no name for a member",
            advice=f"use 1 to {MAX_NAME} printable characters, no space at the ends",
        )
    return Identity(member_seed=os.urandom(32), device_seed=os.urandom(32), name=name)


def another_device(identity: Identity) -> Identity:
    """The same member on a device of its own."""
    return Identity(
        member_seed=identity.member_seed, device_seed=os.urandom(32), name=identity.name,
        sealing_seeds=identity.sealing_seeds,
    )  # fmt: skip


def refuse_existing(path: Path) -> None:
    """Raises OperatorError when there is a key file: keys are never overwritten."""
    if path.exists():
        raise OperatorError(
            f"{path.name} exists: this home has an identity", advice="name another home with --home"
        )


def refuse_orphaning(path: Path) -> None:
    """Raises OperatorError where a journal lies but no key file: new keys would leave it without its own."""
    if path.with_name(JOURNAL).exists() and not path.exists():
        raise _missing(path)


def _missing(path: Path) -> OperatorError:
    if path.with_name(JOURNAL).exists():
        return OperatorError(
            f"this home has a journal, but no key file any more: {path} is missing",
            advice=f"put it back: from a backup (`medsync backup restore` makes a home of one), or copy what `medsync key export` wrote "
            f"to {path}, which opens under that copy's passphrase. New keys would be another member's",
        )  # fmt: skip
    return OperatorError(
        "this home has no key file", advice="make one with `medsync init NAME`, or name another home with --home"
    )


def create(path: Path, identity: Identity, passphrase: str, *, cost: Cost = Cost.INSTITUTION) -> None:
    """Seal an identity into a new file, mode 0600. Raises OperatorError when it exists or the passphrase is short."""
    refuse_existing(path)
    _write(path, Keys(identity), passphrase, cost.value)


def change_passphrase(path: Path, old: str, new: str, *, cost: Cost = Cost.INSTITUTION) -> None:
    """Seal the same keys under another passphrase, at once or not at all. Raises as `unlock` and `create`.

    Copies made before still open under the old one.
    """
    _write(path, open_keys(path, old), new, cost.value)


def replace(path: Path, keys: Keys, passphrase: str) -> None:
    """Seal other content into a key file that this passphrase opens, at once or not at all. Raises as `unlock`."""
    kdf = _read(path)["kdf"]
    _write(path, keys, passphrase, (kdf["passes"], kdf["memory"]))


def _write(path: Path, keys: Keys, passphrase: str, cost: tuple[int, int]) -> None:
    if len(passphrase) < MIN_PASSPHRASE:
        raise OperatorError(
            "the passphrase is too short",
            advice=f"use {MIN_PASSPHRASE} characters or more: it guards the member's keys",
        )
    (passes, memory), identity = cost, keys.identity
    salt = os.urandom(argon2id.SALTBYTES)
    secrets: dict[str, object] = {
        "member": identity.member_seed.hex(),
        "device": identity.device_seed.hex(),
        "name": identity.name,
    }
    if (again := bool(identity.former_devices or identity.sealing_seeds or keys.renewal)):
        secrets["former"] = [seed.hex() for seed in identity.former_devices]
        secrets["sealing"] = [seed.hex() for seed in identity.sealing_seeds]
    if (new := keys.renewal) is not None:
        secrets["renewal"] = [new.device_seed.hex(), new.sealing_seed.hex(), new.certified]
    box = _box(passphrase, salt, passes, memory).encrypt(json.dumps(secrets).encode())
    text = json.dumps(
        {
            "kind": KIND, "version": VERSION_RENEWED if again else VERSION, "name": identity.name, "member": identity.member.hex(),
            "device": identity.device.hex(),
            "kdf": {"name": "argon2id", "passes": passes, "memory": memory, "salt": salt.hex()},
            "box": bytes(box).hex(),
        },
        indent=2,
    )  # fmt: skip
    try:
        write_private(path, text.encode() + b"\n")
    except OSError as error:
        raise OperatorError(
            f"cannot write {path.name}: {error.strerror}", advice="choose a home that you may write"
        ) from error


def read_head(path: Path) -> KeyFileHead:
    """What stands in clear. Raises OperatorError when there is no key file or it can't be read."""
    fields = _read(path)
    return KeyFileHead(_text(fields, "name"), _text(fields, "member"), _text(fields, "device"))


def unlock(path: Path, passphrase: str) -> Identity:
    """The identity in a key file. Raises KeyFileLocked for a wrong passphrase, OperatorError for a damaged file."""
    return open_keys(path, passphrase).identity


def open_keys(path: Path, passphrase: str) -> Keys:
    """All that is in a key file. Raises as `unlock`."""
    fields = _read(path)
    kdf = fields.get("kdf")
    if not isinstance(kdf, dict) or kdf.get("name") != "argon2id":
        raise _damaged(path)
    passes, memory = kdf.get("passes"), kdf.get("memory")
    if not isinstance(passes, int) or not isinstance(memory, int):
        raise _damaged(path)
    if not (1 <= passes <= MAX_PASSES and argon2id.MEMLIMIT_MIN <= memory <= MAX_MEMORY):
        raise _damaged(path)
    salt, box = _hex(path, kdf, "salt"), _hex(path, fields, "box")
    if len(salt) != argon2id.SALTBYTES:
        raise _damaged(path)
    try:
        opened = _box(passphrase, salt, passes, memory).decrypt(box)
    except CryptoError as error:
        raise KeyFileLocked(
            "the passphrase does not open this home's key file",
            advice="try again; if it is lost, nothing opens the file: init a new home and have it invited again",
        ) from error
    keys = _keys(path, opened)
    identity = keys.identity
    if (identity.member.hex(), identity.device.hex()) != (fields.get("member"), fields.get("device")):
        raise _damaged(path)
    return keys


def _box(passphrase: str, salt: bytes, passes: int, memory: int) -> SecretBox:
    return SecretBox(
        argon2id.kdf(SecretBox.KEY_SIZE, passphrase.encode(), salt, opslimit=passes, memlimit=memory)
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            fields = json.loads(file.read(MAX_FILE))
    except FileNotFoundError as error:
        raise _missing(path) from error
    except OSError as error:
        raise OperatorError(
            f"cannot read {path.name}: {error.strerror}", advice="run as the user that owns this home"
        ) from error
    except ValueError as error:
        raise _damaged(path) from error
    if not isinstance(fields, dict) or fields.get("kind") != KIND:
        raise _damaged(path)
    if fields.get("version") not in (VERSION, VERSION_RENEWED):
        raise OperatorError(
            "the key file is of a newer program", advice="run the version that wrote it, or newer"
        )
    return fields


def _keys(path: Path, opened: bytes) -> Keys:
    try:
        fields = json.loads(opened)
        identity = Identity(
            member_seed=bytes.fromhex(fields["member"]), device_seed=bytes.fromhex(fields["device"]),
            name=str(fields["name"]), sealing_seeds=tuple(map(bytes.fromhex, fields.get("sealing", ()))),
            former_devices=tuple(map(bytes.fromhex, fields.get("former", ()))),
        )  # fmt: skip
        if (new := fields.get("renewal")) is None:
            return Keys(identity)
        device, sealing, certified = new
        return Keys(identity, Renewal(bytes.fromhex(device), bytes.fromhex(sealing), bool(certified)))
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path) from error


def _text(fields: dict[str, Any], name: str) -> str:
    return str(fields.get(name, ""))


def _hex(path: Path, fields: dict[str, Any], name: str) -> bytes:
    try:
        return bytes.fromhex(fields[name])
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> OperatorError:
    return OperatorError(f"{path.name} is damaged or no key file of ours", advice=RESTORE)
