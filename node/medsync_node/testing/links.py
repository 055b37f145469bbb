"""The links of a cluster: the process with the doors that they pass, started, told what is wrong, and stopped."""

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

from medsync_node.testing import doors
from medsync_node.testing.faults import Faults
from medsync_node.testing.waiting import ClusterFailed, until
from medsync_protocol.errors import OperatorError

START_SECONDS: Final = 60.0
_PID: Final = "doors.pid"


class Links:
    """Of the cluster in `directory`. `breakable` only says what a new one shall be: an existing one is as it was made."""

    def __init__(self, directory: Path, breakable: bool) -> None:
        self._directory = directory
        self._doors = doors.read(directory)
        self.breakable = breakable or bool(self._doors)
        self._process: subprocess.Popen[bytes] | None = None

    def add_door(self, name: str, behind: int) -> int:
        """A door for a node that listens on the port `behind`; returns the door's own."""
        port = free_port()
        self._doors[name] = port, behind
        doors.write(self._directory, self._doors)
        return port

    def start(self, *, tied: bool) -> None:
        """Serve the doors, unless that is being done or there are none. Raises ClusterFailed."""
        if not self._doors or self._running():
            return
        readable, writable = os.pipe()
        command = [sys.executable, "-m", "medsync_node.testing.doors", str(self._directory), str(writable)]
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
                raise ClusterFailed("the doors between the nodes did not open", advice=f"see {self._directory / 'doors.log'}")

    def stop(self) -> None:
        """End the process, if it runs."""
        pid = self._running()
        if pid is None:
            return
        os.kill(pid, signal.SIGTERM)
        if self._process is not None:
            self._process.wait()
        until(lambda: self._running() is None, "the doors to be closed")

    @property
    def faults(self) -> Faults:
        """What is wrong now. Raises OperatorError as `set`."""
        return Faults.of(self._tell({})["faults"])

    def set(self, faults: Faults) -> int:
        """Have these faults, and no others, from now on; returns how many links were cut for it.

        Raises OperatorError for a cluster without doors, or whose doors nobody serves.
        """
        return int(self._tell({"faults": faults.fields()})["cut"])

    def _tell(self, message: dict[str, Any]) -> dict[str, Any]:
        if not self._doors:
            raise OperatorError(
                "this cluster's links pass no doors, so that they can't be broken",
                advice="it was made without: make another by `medsync cluster up --dir …`, or Cluster(breakable=True)",
            )
        try:
            with socket.socket(socket.AF_UNIX) as there, there.makefile("rb") as answers:
                there.connect(str(self._directory / doors.SOCKET))
                there.sendall(json.dumps(message).encode())
                told: dict[str, Any] = json.loads(answers.readline())
        except (OSError, ValueError) as error:
            raise OperatorError(
                "nobody serves this cluster's doors", advice="`medsync cluster up` starts what does not run"
            ) from error
        return told

    def _running(self) -> int | None:
        """The process that serves the doors, by its file and its command line: process ids are used again."""
        try:
            pid = int((self._directory / _PID).read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        return pid if b"medsync_node.testing.doors" in command and str(self._directory).encode() in command else None


def free_port() -> int:
    """A port of this machine's loopback that nobody listens on now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
