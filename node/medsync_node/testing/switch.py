"""The wire between the namespaces of a cluster: passes IP packets on, late, or not at all. A process of its own.

`python -m medsync_node.testing.switch DIRECTORY READY_FD` holds the far end of every node's tun device until SIGTERM, or
the end of stdin where that is a pipe; then it removes the namespaces. What is cut or lost is lost for real: no node is told,
its kernel sends again. The kernel's own netem is not needed. What is wrong, `control.py` tells.
"""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import itertools
import os
import random
import struct
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trio

from medsync_node.testing import namespaces
from medsync_node.testing.cluster_file import read_nodes
from medsync_node.testing.control import controlled
from medsync_node.testing.faults import Faults

MTU: Final = 1500
IN_FLIGHT: Final = 20_000  # packets under way on slow links: beyond it they are lost, as in a full queue
READS_A_TURN: Final = 64  # packets taken from one device before others have their turn
_TUNSETIFF: Final = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000


@dataclass(slots=True)
class Switch:
    """`devices`: node → descriptor; `names`: address → node. `late`: (due, number, descriptor, packet)."""

    devices: dict[str, int]
    names: dict[bytes, str]
    faults: Faults = field(default_factory=Faults)
    late: list[tuple[float, int, int, bytes]] = field(default_factory=list)
    dropped: int = 0
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _more: trio.Event = field(default_factory=trio.Event)

    def set(self, faults: Faults) -> int:
        """From now on these faults. No connection is ended for it: 0."""
        self.faults = faults
        return 0

    def open_links(self) -> list[list[str]]:
        """Connections are the kernels' here."""
        return []

    def take(self, packet: bytes, now: float) -> None:
        """One packet from a device: on to the one it is for, now or later, or lost."""
        if len(packet) < 20 or packet[0] >> 4 != 4:
            return
        source, target = self.names.get(packet[12:16]), self.names.get(packet[16:20])
        if source is None or target is None or self.faults.apart(source, target):
            self.dropped += 1
            return
        slow = self.faults.between(source, target)
        if (slow.percent and random.random() * 100 < slow.percent) or len(self.late) >= IN_FLIGHT:
            self.dropped += 1
        elif slow.ms:
            heapq.heappush(self.late, (now + slow.ms / 1000, next(self._numbers), self.devices[target], packet))
            self._more.set()
        else:
            _put(self.devices[target], packet)

    async def read(self, device: int) -> None:
        """What a node sends, for ever."""
        while True:
            await trio.lowlevel.wait_readable(device)
            for _ in range(READS_A_TURN):
                try:
                    packet = os.read(device, MTU + 64)
                except BlockingIOError:
                    break
                self.take(packet, trio.current_time())

    async def deliver(self) -> None:
        """What is late, when it is due, for ever."""
        while True:
            while self.late and self.late[0][0] <= trio.current_time():
                _, _, device, packet = heapq.heappop(self.late)
                _put(device, packet)
            self._more = trio.Event()
            with trio.move_on_at(self.late[0][0] if self.late else trio.current_time() + 3600):
                await self._more.wait()


def _put(device: int, packet: bytes) -> None:
    with contextlib.suppress(OSError):  # a full or closed device: lost, as on a wire
        os.write(device, packet)


def open_device(name: str) -> int:
    """A new tun device of this machine, without packet information; gone with its descriptor."""
    descriptor = os.open(namespaces.TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    return descriptor


def connect(directory: Path, nodes: list[str]) -> Switch:
    """A switch with a device in the namespace of every node."""
    namespaces.make(directory, nodes)
    devices, names = {}, {}
    for index, node in enumerate(nodes):
        device = f"ms{os.getpid() % 1_000_000}n{index}"
        devices[node] = open_device(device)
        address = namespaces.address_of(index)
        namespaces.give(directory, node, device, address)
        names[bytes(int(part) for part in address.split("."))] = node
    return Switch(devices, names)


async def _serve(directory: Path, ready: int) -> None:
    try:
        switch = connect(directory, read_nodes(directory))
        async with controlled(directory, switch, ready) as nursery:
            for device in switch.devices.values():
                nursery.start_soon(switch.read, device)
            nursery.start_soon(switch.deliver)
    finally:
        namespaces.remove(directory)


if __name__ == "__main__":
    trio.run(_serve, Path(sys.argv[1]), int(sys.argv[2]))
