"""`medsync cluster partition|slow|heal`: real faults between the nodes of a cluster, by what their links pass."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from medsync_node.commands.options import Json, examples
from medsync_node.commands.output import show

Directory = Annotated[
    Path, typer.Option("--dir", metavar="DIR", help="Where the nodes' homes lie, one below it for each.")
]
DEFAULT: Final = Path("medsync-cluster")


def partition(
    sides: Annotated[list[str], typer.Argument(metavar="SIDES", help="Every node on one side: `north,south / east`.")],
    directory: Directory = DEFAULT,
    as_json: Json = False,
) -> None:
    """Cut every link between sides; answers once no node has one across."""
    from medsync_node.testing.cluster import Cluster
    from medsync_node.testing.faults import read_sides

    found = Cluster.of(directory)
    parts = read_sides(sides, list(found.nodes))
    found.partition(*parts)
    named = [sorted(side) for side in parts]
    lines = [f"no link is left between {' / '.join(','.join(side) for side in named)}; `medsync cluster heal` ends it"]
    show({"sides": named}, lines, as_json=as_json)


def slow(
    node: Annotated[str, typer.Argument(metavar="NODE", help="Whose links.")],
    delay: Annotated[str, typer.Argument(metavar="DELAY", help="Each way: 200ms, 1.5s.")],
    loss: Annotated[str, typer.Argument(metavar="LOSS", help="Sent again, as TCP does: 5%.")] = "0%",
    directory: Directory = DEFAULT,
    as_json: Json = False,
) -> None:
    """Delay whatever a node sends and is sent; what gets lost, TCP sends again."""
    from medsync_node.testing.cluster import Cluster
    from medsync_node.testing.faults import read_slow

    found, wanted = Cluster.of(directory), read_slow(delay, loss)
    if node not in found.nodes:
        raise typer.BadParameter(f"there is no node {node!r}; there are {', '.join(found.nodes)}")
    found.slow(node, wanted.ms, wanted.percent)
    lines = [f"{node}'s links take {wanted.ms} ms longer each way, {wanted.percent} % is lost and sent again"]
    show({"node": node, "ms": wanted.ms, "percent": wanted.percent}, lines, as_json=as_json)


def heal(directory: Directory = DEFAULT, as_json: Json = False) -> None:
    """End every fault; answers once all running nodes are linked again."""
    from medsync_node.testing.cluster import Cluster

    found = Cluster.of(directory)
    found.heal()
    show({"linked": len(found.linked())}, ["all running nodes are linked again"], as_json=as_json)


def add_to(app: typer.Typer) -> None:
    """Register them beside the other commands of `medsync cluster`."""
    app.command(epilog=examples("cluster partition north,south / east", "cluster partition north / south --json"))(partition)
    app.command(epilog=examples("cluster slow north 200ms 5%", "cluster slow north 1.5s"))(slow)
    app.command(epilog=examples("cluster heal", "cluster heal --dir ./lab --json"))(heal)
