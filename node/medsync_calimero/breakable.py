"""Nodes of merobox as a cluster that `medsync cluster partition|slow|heal --dir` can break: where MEDSYNC_CLUSTER names a directory.

Each node's links pass a door there, and a link to its home lies there; the doors run while one of the nodes does.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from medsync_protocol.errors import OperatorError

VARIABLE: Final = "MEDSYNC_CLUSTER"
_FILE: Final = "cluster.json"


def directory() -> Path | None:
    """Where the cluster lives; None where none is wanted."""
    named = os.environ.get(VARIABLE)
    return None if not named else Path(named).absolute()


@contextmanager
def _alone(cluster: Path) -> Iterator[None]:
    cluster.mkdir(parents=True, exist_ok=True)
    with (cluster / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def enter(cluster: Path, name: str, home: Path, port: int) -> str:
    """Add a node that listens on `port`; the address that it announces, which is its door's. Raises OperatorError."""
    from medsync_node.testing.links import Links

    if port == 0:
        raise OperatorError("a node of a cluster that can be broken has a port of its own", advice="give it a --swarm-port")
    with _alone(cluster):
        held = cluster / _FILE
        nodes = json.loads(held.read_text())["nodes"] if held.exists() else []
        held.write_text(json.dumps({"nodes": [*(one for one in nodes if one != name), name]}))
        link = cluster / name
        link.unlink(missing_ok=True)
        link.symlink_to(home.absolute(), target_is_directory=True)
        door = Links(cluster, "proxy").add_door(name, port)
        return f"/ip4/127.0.0.1/tcp/{door}"


@contextmanager
def doors(cluster: Path | None) -> Iterator[None]:
    """Have the doors served as they are listed now; the last node that ends closes them."""
    if cluster is None:
        yield
        return
    from medsync_node.testing.cluster import Cluster
    from medsync_node.testing.links import Links

    with _alone(cluster):
        links = Links(cluster, "proxy")
        links.stop()
        links.start(tied=False)
    try:
        yield
    finally:
        with _alone(cluster):
            if not Cluster.of(cluster).running():
                Links(cluster, "proxy").stop()
