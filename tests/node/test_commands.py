"""The command line against real daemons: starting, what stops a start, and the main job in commands."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.resources import files
from pathlib import Path
from typing import IO, Any

import pytest

from medsync_node import cli

PASSPHRASE = "correct horse battery"
ENVIRONMENT = {**os.environ, "NODE_PASSPHRASE": PASSPHRASE}
PATIENCE = 60.0
FHIR = Path(str(files("medsync_node") / "demo" / "data" / "fhir"))


def medsync(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """One command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "medsync_node.cli", *arguments], env={**ENVIRONMENT, **environment},
        capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip


def init(home: Path, *, port: int = 0) -> None:
    done = medsync(
        "init", home.name, "--home", str(home), "--listen", f"/ip4/127.0.0.1/tcp/{port}",
        "--passphrase-from", "env:NODE_PASSPHRASE",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@contextmanager
def daemon(home: Path, log: IO[bytes] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """`medsync run` on a home, ready; stopped at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "medsync_node.cli", "run", "--home", str(home), "--exit-on-eof"],
        env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log or subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process
    finally:
        process.kill() if process.poll() is None else None
        process.wait(PATIENCE)


class Shell:
    """Commands in this process against one home."""

    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._home, self._capsys = home, capsys

    def __call__(self, *arguments: str, code: int | None = 0) -> dict[str, Any]:
        self._capsys.readouterr()
        given = cli.run([*arguments, "--home", str(self._home), "--json"])
        printed = self._capsys.readouterr()
        assert code is None or given == code, (arguments, given, printed.out, printed.err)
        found: dict[str, Any] = json.loads(printed.out)
        return found


# -- starting -------------------------------------------------------------------------------------------------


def test_a_daemon_says_ready_last_and_stops_in_order(tmp_path: Path) -> None:
    init(tmp_path / "north")
    for stop in (signal.SIGTERM, signal.SIGINT):
        with (tmp_path / "log").open("wb") as log, daemon(tmp_path / "north", log) as process:
            process.send_signal(stop)
            assert process.wait(PATIENCE) == 0
        text = (tmp_path / "log").read_text()
        assert "running" in text and "stopped" in text and PASSPHRASE not in text
    with daemon(tmp_path / "north") as process:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(PATIENCE) == 0
    assert not (tmp_path / "north" / "api.sock").exists()


def test_what_keeps_a_daemon_from_starting_is_told_with_advice(tmp_path: Path) -> None:
    home = tmp_path / "north"
    run = ("run", "--home", str(home))
    missing = medsync(*run)
    assert missing.returncode == 1 and "medsync init" in missing.stderr
    init(home)
    locked = medsync(*run, NODE_PASSPHRASE="incorrect horse battery")
    assert locked.returncode == 1 and "passphrase does not open" in locked.stderr
    silent = medsync(*run, "--passphrase-from", "prompt")
    assert silent.returncode == 1 and "no terminal" in silent.stderr
    shown = medsync(*run, "--passphrase-from", PASSPHRASE)
    assert shown.returncode == 1 and PASSPHRASE not in shown.stderr + shown.stdout
    with daemon(home) as process:
        second = medsync(*run)
        assert second.returncode == 1 and f"process {process.pid}" in second.stderr
        listens = re.findall(r"/ip4/127.0.0.1/tcp/\d+", medsync("status", "--home", str(home)).stdout)[0]
        init(tmp_path / "south")
        taken = medsync("run", "--home", str(tmp_path / "south"), "--listen", listens)
        assert taken.returncode == 1 and "listen" in taken.stderr and "Traceback" not in taken.stderr
    gone = medsync("status", "--home", str(home))
    assert gone.returncode == 4 and "medsync run" in gone.stderr


def test_the_command_line_loads_little(tmp_path: Path) -> None:
    heavy = (
        "import medsync_node.cli, medsync_node.testing.plugin, medsync_node.testing, sys; "
        "print([m for m in ('libp2p', 'starknet_py', 'fastapi', 'hypercorn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# -- the main job ---------------------------------------------------------------------------------------------


def test_the_main_job_in_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("north", "lab")
    for name in names:
        init(tmp_path / name)
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(daemon(tmp_path / name))
        north, lab = (Shell(tmp_path / name, capsys) for name in names)
        north("network", "create", "hospitals")
        invitation = north("member", "invite", "--role", "member")["invitation"]
        assert lab("join", invitation)["name"] == "hospitals"
        eventually(lambda: len(lab("member", "list")["members"]) == 2)
        assert north("context", "create", "trial", "--member", "lab")["voters"] == 2, "it waits for the lab's voter key"
        eventually(lambda: [c["role"] for c in lab("context", "list")["contexts"]] == ["member"])

        key = tmp_path / "anna.key"
        north("subject", "key", "new", str(key))
        subject = north("subject", "enrol", "trial", "--key", str(key))
        granted = north(
            "consent", "grant", "trial", subject["card"], "--to", "lab", "--purpose", "HRESCH", "--key", str(key),
            "--replicated",
        )["id"]  # fmt: skip
        assert north("consent", "show", "trial", granted)["basis"] == "patient-signed"
        ask = ("access", "request", "trial", subject["card"], "--purpose", "HRESCH")
        eventually(lambda: lab(*ask, code=None)["answer"] == "PERMIT")
        assert lab(*ask)["ok"] is True
        revoked = north("consent", "revoke", "trial", subject["card"], "--all", "--key", str(key), "--wait")
        assert revoked["state"] == "effective"
        assert lab(*ask, code=3)["ok"] is False
        assert north("consent", "verify", "trial", granted, code=3)["ok"] is False
        halves = {row["half"] for row in north("access", "list", "trial", subject["card"])["entries"]}
        assert {"requested", "disclosed", "refused", "log-read"} <= halves

        other = north("subject", "enrol", "trial")["card"]
        listed = north("subject", "list", "trial", "--limit", "1")
        further = north("subject", "list", "trial", "--after", listed["next"])
        assert len(listed["subjects"]) == len(further["subjects"]) == 1 and further["next"] is None
        bring = ("consent", "import", "trial", other)
        imported = north(*bring, str(FHIR / "r5" / "notOrg.json"), "--actor", "Organization/f001=lab")["id"]
        (shown,) = north("consent", "list", "trial", other)["consents"]
        assert (shown["id"], shown["basis"], shown["base"]) == (imported, "attested", "permit")
        assert north(*bring, str(FHIR / "r5" / "Out.json"), code=1)["error"]["code"] == "actor_role"

        north("member", "remove", "lab", "--context", "trial")
        eventually(lambda: lab("context", "show", "trial")["role"] is None)
        assert lab(*ask, code=1)["error"]["advice"]
        export = tmp_path / "trial.ndjson"
        lines = north("audit", "export", "trial", "--to", str(export))["lines"]
        assert len(export.read_text().splitlines()) == lines
        assert north("audit", "verify", "trial")["ok"] is True


def eventually(fact: Any) -> None:
    """Return once the fact holds: commands ask real daemons, which need a moment to hear of each other."""
    import time

    deadline = time.monotonic() + PATIENCE
    while not fact():
        assert time.monotonic() < deadline, "it never came"
