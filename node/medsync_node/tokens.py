"""The bearer token that the API wants over TCP: made at random, kept in a file of mode 0600, compared in constant time."""

from __future__ import annotations

import hmac
import secrets
from pathlib import Path
from typing import Final

from medsync_node.home import write_private
from medsync_protocol.errors import OperatorError

PREFIX: Final = "medsync-"  # so that scanners for leaked secrets know one
TOKEN_BYTES: Final = 32
MAX_TOKEN: Final = 256  # characters


def ensure_token(path: Path) -> str:
    """The token in a file; a new one in a new file where there is none. Raises OperatorError."""
    try:
        return read_token(path)
    except FileNotFoundError:
        token = PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    try:
        write_private(path, f"{token}\n".encode())
    except OSError as error:
        raise OperatorError(
            f"cannot write the token file: {error.strerror}", advice="name another place as api.token_file"
        ) from error
    return token


def read_token(path: Path) -> str:
    """The token in a file. Raises FileNotFoundError, and OperatorError for a file that others may read or that holds none."""
    try:
        if path.stat().st_mode & 0o077:
            raise OperatorError(
                "the token file can be read by other users",
                advice="`chmod 600` it; who may have read it can use the API: delete it, and the next start makes another",
            )
        with path.open("rb") as file:
            token = file.read(MAX_TOKEN + 1).decode().strip()
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise OperatorError("the token file cannot be read", advice="see its owner and mode") from error
    if not 16 <= len(token) <= MAX_TOKEN or not token.isascii() or not token.isprintable():
        raise OperatorError("the token file holds no token", advice="delete it: the next start makes another")
    return token


def matches(header: bytes | None, token: str) -> bool:
    """Whether an Authorization header carries this bearer token; the time it takes tells nothing of where they differ."""
    scheme, _, given = (header or b"").partition(b" ")
    return scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), token.encode())
