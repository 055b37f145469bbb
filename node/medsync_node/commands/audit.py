"""`medsync audit`: export a context's operations for checking elsewhere, or check this node's copy."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medsync_node.commands.exits import ExitCode
from medsync_node.commands.options import ContextName, Home, Json, examples, millis, node
from medsync_node.commands.output import moment, progress, show, table
from medsync_node.commands.pipe import reader_gone
from medsync_node.words import half

if TYPE_CHECKING:
    from medsync_node.printed.contents import Contents

app = typer.Typer(no_args_is_help=True, help="Export the log, or check it.")


Sheet = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write a cover to print: what it holds and how it is checked.")
]


@app.command(
    epilog=examples(
        "audit export trial --to trial.ndjson --html cover.html", "audit export trial | gzip > trial.ndjson.gz",
    )
)  # fmt: skip
def export(
    context: ContextName,
    to: Annotated[Path | None, typer.Option(help="Write to this file (mode 0600); else to stdout.")] = None,
    html: Sheet = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Export every operation, one JSON object a line, in the order of the log."""
    if to is None and (as_json or html is not None):
        raise typer.BadParameter("an export is many objects: name a file with --to, or leave --json and --html out")
    with node(home) as client, client.export(context) as lines:
        if to is None:
            for line in lines:
                sys.stdout.write(f"{line}\n")
                if reader_gone():
                    raise typer.Exit(ExitCode.FAILURE)  # what was read is no whole export
            return
        to.touch(mode=0o600)
        count = 0
        with to.open("w", encoding="utf-8") as file:
            for line in lines:
                file.write(f"{line}\n")
                count += 1
        if html is not None:
            _write_cover(_read(to), to, html, context=context, by=client.status().name)
    show({"file": str(to), "lines": count}, [f"{count} lines in {to}"], as_json=as_json)


@app.command(epilog=examples("audit cover trial.ndjson", "audit cover trial.ndjson.gz --html cover.html"))
def cover(
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="From `audit export`; .gz is read too.")],
    html: Sheet = None,
    as_json: Json = False,
) -> None:
    """Count what an export holds, without a node. Proves nothing: `medsync verify` does."""
    found = _read(file)
    if html is not None:
        _write_cover(found, file, html, context=None, by=None)
    ends = None if found.final is None else found.final.statement.k
    fields: dict[str, Any] = {
        "file": str(file), "sha256": found.digest, "bytes": found.size, "lines": found.lines, "context": found.header.context.hex(),
        "address": found.header.address, "operations": found.held, "entries": dict(found.entries), "hash_only": dict(found.sealed_only),
        "chains": len(found.chains), "checkpoint": ends, "not_final": found.beyond,
    }  # fmt: skip
    kinds = sorted({*found.entries, *found.sealed_only})
    rows = [[kind, found.entries[kind], found.sealed_only[kind]] for kind in kinds]
    until = f"ends at checkpoint {ends}" if found.final is not None else "no checkpoint was accepted"
    notes = [f"{found.held} operations by {len(found.chains)} chains; {until}, {found.beyond} operations are not final"]
    show(fields, [*table(["entries", "whole", "hash only"], rows), *notes, f"sha256 of its lines {found.digest}"], as_json=as_json)


def _read(file: Path) -> Contents:
    from medsync_node.printed.contents import contents
    from medsync_node.verify.export_format import lines_of, open_export

    with open_export(file) as opened:
        return contents(lines_of(opened))


def _write_cover(found: Contents, file: Path, html: Path, *, context: str | None, by: str | None) -> None:
    from medsync_node.printed.cover import cover_sheet

    page = cover_sheet(found, file=file.name, context=context, made=time.time_ns() // 1_000_000, by=by)
    html.touch(mode=0o600)
    html.write_text(page, encoding="utf-8")


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
