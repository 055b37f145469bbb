"""The nodes of one run, a process each, and what the machine says of them. What they are made to do is workloads.py's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class Died(RuntimeError):
    """A node's process ended before it answered; its last words are on stderr."""


class Process:
    """One node."""

    def __init__(self, home: Path, name: str, synchronous: str) -> None:
        self.home, self.name, self.synchronous = home, name, synchronous
        home.mkdir(exist_ok=True)
        self.start()

    def start(self) -> None:
        """Spawn it; `answer` gives "up" when it runs."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "scripts.benchmarks.worker", str(self.home), self.name, self.synchronous],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT,
        )  # fmt: skip

    def tell(self, command: str, *arguments: Any) -> None:
        """Send a command and go on."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([command, *arguments]).encode() + b"\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        """The answer to the oldest command that has none. Raises Died."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise Died(f"{self.name} ended with {self._process.wait()}")
        return json.loads(line)

    def call(self, command: str, *arguments: Any) -> Any:
        """Send a command and wait for its answer."""
        self.tell(command, *arguments)
        return self.answer()

    def stop(self) -> None:
        """Let it end, and wait for that."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait()


@dataclass(frozen=True, slots=True)
class Meter:
    """Readings at one moment: CPU seconds of all nodes, bytes that passed the loopback device."""

    cpu: float
    loopback: int


class Cluster:
    """Nodes with one network, one context and its patients."""

    def __init__(
        self, processes: list[Process], members: list[str], context: str, subjects: list[str]
    ) -> None:
        self.processes, self.members, self.context, self.subjects = processes, members, context, subjects
        self.written = 0
        """Entries written so far, at every node once it has them all."""

    def all(self, command: str, *arguments: Any) -> list[Any]:
        """The same command to all at once; their answers."""
        return together(self.processes, command, *arguments)

    def meter(self) -> Meter:
        """Readings now."""
        return Meter(sum(stats["cpu"] for stats in self.all("stats")), loopback_bytes())

    def memory(self) -> list[int]:
        """Peak resident MiB of each node."""
        return [round(stats["rss"]) for stats in self.all("stats")]


def together(processes: list[Process], command: str, *arguments: Any) -> list[Any]:
    """The same command to several at once; their answers."""
    for process in processes:
        process.tell(command, *arguments)
    return [process.answer() for process in processes]


def loopback_bytes() -> int:
    """Bytes that passed the loopback device since the machine started, everybody's."""
    for line in Path("/proc/net/dev").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name.strip() == "lo":
            return int(rest.split()[0])
    raise RuntimeError("no loopback device")


def disk_bytes(home: Path) -> int:
    """What a home takes on disk."""
    return sum(file.stat().st_blocks * 512 for file in home.rglob("*") if file.is_file())


@contextmanager
def running(nodes: int, synchronous: str) -> Iterator[Cluster]:
    """Start nodes, found and join the network, make the context, enrol the patients; gone with the block."""
    base = Path(tempfile.mkdtemp(prefix="medsync-bench-", dir=os.environ.get("BENCH_DIR")))
    processes = [Process(base / f"n{n}", f"n{n}", synchronous) for n in range(nodes)]
    try:
        for process in processes:
            process.answer()
        first, *others = processes
        members = [first.call("found")]
        members += [other.call("join", first.call("invite")) for other in others]
        context = first.call("create", members)
        together(processes, "enter", context, nodes)
        subjects = first.call("enrol")
        together(processes, "know", subjects)
        yield Cluster(processes, members, context, subjects)
        for process in processes:
            process.stop()
    finally:
        for process in processes:
            process.kill()
        shutil.rmtree(base, ignore_errors=True)
