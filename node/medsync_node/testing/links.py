"""The links of a cluster: the process that they pass, started, told what is wrong, and stopped.

That is the switch between the nodes' network namespaces, or the doors on loopback; for nodes it is the same.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from medsync_node.testing import doors, namespaces
from medsync_node.testing.cluster_file import Means, read_means
from medsync_node.testing.control import SOCKET
from medsync_node.testing.faults import Faults
from medsync_node.testing.waiting import ClusterFailed, until
from medsync_protocol.errors import OperatorError

START_SECONDS: Final = 60.0
_PID: Final = "doors.pid"


class Links:
    """Of the cluster in `directory`. `means` only says what a new one shall be: an existing one is as it was made."""

    def __init__(self, directory: Path, means: Means) -> None:
        self._directory = directory
        self._doors = doors.read(directory)
        self.means: Means = read_means(directory) or ("proxy" if self._doors else means)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def breakable(self) -> bool:
        """Whether links can be cut and slowed."""
        return self.means != "none"

    def before(self, node: str) -> list[str]:
        """What to put before a node's command."""
        return namespaces.inside(self._directory, node) if self.means == "namespaces" else []

    def add_door(self, name: str, behind: int) -> int:
        """A door for a node that listens on the port `behind`; returns the door's own."""
        port = free_port()
        self._doors[name] = port, behind
        doors.write(self._directory, self._doors)
        return port

    def start(self, *, tied: bool) -> None:
        """Start the process, unless it runs or none is needed. Raises ClusterFailed."""
        if not self.breakable or self._running():
            return
        readable, writable = os.pipe()
        command = [sys.executable, "-m", self._module, str(self._directory), str(writable)]
        with (self._directory / "doors.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE if tied else subprocess.DEVNULL, stdout=log, stderr=log,
                pass_fds=(writable,), start_new_session=True,
            )  # fmt: skip
        os.close(writable)
        (self._directory / _PID).write_text(str(self._process.pid))
        with os.fdopen(readable, "rb") as ready:
            found, _, _ = select.select([ready], [], [], START_SECONDS)
            if not found or ready.read(5) != b"ready":
                raise ClusterFailed("what the nodes' links pass did not start", advice=f"see {self._directory / 'doors.log'}")

    def stop(self) -> None:
        """End the process, if it runs; remove what it left behind if it was killed."""
        pid = self._running()
        if pid is not None:
            os.kill(pid, signal.SIGTERM)
            if self._process is not None:
                self._process.wait()
            until(lambda: self._running() is None, "the links' process to end")
        if self.means == "namespaces":
            namespaces.remove(self._directory)

    @property
    def faults(self) -> Faults:
        """What is wrong now. Raises OperatorError as `set`."""
        return Faults.of(self._tell({})["faults"])

    def set(self, faults: Faults) -> int:
        """Have these faults, and no others, from now on; returns how many links were cut for it.

        Raises OperatorError for a cluster that can't be broken, or whose process doesn't run.
        """
        return int(self._tell({"faults": faults.fields()})["cut"])

    def _tell(self, message: dict[str, Any]) -> dict[str, Any]:
        if not self.breakable:
            raise OperatorError(
                "this cluster's links can't be broken",
                advice="it was made without: make another by `medsync cluster up --dir …`, or Cluster(breakable=True)",
            )
        try:
            with socket.socket(socket.AF_UNIX) as there, there.makefile("rb") as answers:
                there.connect(str(self._directory / SOCKET))
                there.sendall(json.dumps(message).encode())
                told: dict[str, Any] = json.loads(answers.readline())
        except (OSError, ValueError) as error:
            raise OperatorError(
                "the process that this cluster's links pass does not run", advice="`medsync cluster up` starts what does not run"
            ) from error
        return told

    @property
    def _module(self) -> str:
        return f"medsync_node.testing.{'switch' if self.means == 'namespaces' else 'doors'}"

    def _running(self) -> int | None:
        """The process, by its file and its command line: process ids are used again."""
        try:
            pid = int((self._directory / _PID).read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        return pid if self._module.encode() in command and str(self._directory).encode() in command else None


def free_port() -> int:
    """A port of this machine's loopback that nobody listens on now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
