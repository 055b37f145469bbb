"""`medsync audit`: export a context's operations for checking elsewhere, or check this node's copy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from medsync_node.commands.exits import ExitCode
from medsync_node.commands.options import ContextName, Home, Json, examples, node
from medsync_node.commands.output import progress, show

app = typer.Typer(no_args_is_help=True, help="Export the log, or check it.")


@app.command(
    epilog=examples("audit export trial --to trial.ndjson", "audit export trial | gzip > trial.ndjson.gz")
)
def export(
    context: ContextName,
    to: Annotated[Path | None, typer.Option(help="Write to this file (mode 0600); else to stdout.")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Export every operation, one JSON object a line, in the order of the log."""
    if to is None and as_json:
        raise typer.BadParameter("an export is many objects: name a file with --to, or leave --json out")
    with node(home) as client, client.export(context) as lines:
        if to is None:
            sys.stdout.writelines(f"{line}\n" for line in lines)
            return
        to.touch(mode=0o600)
        count = 0
        with to.open("w", encoding="utf-8") as file:
            for line in lines:
                file.write(f"{line}\n")
                count += 1
    show({"file": str(to), "lines": count}, [f"{count} lines in {to}"], as_json=as_json)


@app.command(epilog=examples("audit verify trial --json"))
def verify(context: ContextName, home: Home = None, as_json: Json = False) -> None:
    """Check signatures, chain links and entry roots of everything this node holds; exit code 1 if any fails."""
    with node(home) as client:
        progress("checking every operation …")
        report = client.verify_audit(context)
    lines = [f"{'holds ' if ok else 'FAILED'} {name}" for name, ok in report.checks.items()]
    show(
        report.model_dump(mode="json"),
        [*lines, *report.problems, f"{report.operations} operations, {report.entries} entries"],
        as_json=as_json,
    )
    if not report.ok:
        raise typer.Exit(ExitCode.FAILURE)
