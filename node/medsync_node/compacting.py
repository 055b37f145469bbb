"""Gives back the room that replaced and deleted rows left in the journal. Needs the home for itself."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from medsync_node.home import Home
from medsync_protocol.errors import OperatorError


def compact(home: Home) -> tuple[int, int]:
    """Bytes before and after. Raises OperatorError when a daemon runs, there is no journal, or no room for a copy.

    SQLite rewrites the file in place and by its log: killed at any moment, the old content or the new is there.
    """
    home.require()
    if not home.journal_file.exists():
        raise OperatorError("this home has no journal yet", advice="start the daemon once: `medsync run`")
    with home.locked():
        before = home.journal_file.stat().st_size
        try:
            with closing(sqlite3.connect(home.journal_file, isolation_level=None)) as connection:
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise OperatorError(
                f"the journal could not be compacted: {error}",
                advice="it needs its own size as free space; `medsync db check` says whether it is damaged",
            ) from error
        return before, home.journal_file.stat().st_size
