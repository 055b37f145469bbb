"""The pytest plugin: the fixture `cluster`, a network of real nodes for one test; `@pytest.mark.cluster(nodes=3)` sizes it;
with `breakable=True` its links can be cut and slowed, with `means="namespaces"` between network namespaces (as root).

Loads neither libp2p nor starknet_py: the nodes run in processes of their own.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from medsync_node.testing.cluster import Cluster


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker."""
    config.addinivalue_line("markers", "cluster(nodes=4, breakable=False, means='proxy'): how many nodes the fixture `cluster` starts; whether, and how, links can be broken")


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Running nodes that share one network and the context `shared`; they end with the test.

    In a directory of its own directly under the temporary one: a unix socket's path has 107 bytes.
    """
    from medsync_node.testing.cluster import Cluster

    marker = request.node.get_closest_marker("cluster")
    nodes = 4 if marker is None else int(marker.kwargs.get("nodes", 4))
    directory = Path(tempfile.mkdtemp(prefix="medsync-"))
    wanted = {} if marker is None else marker.kwargs
    made = Cluster(directory, nodes=nodes, breakable=bool(wanted.get("breakable")), means=wanted.get("means", "proxy"))
    try:
        made.up(tied=True)
        yield made
    finally:
        made.down()
        shutil.rmtree(directory, ignore_errors=True)
