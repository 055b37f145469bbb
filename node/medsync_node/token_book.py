"""Tokens issued to programs and people: scoped, expiring, revocable, each with a rate. Only their hashes are kept.

The file is read again whenever it changed, so that a revocation counts from the next request on, and needs no daemon.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from medsync_node.home import FILE_MODE, write_private
from medsync_node.tokens import PREFIX, TOKEN_BYTES
from medsync_protocol.errors import OperatorError

MAX_TOKENS: Final = 1_000  # in one book: one for each program, not for each patient
MAX_NAME: Final = 64  # characters
MAX_RATE: Final = 10_000  # requests a second: more than a node answers
DEFAULT_RATE: Final = 50  # requests a second: a busy ward's, not a loop gone wild
_ID_CHARACTERS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """One token. Times in ms; `digest` is its SHA-256 in hex (256 random bits need no slow hash); `rate` per second."""

    id: str
    name: str
    scopes: tuple[str, ...]
    digest: str
    created: int
    expires: int
    rate: int
    revoked: int | None = None

    def valid(self, now: int) -> bool:
        """Neither expired nor revoked."""
        return self.revoked is None and now < self.expires


class TokenBook:
    """The tokens of one home."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._held: tuple[Issued, ...] = ()
        self._by_digest: dict[str, Issued] = {}

    def all(self) -> tuple[Issued, ...]:
        """Every token ever issued here. Raises OperatorError for a file that others may write or that is damaged."""
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            self._seen, self._held, self._by_digest = None, (), {}
            return ()
        mark = (stat.st_ctime_ns, stat.st_ino, stat.st_size)
        if mark != self._seen:
            if stat.st_mode & 0o077:
                raise OperatorError(f"{self._path.name} can be used by others", advice=f"chmod 600 {self._path}")
            self._held = _read(self._path)
            self._by_digest = {one.digest: one for one in self._held}
            self._seen = mark
        return self._held

    def find(self, token: bytes, now: int) -> Issued | None:
        """The valid token of this text. Raises as `all`."""
        self.all()
        digest = hashlib.sha256(token).hexdigest()
        found = self._by_digest.get(digest)
        return found if found is not None and hmac.compare_digest(found.digest, digest) and found.valid(now) else None

    def standing(self, issued: Issued, now: int) -> bool:
        """Whether a token that was found earlier is still in force. Raises as `all`."""
        self.all()
        found = self._by_digest.get(issued.digest)
        return found is not None and found.valid(now)

    def issue(self, now: int, name: str, scopes: Sequence[str], expires: int, rate: int) -> tuple[Issued, str]:
        """A new one and its text, which is shown this once. Raises OperatorError."""
        from medsync_node.api.scopes import SCOPES

        unknown = sorted(set(scopes) - SCOPES.keys())
        if unknown or not scopes:
            raise OperatorError(f"no such scope: {', '.join(unknown) or '(none given)'}", advice=f"there are {', '.join(SCOPES)}")
        if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
            raise OperatorError("this is no name for a token", advice="say which program or person it is for")
        if expires <= now or not 1 <= rate <= MAX_RATE:
            raise OperatorError("a token ends later than now and has a rate", advice=f"1 to {MAX_RATE} requests a second")
        text = PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
        digest = hashlib.sha256(text.encode()).hexdigest()
        with self._changing() as held:
            if len(held) >= MAX_TOKENS:
                raise OperatorError(f"{MAX_TOKENS} tokens were issued here", advice="one for each program is enough")
            made = Issued(
                id=secrets.token_hex(_ID_CHARACTERS // 2), name=name, scopes=tuple(sorted(set(scopes))), digest=digest,
                created=now, expires=expires, rate=rate,
            )  # fmt: skip
            held.append(made)
        return made, text

    def revoke(self, now: int, named: str) -> Issued:
        """End a token by id or name, at once. Raises OperatorError."""
        with self._changing() as held:
            for i, one in enumerate(held):
                if named in (one.id, one.name) and one.revoked is None:
                    held[i] = replace(one, revoked=now)
                    return held[i]
            raise OperatorError(f"there is no token {named!r} in force", advice="see `medsync token list`")

    @contextmanager
    def _changing(self) -> Iterator[list[Issued]]:
        lock = os.open(self._path.with_name("tokens.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            held = list(self.all())
            yield held
            self._write(held)
        finally:
            os.close(lock)

    def _write(self, held: Sequence[Issued]) -> None:
        fields = {"version": 1, "tokens": [asdict(one) for one in held]}
        try:
            write_private(self._path, json.dumps(fields, indent=1).encode() + b"\n")
        except OSError as error:
            raise OperatorError(f"cannot write {self._path.name}: {error.strerror}", advice="see the home's disk") from error


def _read(path: Path) -> tuple[Issued, ...]:
    try:
        listed = json.loads(path.read_bytes())["tokens"]
        return tuple(Issued(**{**one, "scopes": tuple(one["scopes"])}) for one in listed)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OperatorError(
            f"{path.name} can't be read, so that no issued token counts", advice="delete it and issue new tokens"
        ) from error
