"""How a process that breaks links is told what is wrong: over DIRECTORY/doors.sock, one JSON line each; and how it ends."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import trio

from medsync_node.testing.faults import Faults

SOCKET: Final = "doors.sock"
LOOK_SECONDS: Final = 2.0  # between looks whether the cluster's directory is still there
MAX_MESSAGE: Final = 64 * 1024


class Breaks(Protocol):
    """What breaks links: the doors, or the switch."""

    faults: Faults

    def set(self, faults: Faults) -> int:
        """From now on these faults; returns how many links were cut for it."""

    def open_links(self) -> list[list[str]]:
        """[dialler, dialled] of the links that it knows."""


async def _answer(breaks: Breaks, stream: trio.SocketStream) -> None:
    """One message: new faults, or a question how things are."""
    try:
        asked = json.loads(await stream.receive_some(MAX_MESSAGE))
        cut = breaks.set(Faults.of(asked["faults"])) if "faults" in asked else 0
    except (ValueError, KeyError, TypeError):
        return  # no message of ours: the other end sees that nothing is answered
    answer = {"cut": cut, "links": breaks.open_links(), "faults": breaks.faults.fields()}
    await stream.send_all(json.dumps(answer).encode() + b"\n")


@asynccontextmanager
async def controlled(directory: Path, breaks: Breaks, ready: int) -> AsyncIterator[trio.Nursery]:
    """Answer at the socket while what the block starts in the nursery runs: until SIGTERM, or the end of a piped stdin.

    Ends as well once somebody removed the socket, as with the whole directory. Says `ready` to the descriptor once the block came to its end.
    """
    socket = directory / SOCKET
    socket.unlink(missing_ok=True)
    control = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
    before = os.umask(0o177)
    await control.bind(str(socket))
    os.umask(before)
    control.listen()
    try:
        async with trio.open_nursery() as nursery:
            yield nursery
            await nursery.start(partial(trio.serve_listeners, partial(_answer, breaks), [trio.SocketListener(control)]))
            os.write(ready, b"ready")
            os.close(ready)
            if not os.isatty(0) and os.fstat(0).st_mode & 0o170000 == 0o010000:  # a pipe: whoever holds it wants our end
                nursery.start_soon(_until_eof, nursery.cancel_scope)
            nursery.start_soon(_until_gone, socket, nursery.cancel_scope)
            with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as told:
                async for _ in told:
                    break
            nursery.cancel_scope.cancel()
    finally:
        socket.unlink(missing_ok=True)


async def _until_gone(socket: Path, everything: trio.CancelScope) -> None:
    while socket.exists():
        await trio.sleep(LOOK_SECONDS)
    everything.cancel()


async def _until_eof(everything: trio.CancelScope) -> None:
    await trio.to_thread.run_sync(_read_to_end, abandon_on_cancel=True)  # type: ignore[call-arg]
    everything.cancel()


def _read_to_end() -> None:
    """Not through the buffered stream: its lock, held by a thread that still waits, aborts the interpreter's end."""
    while os.read(0, 4096):
        pass
