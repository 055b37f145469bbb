"""`medsync join`: become a member of a network by invitation."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from medsync_node.commands.options import Home, Json, examples, node
from medsync_node.commands.output import progress, show

app = typer.Typer()


@app.command(epilog=examples("join medsync-invite:k8Q…", "join - < invitation.txt"))
def join(
    invitation: Annotated[
        str, typer.Argument(help="The invitation, from medsync-invite: on; - reads it from stdin.")
    ],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Join the network that an invitation is for."""
    text = sys.stdin.read() if invitation == "-" else invitation
    with node(home) as client:
        client.status()  # whether our own node is there
        progress("dialling the member that invited you …")
        joined = client.join(text.strip())
    show(joined, [f"joined {joined.name} as {joined.role}", f"id {joined.id}"], as_json=as_json)
