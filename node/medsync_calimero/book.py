"""What only this node knows of the emulator's side: installed applications, aliases, invitations it made, who may log in.

One JSON file in the home, mode 0600, written whole.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from medsync_node.home import write_private
from medsync_protocol.errors import OperatorError

FILE: Final = "calimero.json"
SECTIONS: Final = ("applications", "aliases", "invitations", "users", "tokens", "blobs")
MAX_ROWS: Final = 10_000  # of a section: a mistake in a loop stops there


class Book:
    """Sections of name → JSON value. `path` None: kept in memory, for tests."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._held: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
        if path is not None and path.exists():
            try:
                self._held.update(json.loads(path.read_bytes()))
            except (OSError, ValueError) as error:
                raise OperatorError(f"{path.name} can't be read", advice="restore it, or move it away") from error

    def section(self, name: str) -> dict[str, Any]:
        """A copy of a section."""
        return dict(self._held[name])

    def get(self, section: str, name: str) -> Any:
        """One value; None for none."""
        return self._held[section].get(name)

    def put(self, section: str, name: str, value: Any) -> None:
        """Keep a value; None takes it away. Raises OperatorError when there are too many."""
        rows = self._held[section]
        if value is None:
            rows.pop(name, None)
        elif name not in rows and len(rows) >= MAX_ROWS:
            raise OperatorError(f"more than {MAX_ROWS} {section}", advice="take some away first")
        else:
            rows[name] = value
        if self._path is not None:
            write_private(self._path, json.dumps(self._held, indent=1).encode() + b"\n")
