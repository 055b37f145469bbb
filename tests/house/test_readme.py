"""What the README tells people to type works when it is typed: its quick starts are run as they stand."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
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


class Typist:
    """Types a block's lines one after another; what is printed takes the place of the words that stand for it."""

    def __init__(self, directory: Path, environment: dict[str, str], running: list[subprocess.Popen[str]]) -> None:
        self.directory, self.environment, self.running = directory, environment, running
        self.ports: dict[str, str] = {}
        self.known: dict[str, str] = {}
        self.printed: dict[str, tuple[str, str]] = {}
        """What a word stands for: (the command that prints it, a pattern)."""

    def type(self, text: str) -> None:
        for port in ("4401", "4402", "8404", "5050"):
            text = text.replace(f"/{port}", f"/{self._port(port)}").replace(f":{port}", f":{self._port(port)}")
            text = text.replace(f"--port {port}", f"--port {self._port(port)}")
        for line in text.splitlines():
            command = line.split(" #")[0].strip()
            for name, value in self.known.items():
                command = re.sub(rf"\b{name}\b(?!=)", value, command)
            if command:
                self._enter(command)

    def _port(self, named: str) -> str:
        return self.ports.setdefault(named, free_port())

    def _enter(self, command: str) -> None:
        if command.startswith("export "):
            for name, value in (part.split("=", 1) for part in shlex.split(command.removeprefix("export "))):
                self.environment[name] = value.replace("$PWD", str(ROOT)).replace("$PATH", self.environment["PATH"])
        elif command.startswith("kill "):
            for process in self.running[:2]:
                process.terminate()
                process.wait(30)
        elif command.endswith("&"):
            self._start(command.rstrip("& "))
        else:
            self._run(command)

    def _start(self, command: str) -> None:
        process = subprocess.Popen(
            command.split(), cwd=self.directory, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.running.append(process)
        assert process.stdout is not None
        said = ""
        for line in iter(process.stdout.readline, ""):
            said += line
            if line == "ready\n":
                break
        assert said.endswith("ready\n"), f"{command}: {said}"
        self._note(command, said)

    def _run(self, command: str) -> None:
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.directory, env=self.environment, capture_output=True, text=True, timeout=180
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        self._note(command, done.stdout)
        if "access request" in command:
            assert "PERMIT" in done.stdout
        if "access list" in command:
            assert "released" in done.stdout and "asked for" in done.stdout

    def _note(self, command: str, text: str) -> None:
        for name, (by, pattern) in self.printed.items():
            found = re.search(pattern, text)
            if found and by in command and name not in self.known:
                self.known[name] = found[1]


@contextmanager
def institutions(directory: Path) -> Iterator[Typist]:
    """Somebody who has typed the institution's quick start."""
    with shell(directory) as (environment, running):
        typist = Typist(directory, environment, running)
        typist.printed = {
            "INVITATION": ("member invite", r"(medsync-invite:[\w-]+)"), "PSEUDONYM": ("subject enrol", r"\b([0-9a-f]{32})\b"),
        }  # fmt: skip
        typist.type(block("**An institution.**", "sh"))
        assert set(typist.known) == set(typist.printed)
        yield typist


def test_the_institutions_quick_start(tmp_path: Path) -> None:
    with institutions(tmp_path):
        pass


@pytest.mark.long
def test_the_quick_start_on_a_chain(tmp_path: Path) -> None:
    with institutions(tmp_path) as typist:
        typist.environment["MEDSYNC_BRIDGE_HOME"] = str(tmp_path / "bridge")
        typist.printed |= {
            "ACCOUNT": ("chain run", r"Account address \|  (0x[0-9a-f]+)"), "SECRET": ("chain run", r"Private key     \|  (0x[0-9a-f]+)"),
            "CONTRACT": ("contract deploy", r"\b(0x[0-9a-f]{60,64})\b"), "ADDRESS": ("context show", r"(starknet:\S+)"),
        }  # fmt: skip
        typist.type(block("**On a chain.**", "sh"))
        assert set(typist.known) == set(typist.printed)


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
