"""What took place in a run, line by line; its digest names the run. Equal seeds give equal bytes on every machine."""

from __future__ import annotations

import hashlib


class Trace:
    """`keep`: hold the lines as well as their digest."""

    def __init__(self, *, keep: bool = False) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self.lines: list[str] | None = [] if keep else None

    def note(self, now: int, what: str, *fields: object) -> None:
        """One line: time in ms, what, and plain fields; bytes as their first eight hex digits."""
        line = f"{now} {what} " + " ".join(_text(field) for field in fields)
        self._hash.update(line.encode() + b"\n")
        if self.lines is not None:
            self.lines.append(line)

    @property
    def digest(self) -> str:
        """32 hex digits over every line so far."""
        return self._hash.hexdigest()


def _text(field: object) -> str:
    if isinstance(field, bytes):
        return hashlib.blake2b(field, digest_size=8).hexdigest() if len(field) > 64 else field[:8].hex()
    return str(field)
