"""What the bridge's commands print: one JSON object on stdout under --json, else lines; progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any


def show(result: Mapping[str, Any], lines: Iterable[str], *, as_json: bool) -> None:
    """Print a result. `lines` is only used without --json."""
    if as_json:
        sys.stdout.write(json.dumps({"ok": True, **result}) + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()


def progress(text: str, *, as_json: bool, **fields: Any) -> None:
    """One line about what is under way: under --json an object with `event` and what belongs to it."""
    kept = {name: value for name, value in fields.items() if value is not None and value != ""}
    sys.stderr.write(json.dumps({**kept, "message": text}) + "\n" if as_json else f"{text}\n")
    sys.stderr.flush()


def hexed(value: int | None) -> str | None:
    """A felt as nodes and explorers write it, 64 digits; None stays None."""
    return None if value is None else f"{value:#066x}"
