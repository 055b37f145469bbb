"""`medsync chain run` as a process of its own, for tests that need a real one."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

START_SECONDS = 60


@dataclass
class Running:
    """A chain that said it is ready, and what it said."""

    process: subprocess.Popen[bytes]
    about: dict[str, Any]

    @property
    def url(self) -> str:
        return str(self.about["url"])

    def rpc(self, method: str, **params: Any) -> Any:
        """The result, or the whole error object."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        document = httpx.post(self.url, json=body, timeout=60).json()
        return document["result"] if "result" in document else document["error"]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def command(*options: str) -> list[str]:
    program = "from medsync_chain.command import app; app(prog_name='medsync chain')"
    return [sys.executable, "-c", program, "run", "--port", "0", "--json", *options]


@contextmanager
def chain_process(*options: str) -> Iterator[Running]:
    """Starts one, waits until it is ready, and sees that it ends."""
    told, tell = os.pipe()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [*command(*options), "--ready-fd", str(tell), "--exit-on-eof"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            pass_fds=[tell],
        )
        os.close(tell)
        try:
            assert select.select([told], [], [], START_SECONDS)[0], "it is not ready in time"
            if os.read(told, 16) != b"ready\n":
                log.seek(0)
                raise AssertionError(f"it did not start: {log.read().decode()}")
            assert process.stdout is not None
            yield Running(process=process, about=json.loads(process.stdout.readline()))
        finally:
            os.close(told)
            assert process.stdin is not None
            process.stdin.close()
            if process.poll() is None:
                process.wait(START_SECONDS)
