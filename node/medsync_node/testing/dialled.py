"""Which process is at the other end of a connection on this machine's loopback, by the kernel's table of sockets."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_TABLE: Final = Path("/proc/net/tcp")
_ESTABLISHED: Final = ("01", "02", "03")  # states of a connection that its maker has begun: established, and both SYNs


def _inode(local_port: int, remote_port: int) -> str | None:
    for line in _TABLE.read_text().splitlines()[1:]:
        fields = line.split()
        local, remote = (int(one.rpartition(":")[2], 16) for one in fields[1:3])
        if (local, remote) == (local_port, remote_port) and fields[3] in _ESTABLISHED:
            return fields[9]
    return None


def process_of(local_port: int, remote_port: int, candidates: Iterable[int]) -> int | None:
    """The one of `candidates` that dialled from `local_port` to `remote_port`; None when it is none of them."""
    inode = _inode(local_port, remote_port)
    if inode is None:
        return None
    wanted = f"socket:[{inode}]"
    for pid in candidates:
        try:
            descriptors = os.listdir(f"/proc/{pid}/fd")
        except OSError:
            continue  # it ended
        for one in descriptors:
            try:
                if os.readlink(f"/proc/{pid}/fd/{one}") == wanted:
                    return pid
            except OSError:
                continue  # closed since
    return None
