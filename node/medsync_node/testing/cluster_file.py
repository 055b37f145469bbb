"""What a cluster's directory says of it, `cluster.json`: which nodes there are, and by what means their links are broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, Literal, get_args

from medsync_node.home import write_private
from medsync_protocol.errors import OperatorError

FILE: Final = "cluster.json"
Means = Literal["none", "proxy", "namespaces"]
"""`none`: links can't be broken. `proxy`: they pass doors on loopback. `namespaces`: each node has a network of its own."""


def read_nodes(directory: Path) -> list[str]:
    """Names of the nodes; none where no cluster lives."""
    return [str(name) for name in _read(directory).get("nodes", [])]


def read_means(directory: Path) -> Means | None:
    """How links are broken here; None where no cluster lives, or an older program made it."""
    found = _read(directory).get("means")
    return found if found in get_args(Means) else None


def write(directory: Path, nodes: list[str], means: Means) -> None:
    """Say it. Raises OSError."""
    write_private(directory / FILE, json.dumps({"nodes": nodes, "means": means}).encode())


def require(directory: Path) -> None:
    """Raises OperatorError when no cluster lives in the directory."""
    if not (directory / FILE).exists():
        raise OperatorError(
            f"no cluster lives in {directory}", advice="start one with `medsync cluster up`, or name its --dir"
        )


def _read(directory: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((directory / FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    return found
