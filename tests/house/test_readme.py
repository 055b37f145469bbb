"""What the README tells people to type works when it is typed: its quick starts are run as they stand."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from medsync_node.cli import registered

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def block(after: str, language: str) -> str:
    """The first code block of a language after a heading's words."""
    found = re.search(rf"```{language}\n(.*?)```", README[README.index(after) :], re.DOTALL)
    assert found is not None
    return found[1]


def free_port() -> str:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@contextmanager
def shell(directory: Path) -> Iterator[tuple[dict[str, str], list[subprocess.Popen[str]]]]:
    """The environment of somebody who types, and what runs in the background until the end."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "COLUMNS": "200"}
    running: list[subprocess.Popen[str]] = []
    try:
        yield environment, running
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(30)
            assert process.stdout is not None
            process.stdout.close()


def test_the_institutions_quick_start(tmp_path: Path) -> None:
    text = block("**An institution.**", "sh")
    for port in ("4401", "4402"):
        text = text.replace(f"/tcp/{port}", f"/tcp/{free_port()}")
    text = text.replace("127.0.0.1:8404", f"127.0.0.1:{free_port()}")
    printed = {"INVITATION": r"medsync-invite:[\w-]+", "PSEUDONYM": r"\b[0-9a-f]{32}\b"}
    known: dict[str, str] = {}
    with shell(tmp_path) as (environment, running):
        for line in text.splitlines():
            command = line.split(" #")[0].split("   #")[0].strip()
            if not command:
                continue
            if command.startswith("export "):
                name, value = command.removeprefix("export ").split("=", 1)
                environment[name] = value.strip("'\"").replace("$PWD", str(ROOT)).replace("$PATH", environment["PATH"])
                continue
            for name, value in known.items():
                command = command.replace(name, value)
            if command.endswith("&"):
                daemon = subprocess.Popen(
                    command.rstrip("& ").split(), cwd=tmp_path, env=environment, stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT, text=True,
                )  # fmt: skip
                running.append(daemon)
                assert daemon.stdout is not None
                assert "ready\n" in iter(daemon.stdout.readline, ""), command
                continue
            done = subprocess.run(
                ["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=90
            )
            assert done.returncode == 0, f"{command}: {done.stderr}"
            for name, pattern in printed.items():
                found = re.search(pattern, done.stdout)
                if found and name not in known:
                    known[name] = found[0]
            if "access request" in command:
                assert "PERMIT" in done.stdout
            if "access list" in command:
                assert "released" in done.stdout and "asked for" in done.stdout
    assert set(known) == set(printed)


def test_the_developers_test_passes_in_a_directory_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(block("**A developer.**", "python"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_mine.py"], cwd=tmp_path, capture_output=True,
        text=True, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_every_command_that_it_names_exists() -> None:
    named = set(re.findall(r"`medsync ([a-z]+)", README)) | set(re.findall(r"(?m)^medsync ([a-z]+)", README))
    assert named <= set(registered()), named - set(registered())
