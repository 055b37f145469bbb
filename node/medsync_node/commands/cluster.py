"""`medsync cluster`: a whole network on this machine, to try things and to break them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from medsync_node.commands.options import Json, examples
from medsync_node.commands.output import progress, show, table

app = typer.Typer(no_args_is_help=True, help="Start, stop and break a network of nodes on this machine.")

Directory = Annotated[
    Path, typer.Option("--dir", metavar="DIR", help="Where the nodes' homes lie, one below it for each.")
]
DEFAULT = Path("medsync-cluster")


@app.command(epilog=examples("cluster up --nodes 4", "cluster up --nodes 3 --dir ./lab --json"))
def up(
    nodes: Annotated[int, typer.Option(min=1, max=50, help="How many.")] = 4,
    rpc: Annotated[
        str | None, typer.Option(metavar="URL", help="The Starknet JSON-RPC that they read.")
    ] = None,
    directory: Directory = DEFAULT,
    as_json: Json = False,
) -> None:
    """Start nodes in processes of their own, one network, one context; those that run already are left alone."""
    from medsync_node.testing.cluster import Cluster

    made = Cluster(directory, nodes=nodes, chain_rpc=rpc)
    progress(f"starting {len(made.nodes)} nodes …")
    made.up()
    found = made.describe()
    show(found, _lines(found, directory), as_json=as_json)


def _lines(found: dict[str, Any], directory: Path) -> list[str]:
    rows = [[one["name"], one["pid"], one["member"][:16], one["home"]] for one in found["nodes"]]
    first = found["nodes"][0]["home"]
    return [
        f"network {found['network']}",
        f"context shared, {found['context']}",
        "",
        *table(["node", "process", "member", "home"], rows),
        "",
        "Use any of them, for instance:",
        f"  medsync status --home {first}",
        f"  medsync subject enrol shared --home {first}",
        f"Stop with `medsync cluster down --dir {directory}`; break with `medsync cluster kill NODE --dir {directory}`.",
    ]


@app.command(epilog=examples("cluster down", "cluster down --dir ./lab"))
def down(directory: Directory = DEFAULT, as_json: Json = False) -> None:
    """Stop every node; the homes stay, and `cluster up` takes them up again."""
    from medsync_node.testing.cluster import Cluster

    found = Cluster.of(directory)
    stopped = [node.name for node in found.running()]
    found.down()
    show({"stopped": stopped}, [f"stopped {', '.join(stopped) or 'nothing: none ran'}"], as_json=as_json)


@app.command(epilog=examples("cluster kill south", "cluster kill south --restart"))
def kill(
    node: Annotated[str, typer.Argument(metavar="NODE", help="Which one.")],
    restart: Annotated[bool, typer.Option("--restart", help="Start it again at once.")] = False,
    directory: Directory = DEFAULT,
    as_json: Json = False,
) -> None:
    """Kill a node as kill -9 does."""
    from medsync_node.testing.cluster import Cluster

    found = Cluster.of(directory)
    if node not in found.nodes:
        raise typer.BadParameter(f"there is no node {node!r}; there are {', '.join(found.nodes)}")
    found.kill(node)
    if restart:
        found.start(node)
    state = "killed and started again" if restart else "killed"
    show({"node": node, "running": restart}, [f"{node} is {state}"], as_json=as_json)
