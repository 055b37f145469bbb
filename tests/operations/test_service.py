"""Under a service manager: it hears ready, reloading and stopping; SIGHUP takes the log level over; unit and alerts hold."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from medsync_node import cli
from medsync_node.api.health import NodeMetrics
from tests.node.api_world import LOOPBACK, PASSPHRASE, make_home, running

OPERATIONS = Path(__file__).parents[2] / "node" / "operations"
PATIENCE = 60.0


def test_the_manager_hears_ready_reloading_and_stopping(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = make_home(tmp_path, "north")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE)
        environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "NODE_PASSPHRASE": PASSPHRASE}
        command = [
            sys.executable, "-m", "medsync_node.cli", "run", "--home", str(home.path), "--listen", LOOPBACK,
            "--passphrase-from", "env:NODE_PASSPHRASE", "--log-format", "json",
        ]  # fmt: skip
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            def heard() -> list[str]:
                return manager.recv(4096).decode().splitlines()

            assert heard() == ["READY=1", f"MAINPID={process.pid}"]
            for level in ("debug", "loud"):  # the second one has no meaning, and stops nothing
                if level == "debug":
                    assert cli.run(["config", "set", "log.level", level, "--home", str(home.path)]) == 0
                else:
                    home.config_file.write_text('[log]\nlevel = "loud"\n')
                process.send_signal(signal.SIGHUP)
                assert re.fullmatch(r"MONOTONIC_USEC=\d+", heard()[1])
                assert heard()[0] == "READY=1"
            process.send_signal(signal.SIGTERM)
            assert heard() == ["STOPPING=1"]
            assert process.wait(PATIENCE) == 0
        finally:
            if process.poll() is None:
                process.kill()
                process.wait(PATIENCE)
    text = (tmp_path / "log").read_text()
    assert '"log_level": "debug"' in text and "settings not taken over" in text


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    text = (OPERATIONS / "medsync.service").read_text()
    unit = tmp_path / "medsync.service"
    unit.write_text(text.replace("/usr/local/bin/medsync", sys.executable).replace("User=medsync", "User=root"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False)
    about_ours = [line for line in done.stderr.splitlines() if "medsync" in line]
    assert about_ours == [], done.stderr


async def test_alerts_and_the_readme_name_the_metrics_that_there_are(tmp_path: Path) -> None:
    async with running(make_home(tmp_path, "north")) as north:
        names = {family.name for family in NodeMetrics(north.daemon.node).collect()}
    used = set(re.findall(r"\bmedsync_\w+", (OPERATIONS / "alerts.yml").read_text()))
    assert used and used <= names
    readme = (OPERATIONS.parent / "README.md").read_text()
    assert set(re.findall(r"^\| `(medsync_\w+)`", readme, re.M)) == names


def test_the_readme_lists_the_scopes_that_there_are() -> None:
    from medsync_node.api.scopes import SCOPES

    section = (OPERATIONS.parent / "README.md").read_text().split("### Scopes")[1].split("\n#")[0]
    assert dict(re.findall(r"^\| `([\w:-]+)` \| (.+) \|$", section, re.M)) == dict(SCOPES)
