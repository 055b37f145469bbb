"""`medsync accounting`: who was given what of a patient, as 45 CFR 164.528 asks for it, or everything that is in the log."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from medsync_node.commands.options import ContextName, Home, Json, examples, millis, node
from medsync_node.commands.output import moment, show, table
from medsync_node.words import half

app = typer.Typer()


@app.command(
    epilog=examples(
        "accounting trial 51cf… --from 2026-01-01 --to 2027-01-01",
        "accounting trial 51cf… --mode all --json",
        "accounting trial 51cf… --suspend inspectorate",
        "accounting trial 51cf… --from 2021-01-01 --html accounting.html",
    )
)
def accounting(
    context: ContextName,
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="Pseudonym or card.")],
    since: Annotated[str | None, typer.Option("--from", metavar="DATE", help="Not before.")] = None,
    until: Annotated[str | None, typer.Option("--to", metavar="DATE", help="Before.")] = None,
    mode: Annotated[
        Literal["hipaa528", "all"],
        typer.Option(help="hipaa528: releases other than for treatment, payment, operations and by the patient's own signature; all: the whole log."),
    ] = "hipaa528",
    suspend: Annotated[
        list[str] | None,
        typer.Option(metavar="MEMBER", help="Leave out: an agency had its right to be told of suspended; repeatable."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write it as a page to print (mode 0600); a browser makes a PDF of it.")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Account for disclosures, repeats in one line. What this member is no party to isn't in it. That you looked is logged."""
    with node(home) as client:
        found = client.accounting(
            context, subject, mode=mode, since=millis(since), until=millis(until),
            suspend=",".join(suspend) if suspend else None,
        )  # fmt: skip
        if html is not None:
            from medsync_node.printed.disclosures import accounting_sheet

            page = accounting_sheet(found, context=context, made=time.time_ns() // 1_000_000, by=client.status().name)
            html.touch(mode=0o600)
            html.write_text(page, encoding="utf-8")
    rows = [
        [
            moment(line.first), moment(line.last) if line.count > 1 else "", line.count, half(line.half), line.requester_name,
            line.custodian_name, ",".join(line.purposes), ",".join(line.types or ()), line.outcome,
        ]
        for line in found.lines
    ]  # fmt: skip
    columns = ["first", "last", "count", "what", "recipient", "custodian", "purposes", "types", "outcome"]
    notes = [f"{found.total} in {len(found.lines)} lines"]
    if found.authorised:
        notes.append(f"left out: {found.authorised} that the patient's own signature authorised")
    if found.suspended:
        notes.append(f"suspended for {len(found.suspended)} members: not complete")
    if not found.complete:
        notes.append("more than can be told at once: narrow --from and --to")
    show(found, [*table(columns, rows), *notes], as_json=as_json)
