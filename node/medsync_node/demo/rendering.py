"""The story for people: a table of the steps, then what was seen in each; and for programs the one JSON object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from medsync_node.demo.chapter import Chapter

WIDTH = 100  # of a value shown for people; JSON has it whole


def fields(chapters: Iterable[Chapter], more: dict[str, Any]) -> dict[str, Any]:
    """For `--json`."""
    told = list(chapters)
    return {"ok": all(one.ok for one in told), "steps": [one.fields() for one in told], **more}


def show_chapter(console: Console, chapter: Chapter) -> None:
    """One step as it ended: its checks, then its evidence."""
    mark = Text("holds", "green") if chapter.ok else Text("DOES NOT HOLD", "bold red")
    console.print(Text.assemble((chapter.name, "bold"), f"  {chapter.seconds:.1f} s  ", mark))
    for name, holds in chapter.checks.items():
        console.print(
            Text("  ✓ " if holds else "  ✗ ", "green" if holds else "bold red") + Text(name.replace("_", " "))
        )
    if chapter.problem is not None:
        console.print(Text(f"  {chapter.problem}", "red"))
    for name, value in chapter.evidence.items():
        for line in _lines(name, value):
            console.print(Text(f"    {line}", "dim"), overflow="ellipsis", no_wrap=True)


def _lines(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield f"{name}:"
        for key, one in value.items():
            yield f"  {key}: {_short(one)}"
    elif isinstance(value, list) and len(value) > 1:
        yield f"{name}:"
        yield from (f"  {_short(one)}" for one in value)
    else:
        yield f"{name}: {_short(value[0] if isinstance(value, list) and value else value)}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"


def show_table(console: Console, chapters: Iterable[Chapter]) -> None:
    """All steps, one a row."""
    table = Table(title="MedSync, from the network to the chain", title_justify="left")
    for column, justify in (("step", "left"), ("checks", "right"), ("seconds", "right"), ("", "left")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for one in chapters:
        held = sum(one.checks.values())
        mark = Text("holds", "green") if one.ok else Text("does not hold", "bold red")
        table.add_row(one.name, f"{held}/{len(one.checks)}", f"{one.seconds:.1f}", mark)
    console.print(table)


def show_left(console: Console, left: Mapping[str, Any]) -> None:
    """What `--keep` left, a line each: to be copied, so never broken."""
    for name, value in left.items():
        for line in _lines(name, value) if isinstance(value, dict) else [f"{name}: {value}"]:
            console.print(line, soft_wrap=True)
