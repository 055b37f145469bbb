"""Network namespaces for the nodes of a cluster: whether this machine gives any, making them, entering and removing them.

Each node has one of its own with a single device, whose other end the switch holds (`switch.py`): no address and no
device appears on the machine itself. Names derive from the cluster's directory, so that whoever finds it finds them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from medsync_node.testing.waiting import ClusterFailed

TUN: Final = Path("/dev/net/tun")
PORT: Final = 4401  # of every node: each has the address to itself
_RUN: Final = Path("/run/netns")


def obstacle() -> str | None:
    """Why there can be no namespaces here; None when there can. Makes one and removes it."""
    if os.geteuid() != 0:
        return "network namespaces want root"
    if shutil.which("ip") is None:
        return "the command `ip` (package iproute2) is missing"
    if not TUN.exists():
        return f"{TUN} is missing"
    probe = f"medsync-probe-{os.getpid()}"
    made = _ip("netns", "add", probe, check=False)
    if made.returncode != 0:
        return f"this machine gives no network namespaces ({_last_line(made.stderr)})"
    try:
        device = _ip("-n", probe, "tuntap", "add", "t0", "mode", "tun", check=False)
        return None if device.returncode == 0 else f"no tun device can be made ({_last_line(device.stderr)})"
    finally:
        _ip("netns", "del", probe, check=False)


def name_of(directory: Path, node: str) -> str:
    """The namespace of a node."""
    return f"{_prefix(directory)}{node}"


def address_of(index: int) -> str:
    """The address that the cluster's node number `index` (from 0) has in its namespace."""
    return f"10.77.0.{index + 1}"


def make(directory: Path, nodes: Iterable[str]) -> None:
    """The namespaces of these nodes, where there are none yet. Raises ClusterFailed."""
    for node in nodes:
        name = name_of(directory, node)
        if not (_RUN / name).exists():
            _ip("netns", "add", name)
        _ip("-n", name, "link", "set", "lo", "up")


def give(directory: Path, node: str, device: str, address: str) -> None:
    """Move a device into a node's namespace, with this address. Raises ClusterFailed."""
    name = name_of(directory, node)
    _ip("link", "set", device, "netns", name)
    _ip("-n", name, "address", "add", f"{address}/24", "dev", device)
    _ip("-n", name, "link", "set", device, "up")


def inside(directory: Path, node: str) -> list[str]:
    """What to put before a command so that it runs in a node's namespace, under the same process id."""
    return ["ip", "netns", "exec", name_of(directory, node)]


def remove(directory: Path) -> list[str]:
    """Remove every namespace of a cluster, also what a killed one left behind; returns their names."""
    left = sorted(path.name for path in _RUN.glob(f"{_prefix(directory)}*"))
    for name in left:
        _ip("netns", "del", name, check=False)
    return left


def _prefix(directory: Path) -> str:
    return f"medsync-{hashlib.blake2s(os.fsencode(directory.absolute()), digest_size=4).hexdigest()}-"


def _ip(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise ClusterFailed(
            f"`ip {' '.join(words)}` failed: {_last_line(done.stderr)}",
            advice="make the cluster with --links proxy instead",
        )
    return done


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[-1]
