"""Changes one setting in the text of a `config.toml` and leaves every other line as it is, comments too.

What a setting may be is config.py's; this finds its place.
"""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any, Final

from medsync_node.config import SETTINGS, BadSetting

_BY_NAME: Final = {setting.name: setting for setting in SETTINGS}


def toml_value(name: str, text: str) -> str:
    """What was typed, as TOML: lists from commas, numbers and truth values bare. Raises BadSetting."""
    setting = _BY_NAME[name]
    try:
        checked = setting.check(text)
    except ValueError as error:
        raise BadSetting(f"{name}: {error}", advice=f"it is: {setting.about}") from error
    if isinstance(checked, bool | int):
        return json.dumps(checked)
    if isinstance(checked, tuple) and all(isinstance(one, str) for one in checked):
        return json.dumps(list(checked), ensure_ascii=False)
    return json.dumps(text, ensure_ascii=False)


def with_setting(text: str, name: str, value: str | None) -> str:
    """The text with `name` set to a TOML value, or commented out by None. Raises BadSetting where it can't be done safely."""
    table, _, key = name.rpartition(".")
    lines = text.splitlines()
    start, end = _table(lines, table)
    written = f"{key} = {value}"
    place = _line(lines, start, end, key)
    if value is None:
        if place is not None and not lines[place].lstrip().startswith("#"):
            lines[place] = f"# {lines[place]}"
    elif place is not None:
        lines[place] = written
    elif start > len(lines):
        lines += ["", f"[{table}]", written]
    else:
        while end > start and not lines[end - 1].strip():
            end -= 1
        lines.insert(end, written)
    changed = "\n".join(lines) + "\n"
    _require_only(text, changed, table, key, value)
    return changed


def _table(lines: list[str], table: str) -> tuple[int, int]:
    """Where the table's lines start and end; (beyond the end, …) where there is no such table."""
    heads = [(i, m.group(1)) for i, line in enumerate(lines) if (m := re.match(r"\s*\[([\w.]+)\]\s*(#.*)?$", line))]
    starts = [(0, ""), *((i + 1, head) for i, head in heads)]
    for (start, head), end in zip(starts, [*(i for i, _ in heads), len(lines)], strict=True):
        if head == table:
            return start, end
    return len(lines) + 1, len(lines) + 1


def _line(lines: list[str], start: int, end: int, key: str) -> int | None:
    """The line that sets the key, else the commented one that shows it."""
    for pattern in (rf"\s*{key}\s*=", rf"\s*#\s*{key}\s*="):
        for i in range(start, min(end, len(lines))):
            if re.match(pattern, lines[i]):
                return i
    return None


def _require_only(before: str, after: str, table: str, key: str, value: str | None) -> None:
    """Raises BadSetting unless the change did exactly what it should: values over several lines are not ours to edit."""
    try:
        expected, found = tomllib.loads(before), tomllib.loads(after)
        place: dict[str, Any] = expected if not table else expected.setdefault(table, {})
        if value is None:
            place.pop(key, None)
        else:
            place[key] = tomllib.loads(f"x = {value}")["x"]
        same = {k: v for k, v in expected.items() if v != {}} == {k: v for k, v in found.items() if v != {}}
    except (tomllib.TOMLDecodeError, AttributeError):
        same = False
    if not same:
        raise BadSetting(
            f"config.toml is written in a way in which {key} can't be changed safely",
            advice="change it by hand in an editor, then see `medsync doctor`",
        )
