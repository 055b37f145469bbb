"""A patient's signing key in a file of its own: made, read and used in the patient's process, never in the daemon.

The file holds the bare seed (mode 0600): it is for demonstrations and for patients' own devices.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from medsync_node.home import write_private
from medsync_protocol.crypto import signing_public
from medsync_protocol.errors import OperatorError

KIND: Final = "medsync-patient-key"


@dataclass(frozen=True, slots=True)
class PatientKey:
    """An Ed25519 key; `seed` is 32 bytes."""

    seed: bytes = field(repr=False)

    @property
    def public(self) -> bytes:
        """What a subject record lists."""
        return signing_public(self.seed)


def create(path: Path) -> PatientKey:
    """A new key in a new file. Raises OperatorError when the file exists or can't be written."""
    if path.exists():
        raise OperatorError(f"{path.name} exists", advice="name another file: a key is never overwritten")
    key = PatientKey(os.urandom(32))
    text = json.dumps({"kind": KIND, "public": key.public.hex(), "seed": key.seed.hex()})
    try:
        write_private(path, text.encode() + b"\n")
    except OSError as error:
        raise OperatorError(
            f"cannot write {path.name}: {error.strerror}", advice="name a file that you may write"
        ) from error
    return key


def read(path: Path) -> PatientKey:
    """The key in a file. Raises OperatorError when there is none."""
    try:
        fields = json.loads(path.read_bytes())
        seed = bytes.fromhex(fields["seed"]) if fields["kind"] == KIND else b""
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OperatorError(
            f"{path.name} is no patient key that can be read", advice="make one with `medsync subject key new FILE`"
        ) from error
    if len(seed) != 32:
        raise OperatorError(
            f"{path.name} holds no patient key", advice="make one with `medsync subject key new FILE`"
        )
    return PatientKey(seed)
