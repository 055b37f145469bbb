"""What a command prints: exactly one JSON object on stdout under --json, else lines for people; progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from medsync_node.commands.exits import Advice

if TYPE_CHECKING:
    from pydantic import BaseModel


def show(result: BaseModel | Mapping[str, Any], lines: Iterable[str], *, as_json: bool) -> None:
    """Print a result. `lines` is only used without --json."""
    if as_json:
        fields = dict(result) if isinstance(result, Mapping) else result.model_dump(mode="json")
        sys.stdout.write(json.dumps({"ok": True, **fields}) + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()


def show_problem(problem: Advice, *, as_json: bool) -> None:
    """Print why a command failed: to stdout as the one object under --json, else to stderr."""
    if as_json:
        error = {"code": problem.code, "message": problem.message, "advice": problem.advice}
        sys.stdout.write(json.dumps({"ok": False, "error": error}) + "\n")
        sys.stdout.flush()
        return
    sys.stderr.write(f"medsync: {problem.message}\n")
    if problem.advice:
        sys.stderr.write(f"  {problem.advice}\n")


def progress(text: str) -> None:
    """A line about what is under way, on stderr."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Lines of a plain table, columns as wide as they need: it pipes into other programs as it stands."""
    cells = [list(columns), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    return [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None or value == "" else str(value)


def moment(millis: int | None) -> str:
    """Milliseconds as ISO 8601 in UTC; "-" for none."""
    if millis is None:
        return "-"
    return datetime.fromtimestamp(millis / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
