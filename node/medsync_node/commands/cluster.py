"""`medsync cluster`: a whole network on this machine, to try things and to break them."""

from __future__ import annotations

import os
import subprocess
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from urllib.parse import urlsplit

import typer

from medsync_node.commands import cluster_faults
from medsync_node.commands.cluster_faults import DEFAULT, Directory
from medsync_node.commands.options import Json, examples
from medsync_node.commands.output import progress, show, table

if TYPE_CHECKING:
    from medsync_node.testing.cluster import Cluster, ClusterNode
    from medsync_node.testing.cluster_file import Means

app = typer.Typer(no_args_is_help=True, help="Start, stop and break a network of nodes on this machine.")

MEANS: Final[Mapping[str, str]] = {
    "namespaces": "links pass between network namespaces: what is cut, lost or late is so for every packet",
    "proxy": "links pass a proxy on loopback: a cut ends connections, what is lost comes late",
    "none": "links can't be broken",
}


@app.command(epilog=examples("cluster up --nodes 4", "cluster up --nodes 3 --links proxy --dir ./lab --json"))
def up(
    nodes: Annotated[int, typer.Option(min=1, max=50, help="How many.")] = 4,
    rpc: Annotated[
        str | None, typer.Option(metavar="URL", help="The Starknet JSON-RPC that they read.")
    ] = None,
    links: Annotated[
        Literal["auto", "namespaces", "proxy"],
        typer.Option(help="What links pass, to be broken there: network namespaces where root gets any, or a proxy on loopback."),
    ] = "auto",
    directory: Directory = DEFAULT,
    as_json: Json = False,
) -> None:
    """Start nodes in processes of their own, one network, one context; those that run already are left alone."""
    from medsync_node.testing.cluster import Cluster

    chosen, why = means(links, rpc)
    made = Cluster(directory, nodes=nodes, chain_rpc=rpc, breakable=True, means=chosen)
    progress(f"starting {len(made.nodes)} nodes …")
    if made.links.means == "proxy" and why:
        progress(f"their links pass a proxy on loopback: {why}")
    made.up()
    found = made.describe()
    show(found, _lines(found, directory), as_json=as_json)


def means(links: str, rpc: str | None) -> tuple[Means, str]:
    """What a new cluster's links shall pass, and why not namespaces. Raises BadParameter where these are asked for in vain."""
    from medsync_node.testing import namespaces

    if links == "proxy":
        return "proxy", ""
    why = namespaces.obstacle()
    if why is None and rpc is not None and urlsplit(rpc).hostname in ("127.0.0.1", "localhost", "::1"):
        why = "from a network namespace a chain on this machine's loopback can't be reached"
    if why is not None and links == "namespaces":
        raise typer.BadParameter(why, param_hint="--links")
    return ("namespaces", "") if why is None else ("proxy", why)


def _lines(found: dict[str, Any], directory: Path) -> list[str]:
    rows = [[one["name"], one["pid"], one["member"][:16], one["home"]] for one in found["nodes"]]
    first = found["nodes"][0]["home"]
    return [
        f"network {found['network']}",
        f"context shared, {found['context']}",
        MEANS[found["links"]],
        "",
        *table(["node", "process", "member", "home"], rows),
        "",
        "Use any of them, for instance:",
        f"  medsync status --home {first}",
        f"  medsync subject enrol shared --home {first}",
        f"Stop with `medsync cluster down --dir {directory}`; break it with `cluster kill NODE`, `partition`, `slow`.",
    ]


@app.command(epilog=examples("cluster down", "cluster down --dir ./lab"))
def down(directory: Directory = DEFAULT, as_json: Json = False) -> None:
    """Stop every node; the homes stay, and `cluster up` takes them up again."""
    from medsync_node.testing.cluster import Cluster

    found = Cluster.of(directory)
    stopped = [node.name for node in found.running()]
    found.down()
    show({"stopped": stopped}, [f"stopped {', '.join(stopped) or 'nothing: none ran'}"], as_json=as_json)


NodeName = Annotated[str, typer.Argument(metavar="NODE", help="Which one.")]


def _named(cluster: Cluster, node: str) -> ClusterNode:
    if node not in cluster.nodes:
        raise typer.BadParameter(f"there is no node {node!r}; there are {', '.join(cluster.nodes)}")
    return cluster[node]


@app.command(epilog=examples("cluster kill south", "cluster kill south --restart"))
def kill(
    node: NodeName,
    restart: Annotated[bool, typer.Option("--restart", help="Start it again at once.")] = False,
    directory: Directory = DEFAULT,
    as_json: Json = False,
) -> None:
    """Kill a node as kill -9 does."""
    from medsync_node.testing.cluster import Cluster

    found = Cluster.of(directory)
    _named(found, node)
    found.kill(node)
    if restart:
        found.start(node)
    state = "killed and started again" if restart else "killed"
    show({"node": node, "running": restart}, [f"{node} is {state}"], as_json=as_json)


@app.command("restart", epilog=examples("cluster restart south", "cluster restart south --dir ./lab --json"))
def restart_node(node: NodeName, directory: Directory = DEFAULT, as_json: Json = False) -> None:
    """Stop a node in order, if it runs, and start it again."""
    from medsync_node.testing.cluster import Cluster

    found = Cluster.of(directory)
    _named(found, node)
    found.stop(node)
    found.start(node)
    show({"node": node, "pid": found[node].pid()}, [f"{node} runs, process {found[node].pid()}"], as_json=as_json)


@app.command(epilog=examples("cluster ps", "cluster ps --dir ./lab --json"))
def ps(directory: Directory = DEFAULT, as_json: Json = False) -> None:
    """List the nodes: whether they run, whom each is linked to, what each holds; and what was broken."""
    from medsync_node.testing.cluster import CONTEXT, Cluster

    found = Cluster.of(directory)
    linked = found.linked()
    running = {node.name for node in found.running()}
    fields = [
        {
            "name": node.name, "pid": node.pid(), "home": str(node.home.path),
            "linked": sorted(other for one, other in linked if one == node.name),
            "operations": sum(node.client.context(CONTEXT).chains.values()) if node.name in running else None,
        }
        for node in found
    ]  # fmt: skip
    rows = [[one["name"], one["pid"], ",".join(one["linked"]), one["operations"], one["home"]] for one in fields]  # type: ignore[arg-type]
    passed = found.links.means
    faults = found.links.faults.fields() if found.links.breakable and running else None
    lines = table(["node", "process", "linked to", "operations", "home"], rows)
    shown = {"nodes": fields, "links": passed, "faults": faults}
    show(shown, [*lines, MEANS[passed], *_told(faults)], as_json=as_json)


def _told(faults: dict[str, Any] | None) -> list[str]:
    if not faults:
        return []
    cut = [f"cut: {' / '.join(','.join(side) for side in faults['sides'])}"] if faults["sides"] else []
    return cut + [f"slow: {name} by {ms} ms, {percent} % lost" for name, (ms, percent) in faults["slow"].items()]


@app.command(epilog=examples("cluster logs south", "cluster logs south --lines 200"))
def logs(
    node: NodeName,
    lines: Annotated[int, typer.Option(min=1, max=100_000, help="How many of the last ones.")] = 50,
    directory: Directory = DEFAULT,
    as_json: Json = False,
) -> None:
    """Show the end of a node's log."""
    from medsync_node.testing.cluster import Cluster

    found = _named(Cluster.of(directory), node)
    with found.log.open(errors="replace") as file:
        last = list(deque(file, lines))
    show({"node": node, "lines": last}, [line.rstrip("\n") for line in last], as_json=as_json)


@app.command(
    epilog=examples("cluster shell south", "cluster shell south -- medsync status"),
    context_settings={"ignore_unknown_options": True},
)
def shell(
    node: NodeName,
    command: Annotated[list[str] | None, typer.Argument(metavar="COMMAND", help="Instead of a shell.")] = None,
    directory: Directory = DEFAULT,
) -> None:
    """Start a shell in which every `medsync` command means this node, or run one command so."""
    from medsync_node.commands.options import HOME_VARIABLE
    from medsync_node.testing.cluster import Cluster

    found = _named(Cluster.of(directory), node)
    words = command or [os.environ.get("SHELL", "/bin/sh")]
    done = subprocess.run(words, env={**os.environ, HOME_VARIABLE: str(found.home.path)}, check=False)
    raise typer.Exit(done.returncode)


cluster_faults.add_to(app)
