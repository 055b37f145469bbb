"""Where the key file's passphrase comes from: an environment variable, a file, or a prompt; never the command line."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path
from typing import Final

from medsync_protocol.errors import KeyFileLocked, OperatorError

PROMPT: Final = "prompt"
SOURCES: Final = "env:NAME, file:PATH or prompt"
MAX_PASSPHRASE: Final = 4096  # bytes read of a file: a passphrase, not a disk image


def check_source(source: str) -> str:
    """The source itself. Raises OperatorError for anything else, without repeating it: it may be the passphrase."""
    kind, _, rest = source.partition(":")
    if source == PROMPT or (kind in ("env", "file") and rest):
        return source
    raise OperatorError(
        "a passphrase is not given on the command line or in the configuration, only where it comes from",
        advice=f"name {SOURCES}",
    )


ASKED: Final = "passphrase of this home's key file"


def read_passphrase(source: str, *, confirm: bool = False, asked: str = ASKED) -> str:
    """The passphrase from a checked source; a prompt asks for `asked`, twice with `confirm`. Raises KeyFileLocked when there is none."""
    kind, _, rest = check_source(source).partition(":")
    if kind == "env":
        return _from_environment(rest)
    return _from_file(Path(rest).expanduser()) if kind == "file" else _from_terminal(confirm, asked)


def read_secret(source: str) -> str:
    """What `env:NAME` or `file:PATH` holds, for settings that are secret. Raises ValueError without the secret."""
    kind, _, rest = source.partition(":")
    try:
        return _from_environment(rest) if kind == "env" else _from_file(Path(rest).expanduser())
    except KeyFileLocked as error:
        raise ValueError(str(error).replace("passphrase", "value")) from error


def _from_environment(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise KeyFileLocked(
            f"the environment variable {name} holds no passphrase",
            advice=f"set it, or use another of {SOURCES}",
        )
    return value


def _from_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            value = file.read(MAX_PASSPHRASE).decode().removesuffix("\n").removesuffix("\r")
    except (OSError, ValueError) as error:
        raise KeyFileLocked(
            f"no passphrase can be read from {path.name}", advice="name a text file that holds it alone"
        ) from error
    if not value:
        raise KeyFileLocked(f"{path.name} holds no passphrase", advice="name a text file that holds it alone")
    return value


def _from_terminal(confirm: bool, asked: str) -> str:
    if not sys.stdin.isatty():
        raise KeyFileLocked(
            "there is no terminal to ask for the passphrase",
            advice="say where it comes from: --passphrase-from env:NAME or file:PATH",
        )
    value = getpass.getpass(f"{asked}: ")
    if confirm and getpass.getpass("the same again: ") != value:
        raise KeyFileLocked("the two passphrases differ", advice="try again")
    if not value:
        raise KeyFileLocked("no passphrase was given", advice="try again")
    return value
