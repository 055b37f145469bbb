"""`medsync audit`: export a context's operations for checking elsewhere, or check this node's copy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from medsync_node.commands.exits import ExitCode
from medsync_node.commands.options import ContextName, Home, Json, examples, millis, node
from medsync_node.commands.output import moment, progress, show, table
from medsync_node.words import half

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


@app.command(epilog=examples("audit reconcile trial --from 2026-11-01", "audit reconcile trial --to 2026-12-01 --json"))
def reconcile(
    context: ContextName,
    since: Annotated[str | None, typer.Option("--from", metavar="DATE", help="Not before.")] = None,
    until: Annotated[str | None, typer.Option("--to", metavar="DATE", help="Before.")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List halves of accesses whose counterpart is not held, or says something else; exit code 1 if there are any.

    Only what this member may read is looked at. That you looked is logged.
    """
    with node(home) as client:
        found = client.reconcile(context, since=millis(since), until=millis(until))
    rows = [[moment(u.time), half(u.half), u.requester_name, u.custodian_name, u.outcome, u.match, u.problem] for u in found.unmatched]
    lines = table(["time", "what", "requester", "custodian", "outcome", "match", "problem"], rows) if rows else []
    notes = [f"{found.matched} pairs agree, {len(rows)} halves don't"]
    if not found.complete:
        notes.append("more than can be told at once: narrow --from and --to")
    show({**found.model_dump(mode="json"), "ok": not rows}, [*lines, *notes], as_json=as_json)
    if rows:
        raise typer.Exit(ExitCode.FAILURE)
