"""merobox 0.6.86 as it comes, in an environment of its own: it wants another `rich` than we do. Made once, beside ours."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
PLACE = ROOT / ".venv-merobox"
REQUIREMENTS = HERE / "merobox-requirements.txt"
SECONDS = 240.0
USER, PASSWORD = "admin", "a-long-password"


@dataclass(frozen=True)
class Ran:
    """What came of a workflow."""

    status: int
    output: str


def environment() -> Path:
    """The interpreter's directory of scripts, with everything in it that the requirements name."""
    mark = PLACE / "made-from"
    wanted = REQUIREMENTS.read_text("utf-8")
    with (ROOT / ".venv-merobox.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not mark.exists() or mark.read_text("utf-8") != wanted:
            venv.create(PLACE, with_pip=True, clear=True)
            install = [str(PLACE / "bin" / "python"), "-m", "pip", "install", "-q", "--no-deps", "-r", str(REQUIREMENTS)]
            done = subprocess.run(install, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            mark.write_text(wanted, "utf-8")
    return PLACE / "bin"


def run(name: str, directory: Path, nodes: int) -> Ran:
    """Run a workflow of ours; its nodes end with it."""
    (directory / "workflow.yml").write_text((HERE / "workflows" / f"{name}.yml").read_text("utf-8"))
    for stem in ("kv_store", "medsync"):
        (directory / f"{stem}.wasm").write_bytes(b"\0asm")
    (directory / "picture.bin").write_bytes(bytes(range(256)) * 2_000)
    command = f"{environment()}/merobox bootstrap run workflow.yml --no-docker --binary-path {Path(sys.executable).with_name('medsync-merod')}"
    return typed(f"PYTHONPATH={HERE / 'client'} {command}", directory, nodes)


def typed(line: str, directory: Path, nodes: int) -> Ran:
    """What a shell makes of a line in a directory, with free ports in its workflow; nodes end with it."""
    workflow = directory / "workflow.yml"
    if workflow.exists():
        text = workflow.read_text("utf-8").replace("base_port: 2428", f"base_port: {free_range(nodes)}")
        workflow.write_text(text.replace("base_rpc_port: 2528", f"base_rpc_port: {free_range(nodes)}"))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    given = {**os.environ, "HOME": str(directory), "COLUMNS": "200", "PATH": path}
    given |= {"MERO_AUTH_ADMIN_USER": USER, "MERO_AUTH_ADMIN_PASSWORD": PASSWORD}
    try:
        done = subprocess.run(["bash", "-c", line], cwd=directory, env=given, capture_output=True, text=True, timeout=SECONDS)
    finally:
        for kept in (directory / "data" / ".pids").glob("*.pid"):
            _end(int(kept.read_text()))
    return Ran(done.returncode, re.sub(r"\s+", " ", done.stdout + done.stderr))


def free_range(count: int) -> int:
    """The first of so many ports in a row that nobody listens on; not among those that are given out by port 0."""
    for first in range(20_000 + os.getpid() % 500 * 20, 32_000, 20):
        probes = [socket.socket() for _ in range(count)]
        try:
            for number, probe in enumerate(probes):
                probe.bind(("127.0.0.1", first + number))
        except OSError:
            continue
        finally:
            for probe in probes:
                probe.close()
        if first not in _TAKEN:
            _TAKEN.add(first)
            return first
    raise AssertionError("no free ports")


_TAKEN: set[int] = set()


def _end(process: int) -> None:
    try:
        command = Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return
    if b"medsync-merod" in command:
        os.kill(process, 15)
