"""Blocks and classes on disk (SQLite): what was accepted survives a kill. Transactions not yet in a block do not.

A block is committed, synchronously, before anyone is told of it. What the documents mean is `documents.py`'s.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from medsync_chain.vm.field import FIELD_PRIME

__all__ = ["Store", "StoreProblem"]

FORMAT = "1"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS blocks (number INTEGER PRIMARY KEY, document BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS classes (hash BLOB PRIMARY KEY, sierra BLOB NOT NULL, casm BLOB NOT NULL) WITHOUT ROWID;
"""
_QUICK = 1  # zlib's fastest level: a block's JSON shrinks to a fifth in well under a millisecond

Document = Mapping[str, Any]


class StoreProblem(Exception):
    """The database can't be used; `advice` says what to do."""

    def __init__(self, what: str, advice: str) -> None:
        self.advice = advice
        super().__init__(what)


class Store:
    """One database, in one process at a time; in memory without a path."""

    def __init__(self, path: Path | None) -> None:
        """Raises StoreProblem when another process holds it, or when it is no database of this format."""
        self._path = path
        try:
            self._db = sqlite3.connect(
                ":memory:" if path is None else path,
                isolation_level=None,
                check_same_thread=False,
                timeout=0.5,
            )
            self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(f"BEGIN EXCLUSIVE; {_SCHEMA} COMMIT;")
        except sqlite3.OperationalError as error:
            raise StoreProblem(
                f"{path}: {error}",
                "another `medsync chain run` may be using it: stop that one, or name another file",
            ) from error
        except sqlite3.DatabaseError as error:
            raise StoreProblem(
                f"{path}: {error}", "name another file with --db, or remove this one"
            ) from error
        found = self.fact("format")
        if found is None:
            self.set_fact("format", FORMAT)
        elif found != FORMAT:
            raise StoreProblem(
                f"{path} has format {found}, this version reads {FORMAT}", "start a new chain in another file"
            )

    def close(self) -> None:
        """Gives the database free."""
        self._db.close()

    def fact(self, name: str) -> str | None:
        """A named value, or None."""
        row = self._db.execute("SELECT value FROM facts WHERE name=?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def set_fact(self, name: str, value: str) -> None:
        """Durable when it returns."""
        self._db.execute("INSERT OR REPLACE INTO facts VALUES (?,?)", (name, value))

    def append(self, number: int, block: Document, classes: Mapping[int, tuple[Document, Document]]) -> None:
        """A block with the classes it declares (Sierra and CASM by class hash), in one durable step."""
        with self._db:
            self._db.execute("BEGIN")
            self._db.execute("INSERT INTO blocks VALUES (?,?)", (number, _pack(block)))
            for class_hash, (sierra, casm) in classes.items():
                self._db.execute(
                    "INSERT OR IGNORE INTO classes VALUES (?,?,?)",
                    (_key(class_hash), _pack(sierra), _pack(casm)),
                )

    def truncate(self, first: int) -> None:
        """Removes the blocks from this one on. Their classes stay: only a block makes them known."""
        self._db.execute("DELETE FROM blocks WHERE number>=?", (first,))

    def blocks(self) -> Iterator[Document]:
        """All, in order."""
        for (document,) in self._db.execute("SELECT document FROM blocks ORDER BY number"):
            yield _unpack(document)

    def block(self, number: int) -> Document:
        """One block. Raises KeyError."""
        row = self._db.execute("SELECT document FROM blocks WHERE number=?", (number,)).fetchone()
        if row is None:
            raise KeyError(number)
        return _unpack(row[0])

    def contract_class(self, class_hash: int) -> tuple[Document, Document]:
        """Sierra and CASM. Raises KeyError."""
        row = self._db.execute("SELECT sierra,casm FROM classes WHERE hash=?", (_key(class_hash),)).fetchone()
        if row is None:
            raise KeyError(class_hash)
        return _unpack(row[0]), _unpack(row[1])


def _key(felt: int) -> bytes:
    assert 0 <= felt < FIELD_PRIME
    return felt.to_bytes(32, "big")


def _pack(document: Document) -> bytes:
    return zlib.compress(json.dumps(document, separators=(",", ":")).encode(), _QUICK)


def _unpack(packed: bytes) -> Document:
    document: Document = json.loads(zlib.decompress(packed))
    return document
