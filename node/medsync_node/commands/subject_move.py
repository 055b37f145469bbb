"""`medsync subject move`: another member in the place of a custodian or home, of one record or of all that this one keeps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from medsync_node.commands.options import ContextName, Home, Json, examples, node
from medsync_node.commands.output import progress, show

if TYPE_CHECKING:
    from medsync_client import BlockingClient
    from medsync_client.subjects import SubjectMove


def register(app: typer.Typer) -> None:
    """Add the command to `medsync subject`."""
    app.command(epilog=examples(
        "subject move trial 51cf… --from lakeside --to lakeside-new", "subject move trial --all --from lakeside --to lakeside-new",
        "subject move trial 51cf… --from lakeside",
    ))(move)  # fmt: skip


def move(
    context: ContextName,
    subject: Annotated[str | None, typer.Argument(metavar="[SUBJECT]", help="Pseudonym or card.")] = None,
    leaving: Annotated[str, typer.Option("--from", metavar="MEMBER", help="Who is custodian or home, a former member too.")] = "",
    entering: Annotated[str | None, typer.Option("--to", metavar="MEMBER", help="Who takes the place; else nobody does.")] = None,
    everyone: Annotated[bool, typer.Option("--all", help="Of every subject that this member is a custodian of.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Put a member in the place of another, say of one that was recovered; only a custodian may.

    Custodians change at once. Other homes take force once that is settled on the chain: until then decisions ask most of the
    homes before and most of the new ones.
    """
    from medsync_client.subjects import SubjectMove

    if not leaving:
        raise typer.BadParameter("say --from MEMBER: whose place it is")
    if (subject is None) != everyone:
        raise typer.BadParameter("name a subject, or say --all")
    body = SubjectMove(leaving=leaving, entering=entering)
    with node(home) as client:
        moved = [client.move_subject(context, subject, body).subject] if subject else list(_all(client, context, body))
    lines = [f"moved {len(moved)} {'record' if len(moved) == 1 else 'records'} from {leaving} to {entering or 'nobody'}"]
    show({"moved": moved, "from": leaving, "to": entering}, lines, as_json=as_json)


def _all(client: BlockingClient, context: str, body: SubjectMove) -> Iterator[str]:
    from medsync_client.errors import Refused

    after = None
    while True:
        page = client.subjects(context, after=after, limit=500)
        me = client.status().member
        for one in page.subjects:
            if me not in one.custodians:
                continue  # a home alone changes nothing
            try:
                yield client.move_subject(context, one.subject, body).subject
            except Refused as refused:
                if refused.code != "no_part":
                    progress(f"stopped at {one.subject}: those before it are moved")
                    raise
        after = page.next
        if after is None:
            return
