"""The account's secret: where `--key` says it lies. Never in arguments, logs or messages."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from medsync_bridge.errors import BadKey
from medsync_protocol.errors import Malformed
from medsync_protocol.stark import public_key

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_ADVICE = "give --key env:NAME or --key file:PATH, holding the secret in hex; a file readable by you alone"


def read_secret(source: str) -> int:
    """The secret in `env:NAME` or `file:PATH` (mode 0600), hex. Raises BadKey."""
    kind, _, where = source.partition(":")
    if kind == "env" and where:
        text = os.environ.get(where)
        if text is None:
            raise BadKey(f"the variable {where} is not set", advice=_ADVICE)
    elif kind == "file" and where:
        text = _read_private(Path(where).expanduser())
    else:
        raise BadKey("--key takes env:NAME or file:PATH", advice=_ADVICE)
    return _parse(text)


def write_secret(path: Path, secret: int) -> None:
    """A key file for `file:PATH`. Raises FileExistsError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{secret:#x}\n")


def _read_private(path: Path) -> str:
    try:
        with path.open() as file:
            mode = os.fstat(file.fileno()).st_mode
            if mode & _OTHERS:
                raise BadKey("the key file can be read by others", advice=f"chmod 600 {path}")
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise BadKey(f"the key file can't be read ({type(error).__name__})", advice=_ADVICE) from error


def _parse(text: str) -> int:
    try:
        secret = int(text.strip(), 16)
        public_key(secret)
    except (ValueError, Malformed) as error:
        raise BadKey("the key is no STARK secret in hex", advice=_ADVICE) from error
    return secret
