"""What a command prints: exactly one JSON object on stdout under --json, else lines for people; progress on stderr."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from medsync_node.commands.exits import Advice

if TYPE_CHECKING:
    from pydantic import BaseModel

WIDEST: Final = 100  # columns: longer lines are hard to read
NARROWEST: Final = 60  # columns: below it ids and commands would be all that fits


def show(result: BaseModel | Mapping[str, Any], lines: Iterable[str], *, as_json: bool) -> None:
    """Print a result. `lines` is only used without --json."""
    if as_json:
        fields = dict(result) if isinstance(result, Mapping) else result.model_dump(mode="json")
        lines = (json.dumps({"ok": True, **fields}),)
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


def columns() -> int:
    """How wide lines for people may be: as the terminal, within reason; 80 where there is none."""
    return max(NARROWEST, min(WIDEST, shutil.get_terminal_size((80, 24)).columns))


def wrapped(text: str, further: str = "  ") -> list[str]:
    """A sentence in lines that fit, those after the first behind `further`. No word is cut, be it wider."""
    fill = textwrap.TextWrapper(columns(), subsequent_indent=further, break_long_words=False, break_on_hyphens=False)
    return fill.wrap(text)


def labelled(label: str, values: Sequence[object], width: int, indent: str = "") -> list[str]:
    """`label  value` with values below one another, wrapped; none where there is no value."""
    lines: list[str] = []
    for value in values:
        head = f"{indent}{label if not lines else '':<{width}}  "
        blank = " " * len(head)
        lines += textwrap.TextWrapper(
            columns(), initial_indent=head, subsequent_indent=blank, break_long_words=False, break_on_hyphens=False
        ).wrap(_cell(value))
    return lines


_YEAR_10000: Final = 253_402_300_800_000  # ms UTC


def moment(millis: int | None) -> str:
    """Milliseconds as ISO 8601 in UTC; "-" for none, and for a year that no calendar has (a forged time)."""
    if millis is None or not 0 <= millis < _YEAR_10000:
        return "-"
    return datetime.fromtimestamp(millis / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
