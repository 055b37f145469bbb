"""Tools for tests and developers: a cluster of real nodes on this machine, and the pytest fixture that gives one.

The fixture is registered by `medsync_node.testing.plugin`; importing this loads neither libp2p nor starknet_py.
"""

from __future__ import annotations

from medsync_node.testing.cluster import Cluster, ClusterNode

__all__ = ["Cluster", "ClusterNode"]
