"""What the bridge means to do and every transaction it signed for that, committed before any is sent (STARKNET §8).

All hashes of a nonce are kept: any of them may land. Deciding what to do next is `sending.py`'s.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from medsync_bridge import standing
from medsync_protocol.address import chain_name
from medsync_protocol.errors import OperatorError

FORMAT: Final = 2  # PRAGMA user_version: another number is another release's journal
_BUSY_S: Final = 5.0  # seconds: `bridge status` may be reading while the bridge writes

_SCHEMA = """
CREATE TABLE errand (
    name TEXT PRIMARY KEY,      -- what is to come about, e.g. 'checkpoint CONTRACT CONTEXT K'
    state TEXT NOT NULL,        -- open, done, adopted, stopped
    want TEXT NOT NULL,         -- our digest, class hash or address, hex
    found TEXT,                 -- what stands on chain instead, hex
    reason TEXT                 -- why it stopped
) STRICT;
CREATE TABLE signed (
    hash TEXT PRIMARY KEY,      -- hex
    errand TEXT NOT NULL REFERENCES errand(name),
    want TEXT NOT NULL,         -- the errand's when this was signed, hex
    account TEXT NOT NULL,
    nonce INTEGER NOT NULL,
    raw TEXT NOT NULL,          -- the JSON that is sent
    outcome TEXT                -- NULL while it may land; else an Outcome
) STRICT;
CREATE TABLE chain (id TEXT NOT NULL) STRICT;  -- the one that all of this is about, hex
CREATE INDEX signed_by_nonce ON signed (account, nonce);
CREATE INDEX signed_by_errand ON signed (errand);
"""


class State(StrEnum):
    """How an errand stands. Only `OPEN` is worked on."""

    OPEN = "open"
    DONE = "done"
    ADOPTED = "adopted"
    STOPPED = "stopped"


class Outcome(StrEnum):
    """What became of a signed transaction once the account's nonce had passed it."""

    SUCCEEDED = "succeeded"
    REVERTED = "reverted"
    DISPLACED = "displaced"  # another transaction took the nonce
    REFUSED = "refused"  # by the node, for good: it can't land


class JournalInUse(OperatorError):
    """Another bridge works in this home, or the file is another release's or chain's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """One thing to bring about on chain, by name; numbers are felts."""

    name: str
    state: State
    want: int
    found: int | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A transaction that was signed and may have been sent; `raw` is the JSON that a node takes.

    `want` is what the errand wanted then: another digest may be certified later.
    """

    hash: int
    errand: str
    want: int
    account: int
    nonce: int
    raw: dict[str, Any]
    outcome: Outcome | None = None


class Journal:
    """One SQLite file. Every method that writes has committed, to the platter, when it returns."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self.ledger = standing.Ledger(connection)

    def bind(self, chain_id: int) -> None:
        """Keep this journal for this chain: nonces elsewhere are others. Raises JournalInUse for another one."""
        row = self._db.execute("SELECT id FROM chain").fetchone()
        if row is None:
            with self._db:
                self._db.execute("INSERT INTO chain (id) VALUES (?)", (hex(chain_id),))
        elif int(row[0], 16) != chain_id:
            raise JournalInUse(
                f"this home's journal is about chain {chain_name(int(row[0], 16))}, not {chain_name(chain_id)}",
                advice="give the --rpc of that chain, or another --bridge-home",
            )

    def begin(self, name: str, want: int) -> Errand:
        """Note the errand, or open it again: another digest was certified, or the block it stood in vanished.

        What stopped stays stopped until `resume`.
        """
        with self._db:
            self._db.execute(
                "INSERT INTO errand (name, state, want) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE"
                " SET want = excluded.want, state = excluded.state WHERE state <> ?",
                (name, State.OPEN, hex(want), State.STOPPED),
            )
        found = self.errand(name)
        assert found is not None
        return found

    def errand(self, name: str) -> Errand | None:
        """The errand of this name."""
        row = self._db.execute(f"{_ERRANDS} WHERE name = ?", (name,)).fetchone()
        return None if row is None else _errand(row)

    def errands(self, limit: int = -1) -> list[Errand]:
        """The newest `limit` (all for -1), oldest first."""
        newest = self._db.execute(f"{_ERRANDS} ORDER BY rowid DESC LIMIT ?", (limit,)).fetchall()
        return [_errand(row) for row in reversed(newest)]

    def unfinished(self) -> list[Errand]:
        """What is open or stopped, oldest first."""
        rows = self._db.execute(
            f"{_ERRANDS} WHERE state IN (?, ?) ORDER BY rowid", (State.OPEN, State.STOPPED)
        )
        return [_errand(row) for row in rows]

    def conclude(
        self, name: str, state: State, *, found: int | None = None, reason: str | None = None
    ) -> None:
        """Record how the errand ended."""
        with self._db:
            self._db.execute(
                "UPDATE errand SET state = ?, found = ?, reason = ? WHERE name = ?",
                (state, None if found is None else hex(found), reason, name),
            )

    def resume(self, name: str | None = None) -> int:
        """Open again what stopped, all or the one named; how many."""
        with self._db:
            changed = self._db.execute(
                "UPDATE errand SET state = ?, reason = NULL WHERE state = ? AND ? IN (name, '')",
                (State.OPEN, State.STOPPED, name or ""),
            )
        return changed.rowcount

    def record(self, signed: Signed) -> None:
        """Keep a signed transaction: before it is sent.

        A hash doesn't cover the signature: signed again with another key, the last one counts.
        """
        with self._db:
            self._db.execute(
                "INSERT INTO signed (hash, errand, want, account, nonce, raw) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (hash) DO UPDATE SET raw = excluded.raw, outcome = NULL",
                (
                    hex(signed.hash), signed.errand, hex(signed.want), hex(signed.account), signed.nonce,
                    json.dumps(signed.raw),
                ),
            )  # fmt: skip

    def at_nonce(self, account: int, nonce: int) -> list[Signed]:
        """Everything signed with this nonce, oldest first."""
        return self._signed("account = ? AND nonce = ?", (hex(account), nonce))

    def unjudged(self, errand: str, account: int, below: int) -> list[Signed]:
        """What was signed for the errand with a nonce that the account has passed, and not looked up yet."""
        return self._signed(
            "errand = ? AND account = ? AND nonce < ? AND outcome IS NULL", (errand, hex(account), below)
        )

    def signed_for(self, errand: str) -> list[Signed]:
        """Everything signed for the errand, oldest first."""
        return self._signed("errand = ?", (errand,))

    def judge(self, transaction: int, outcome: Outcome) -> None:
        """Record what became of a transaction."""
        with self._db:
            self._db.execute("UPDATE signed SET outcome = ? WHERE hash = ?", (outcome, hex(transaction)))

    def _signed(self, condition: str, arguments: tuple[object, ...]) -> list[Signed]:
        rows = self._db.execute(
            f"SELECT hash, errand, want, account, nonce, raw, outcome FROM signed WHERE {condition}"
            " ORDER BY rowid",
            arguments,
        )
        return [
            Signed(
                hash=int(name, 16), errand=errand, want=int(want, 16), account=int(account, 16), nonce=nonce,
                raw=json.loads(raw), outcome=None if outcome is None else Outcome(outcome),
            )
            for name, errand, want, account, nonce, raw, outcome in rows
        ]  # fmt: skip


@contextmanager
def open_journal(path: Path) -> Iterator[Journal]:
    """The journal at `path`, made if missing. Raises JournalInUse for another release's file."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # the files beside it take its mode
    connection = sqlite3.connect(path, timeout=_BUSY_S)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        _migrate(connection)
        yield Journal(connection)
    finally:
        connection.close()


_ERRANDS = "SELECT name, state, want, found, reason FROM errand"


def _migrate(connection: sqlite3.Connection) -> None:
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    missing = {0: _SCHEMA + standing.SCHEMA, 1: standing.SCHEMA}  # of each format that came before
    if found in missing:
        connection.executescript(f"BEGIN; {missing[found]} PRAGMA user_version = {FORMAT}; COMMIT;")
    elif found != FORMAT:
        raise JournalInUse(
            f"the bridge's journal has format {found}, this release reads {FORMAT}",
            advice="use the release that wrote it; don't delete it while a transaction may be under way",
        )


def _errand(row: tuple[str, str, str, str | None, str | None]) -> Errand:
    name, state, want, found, reason = row
    return Errand(
        name=name, state=State(state), want=int(want, 16), found=None if found is None else int(found, 16),
        reason=reason,
    )  # fmt: skip
