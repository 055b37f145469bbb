"""`medsync demo`: the whole of MedSync in one story, on real parts, on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medsync_node.commands.exits import ExitCode
from medsync_node.commands.options import Json, examples

app = typer.Typer()


@app.command(epilog=examples("demo --once", "demo --once --json", "demo --nodes 7 --seed 3 --keep demo-home"))
def demo(
    once: Annotated[
        bool, typer.Option("--once", help="End after the story: exit code 0, or 1 if a step did not hold.")
    ] = False,
    nodes: Annotated[
        int, typer.Option(min=5, max=30, help="Three hospitals, a lab, an auditor; more are hospitals.")
    ] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Member, patient and account keys follow from it.")] = 1,
    keep: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Leave homes, chain and bridge there, and the chain running."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Tell the story: network, consent, decision, revocation, removal, checkpoint, verify.

    Five institutions in this process over libp2p, an embedded Starknet and a bridge beside it. Without --once all of it
    stays up until Ctrl-C. Nothing is left on disk unless --keep says where.
    """
    from medsync_node.demo.telling import run
    from medsync_node.demo.world import Options

    code = run(Options(nodes=nodes, seed=seed, keep=keep), once=once, as_json=as_json)
    if code != ExitCode.OK:
        raise typer.Exit(code)
