"""How commands print what became of a change of a membership. The sentences are medsync_node/outcomes.py's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from medsync_node.commands.exits import ExitCode
from medsync_node.commands.output import show
from medsync_node.outcomes import told

if TYPE_CHECKING:
    from medsync_client.changes import Changed


def show_change(found: Changed, did: str, act: str, *, as_json: bool) -> None:
    """Say whether it is in force or what it still wants, in JSON by `state`. Exit code 1 where it has no effect."""
    void = found.state == "void"
    show({**found.model_dump(mode="json"), "ok": not void}, told(found, did, act), as_json=as_json)
    if void:
        raise typer.Exit(ExitCode.FAILURE)
