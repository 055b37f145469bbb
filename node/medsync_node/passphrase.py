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


def absolute_source(source: str) -> str:
    """A source that means the same from any directory: what is kept in a home's settings."""
    kind, _, rest = source.partition(":")
    return f"file:{Path(rest).expanduser().absolute()}" if kind == "file" and rest else source


ASKED: Final = "passphrase of this home's key file"


def read_passphrase(source: str, *, confirm: bool = False, asked: str = ASKED) -> str:
    """The passphrase from a checked source; a prompt asks for `asked`. Raises KeyFileLocked when there is none.

    `confirm`: a new one; a prompt asks twice, and a file must hold one line. (Homes whose passphrase has two go on opening.)
    """
    kind, _, rest = check_source(source).partition(":")
    if kind == "env":
        return _from_environment(rest)
    return _from_file(Path(rest).expanduser(), confirm) if kind == "file" else _from_terminal(confirm, asked)


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


def _from_file(path: Path, new: bool = False) -> str:
    """`new`: it is to be kept, so that a file with more than a passphrase in it is a mistake still to be mended."""
    whole = path.absolute()
    where = "" if path.is_absolute() else f"; {path} was looked for in the directory that this runs in: give the whole path"
    try:
        with path.open("rb") as file:
            value = file.read(MAX_PASSPHRASE).decode().removesuffix("\n").removesuffix("\r")
    except FileNotFoundError as error:
        raise KeyFileLocked(
            f"no passphrase can be read from {whole}: it does not exist", advice=f"put the passphrase there, or name {SOURCES}{where}"
        ) from error
    except OSError as error:
        raise KeyFileLocked(
            f"no passphrase can be read from {whole}: {error.strerror}",
            advice="run as the user that may read it, or give the file to that user, mode 0600",
        ) from error
    except ValueError as error:
        raise KeyFileLocked(
            f"no passphrase can be read from {whole}: it is no text", advice="name a text file that holds it alone"
        ) from error
    if not value:
        raise KeyFileLocked(f"{whole} is empty: it holds no passphrase", advice="name a text file that holds it alone")
    if new and len(value.splitlines()) > 1:
        raise KeyFileLocked(f"{whole} holds {len(value.splitlines())} lines, not a passphrase alone", advice="leave one line in it")
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
