"""`medsync access follow`: the access log as it grows, a line for each entry, until it is stopped."""

from __future__ import annotations

import json
import sys
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from medsync_node.commands.options import ContextName, Home, Json, examples, node
from medsync_node.commands.output import moment, progress, show
from medsync_node.commands.pipe import reader_gone
from medsync_node.words import answer as answer_in_words
from medsync_node.words import half as half_in_words

if TYPE_CHECKING:
    from medsync_client.accesses import AccessRow

HalfName = Literal["requested", "disclosed", "refused", "break-glass", "log-read"]


def register(app: typer.Typer) -> None:
    """Add the command to `medsync access`."""
    app.command(epilog=examples(
        "access follow trial", "access follow trial 51cf… --half break-glass", "access follow trial --ndjson --after 81923",
    ))(follow)  # fmt: skip


def follow(
    context: ContextName,
    subject: Annotated[str | None, typer.Argument(metavar="[SUBJECT]", help="Pseudonym or card; else of all.")] = None,
    member: Annotated[str | None, typer.Option(metavar="MEMBER", help="Only where this one is a party.")] = None,
    half: Annotated[HalfName | None, typer.Option(help="Only this half.")] = None,
    purpose: Annotated[str | None, typer.Option(metavar="CODE", help="Only entries that name this purpose.")] = None,
    after: Annotated[str | None, typer.Option(metavar="ID", help="Go on after this entry, and tell what came meanwhile; else from now on.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Stop after so many entries; else on Ctrl-C.")] = None,
    ndjson: Annotated[bool, typer.Option("--ndjson", help="One JSON object a line; `id` is what --after takes.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Follow accesses as they are recorded. That you follow is logged, as reading is."""
    if as_json and (count is None or ndjson):
        raise typer.BadParameter("one object can't hold what has no end: say --count with --json, or --ndjson alone")
    filters = {name: text for name, text in {"member": member, "half": half, "purpose": purpose}.items() if text is not None}
    with node(home) as client, client.follow_accesses(context, subject, after=after, **filters) as rows:
        if as_json:
            show({"entries": [_fields(at, one) for at, one in islice(rows, count)]}, (), as_json=True)
            return
        progress("following; Ctrl-C stops")
        for at, one in islice(rows, count):
            if ndjson:
                sys.stdout.write(json.dumps(_fields(at, one)) + "\n")
            else:
                who = ", ".join(filter(None, (one.user, one.unit, one.requester_name or one.requester[:12])))
                what = half_in_words(one.half) + ("" if one.outcome == "PERMIT" else f", {answer_in_words(one.outcome)}")
                parts = (moment(one.time), what, who, one.custodian_name or one.custodian[:12], ",".join(one.purposes), one.subject, at)
                sys.stdout.write("  ".join(parts) + "\n")
            sys.stdout.flush()
            if reader_gone():
                return


def _fields(at: str, one: AccessRow) -> dict[str, Any]:
    return {"id": at, **one.model_dump(mode="json")}
