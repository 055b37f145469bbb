"""`medsync network`: found a consortium, or show the one this node belongs to."""

from __future__ import annotations

from typing import Annotated

import typer

from medsync_node.commands.options import Home, Json, examples, node
from medsync_node.commands.output import show

app = typer.Typer(no_args_is_help=True, help="Found a network, or show this node's.")


@app.command(epilog=examples("network create northern-hospitals"))
def create(
    name: Annotated[str, typer.Argument(help="What the consortium is called.")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Found a network; this node's member is its first admin."""
    with node(home) as client:
        made = client.create_network(name)
    show(made, [f"network {made.name} founded", f"id {made.id}"], as_json=as_json)


@app.command("show", epilog=examples("network show --json"))
def show_network(home: Home = None, as_json: Json = False) -> None:
    """Show the network's name, id, size and this member's role."""
    with node(home) as client:
        found = client.network()
    show(found, [f"{found.name}  {found.id}", f"{found.members} members, role {found.role}"], as_json=as_json)
