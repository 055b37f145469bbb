"""Programs that run beside the demo: `medsync` command lines in processes of their own, which end with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import trio

from medsync_protocol.errors import OperatorError

STOP_SECONDS: Final = 5.0  # a child told to stop; then it is killed
CLI: Final = (sys.executable, "-m", "medsync_node.cli")
ONE_PROCESS: Final = (sys.executable, "-m", "medsync_node.demo.one_process")


class ChildFailed(OperatorError):
    """A program beside the demo ended, or said no."""


def environment() -> dict[str, str]:
    """This process's, without settings of a node that the person has: the demo must not touch that one."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MEDSYNC_")}


@dataclass(slots=True)
class Child:
    """A running program; `lines` of its stdout come one by one, stderr lines go to `hear`."""

    name: str
    process: trio.Process
    hear: Callable[[str], None]
    last_words: list[str] = field(default_factory=list)
    _buffer: bytes = b""

    async def line(self) -> str:
        """The next line of stdout. Raises ChildFailed when it ends instead."""
        assert self.process.stdout is not None
        while b"\n" not in self._buffer:
            more = await self.process.stdout.receive_some()
            if not more:
                await self.process.wait()
                said = " / ".join(self.last_words[-3:])
                raise ChildFailed(
                    f"{self.name} ended: {said or 'without a word'}", advice="see its output above"
                )
            self._buffer += more
        one, _, self._buffer = self._buffer.partition(b"\n")
        return one.decode(errors="replace")

    async def tell(self, text: str) -> None:
        """A line to its stdin."""
        assert self.process.stdin is not None
        await self.process.stdin.send_all(text.encode() + b"\n")

    async def listen(self) -> None:
        """Pass stderr on, line by line, until it ends."""
        assert self.process.stderr is not None
        held = b""
        async for some in self.process.stderr:
            *whole, held = (held + some).split(b"\n")
            for one in whole:
                text = one.decode(errors="replace").rstrip()
                self.last_words[:] = [*self.last_words[-20:], text]
                self.hear(text)


@asynccontextmanager
async def child(name: str, command: Sequence[str], hear: Callable[[str], None]) -> AsyncIterator[Child]:
    """A program that stops when the block ends, and when this process does, however that happens.

    In a session of its own: Ctrl-C reaches this process alone, which then stops it.
    """
    process = await trio.lowlevel.open_process(
        list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        env=environment(),
    )  # fmt: skip
    one = Child(name, process, hear)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.listen)
            yield one
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await _stop(process)


async def _stop(process: trio.Process) -> None:
    assert process.stdin is not None
    await process.stdin.aclose()
    if process.returncode is None:
        process.terminate()
    with trio.move_on_after(STOP_SECONDS):
        await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()
    for stream in (process.stdout, process.stderr):
        assert stream is not None
        await stream.aclose()


async def run_once(*arguments: str) -> tuple[int, dict[str, Any]]:
    """One `medsync … --json` from start to end: exit code, and its one object on stdout. Raises ChildFailed."""
    done = await trio.run_process(
        [*CLI, *arguments, "--json"], capture_stdout=True, capture_stderr=True, check=False, env=environment(),
        stdin=b"", start_new_session=True,
    )  # fmt: skip
    try:
        answer = json.loads(done.stdout)
    except ValueError as error:
        words = done.stderr.decode(errors="replace").strip()[-400:]
        raise ChildFailed(
            f"medsync {arguments[0]} printed no JSON: {words}", advice="run it by hand"
        ) from error
    return done.returncode, answer


def start_lasting(command: Sequence[str], log: Path) -> tuple[subprocess.Popen[bytes], int]:
    """A program that outlives this one: (process, descriptor on which it says ready). Its output goes to a file."""
    readable, writable = os.pipe()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--ready-fd", str(writable)], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            pass_fds=(writable,), start_new_session=True, env=environment(),
        )  # fmt: skip
    os.close(writable)
    return process, readable
