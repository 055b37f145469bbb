"""Doors in front of a cluster's nodes: every link between them passes here, and here it is cut or slowed. A process of its own.

`python -m medsync_node.testing.doors DIRECTORY READY_FD` serves the doors that DIRECTORY/doors.json names until SIGTERM,
or the end of stdin where that is a pipe. What is wrong, `control.py` tells.
"""

from __future__ import annotations

import json
import random
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio

from medsync_node.testing.control import controlled
from medsync_node.testing.dialled import process_of
from medsync_node.testing.faults import RETRANSMISSION_MS, Faults

FILE: Final = "doors.json"
CHUNK: Final = 16 * 1024  # bytes delayed together
IN_FLIGHT: Final = 256  # chunks on a slow link: 4 MiB; a sender of more waits, as it would for a full window


@dataclass(frozen=True, slots=True)
class Door:
    """Others dial `port`; the node of this name listens on `behind`; its process id stands in `lock`."""

    name: str
    port: int
    behind: int
    lock: Path

    def pid(self) -> int | None:
        """The node's process; None when it doesn't run."""
        try:
            return int(self.lock.read_text().strip())
        except (OSError, ValueError):
            return None


@dataclass(eq=False, slots=True)
class Link:
    """One connection from `dialler` (empty: no node of the cluster) to `dialled`."""

    dialler: str
    dialled: str
    scope: trio.CancelScope


@dataclass(slots=True)
class Doors:
    """All of them, with what is wrong now and the links that are open."""

    doors: tuple[Door, ...]
    faults: Faults = field(default_factory=Faults)
    links: set[Link] = field(default_factory=set)

    def set(self, faults: Faults) -> int:
        """From now on these faults; returns how many links were cut for it."""
        self.faults = faults
        cut = [link for link in self.links if faults.apart(link.dialler, link.dialled)]
        for link in cut:
            link.scope.cancel()
        return len(cut)

    def _dialler(self, port: int, door: Door) -> str:
        pids = {pid: one.name for one in self.doors if (pid := one.pid()) is not None}
        found = process_of(port, door.port, pids)
        return "" if found is None else pids[found]

    async def pass_on(self, door: Door, incoming: trio.SocketStream) -> None:
        """One connection, until an end of it closes or it is cut."""
        try:
            _, port = incoming.socket.getpeername()[:2]
        except OSError:
            return  # gone already
        link = Link(self._dialler(port, door), door.name, trio.CancelScope())
        if self.faults.apart(link.dialler, link.dialled):
            return
        self.links.add(link)
        try:
            with link.scope:
                try:
                    outgoing = await trio.open_tcp_stream("127.0.0.1", door.behind)
                except OSError:
                    return  # the node is down: as if nobody listened
                async with outgoing, trio.open_nursery() as nursery:
                    nursery.start_soon(self._one_way, link, incoming, outgoing, nursery.cancel_scope)
                    nursery.start_soon(self._one_way, link, outgoing, incoming, nursery.cancel_scope)
        finally:
            self.links.discard(link)

    async def _one_way(self, link: Link, source: trio.SocketStream, target: trio.SocketStream, ended: trio.CancelScope) -> None:
        send, receive = trio.open_memory_channel[tuple[float, bytes]](IN_FLIGHT)

        async def deliver() -> None:
            async for due, chunk in receive:
                await trio.sleep_until(due)
                await target.send_all(chunk)

        try:
            async with trio.open_nursery() as nursery, send:
                nursery.start_soon(deliver)
                due = 0.0
                while chunk := await source.receive_some(CHUNK):
                    due = max(due, trio.current_time() + self._seconds(link))
                    await send.send((due, chunk))
                await send.aclose()
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # an end is gone
        ended.cancel()

    def _seconds(self, link: Link) -> float:
        slow = self.faults.between(link.dialler, link.dialled)
        lost = slow.percent and random.random() * 100 < slow.percent
        return (slow.ms + (max(RETRANSMISSION_MS, 2 * slow.ms) if lost else 0)) / 1000

    def open_links(self) -> list[list[str]]:
        """Who dialled whom, of the links that are open."""
        return [[link.dialler, link.dialled] for link in self.links]


def write(directory: Path, doors: dict[str, tuple[int, int]]) -> None:
    """Say which doors there are: name → (port, the port behind it)."""
    (directory / FILE).write_text(json.dumps(doors))


def read(directory: Path) -> dict[str, tuple[int, int]]:
    """The doors of a cluster; none for one without."""
    try:
        found: dict[str, Any] = json.loads((directory / FILE).read_text())
    except FileNotFoundError:
        return {}
    return {name: (int(port), int(behind)) for name, (port, behind) in found.items()}


async def _serve(directory: Path, ready: int) -> None:
    served = Doors(tuple(Door(name, port, behind, directory / name / "lock") for name, (port, behind) in read(directory).items()))
    async with controlled(directory, served, ready) as nursery:
        for door in served.doors:
            await nursery.start(partial(trio.serve_tcp, partial(served.pass_on, door), door.port, host="127.0.0.1"))


if __name__ == "__main__":
    trio.run(_serve, Path(sys.argv[1]), int(sys.argv[2]))
