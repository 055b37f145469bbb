"""The operator's page: every command that it shows is run as it stands, one after another, on a home of its own."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from medsync_client import Address, BlockingClient
from medsync_client.contexts import ContextCreate
from medsync_client.subjects import SubjectEnrol
from medsync_node import cli

PAGE = Path(__file__).resolve().parents[2] / "node" / "README.md"
COMMAND = [sys.executable, "-m", "medsync_node.cli"]


def commands() -> list[str]:
    """Lines of the page's shell blocks, without their comments."""
    page = re.sub(r"### Break-glass.*?```sh.*?```", "", PAGE.read_text("utf-8"), flags=re.DOTALL)  # test_api_glass.py's
    blocks = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    lines = [line.split(" #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("medsync ") and not line.startswith("medsync cluster")]  # test_faults.py's


class Operator:
    """Somebody who types: where the page says a place of a server, one below `directory` is meant."""

    def __init__(self, directory: Path) -> None:
        self.home = directory / "home"
        passphrase = directory / "passphrase"
        passphrase.write_text("correct horse battery\n")
        passphrase.chmod(0o600)
        self.places = {
            "/var/lib/medsync": str(self.home), "/mnt/safe": str(directory), "/etc/medsync/passphrase": str(passphrase),
            "copy.json": str(directory / "copy.json"), "--home second": f"--home {directory / 'second'}",
        }  # fmt: skip
        source = f"file:{passphrase}"
        self.answers = {
            " init ": ["--passphrase-from", source], "--device-of": ["--keys-from", source], "key export": ["--new-from", source],
        }  # fmt: skip
        self.environment = {
            "MEDSYNC_HOME": str(self.home), "MEDSYNC_PASSPHRASE_FROM": f"file:{passphrase}",
            "MEDSYNC_API_LISTEN": "127.0.0.1:0", "MEDSYNC_LISTEN": "/ip4/127.0.0.1/tcp/0",
        }  # fmt: skip
        self.daemon: subprocess.Popen[bytes] | None = None

    def words(self, line: str) -> list[str]:
        for there, here in self.places.items():
            line = line.replace(there, here)
        return shlex.split(line)[1:]

    def start(self) -> None:
        self.daemon = subprocess.Popen([*COMMAND, "run"], stdout=subprocess.PIPE)
        assert self.daemon.stdout is not None
        assert b"ready\n" in iter(self.daemon.stdout.readline, b"")

    def stop(self) -> None:
        if self.daemon is not None:
            self.daemon.send_signal(signal.SIGTERM)
            self.daemon.communicate(timeout=30)
            self.daemon = None

    def type(self, line: str, capsys: pytest.CaptureFixture[str]) -> str:
        """What it prints. Prompts are answered by options: there is no terminal."""
        answer = [word for what, words in self.answers.items() if what in line for word in words]
        code = cli.run([*self.words(line), *answer])
        said = capsys.readouterr()
        assert code == 0 or ("doctor" in line and code == 1), f"{line}: {said.out}{said.err}"
        if shown := re.search(r"add-device (\S+) (\S+)", said.out):
            self.places |= {"DEVICE": shown[1], "CERTIFICATE": shown[2]}
        return said.out

    def write_something(self) -> None:
        """A network, a context and a patient, whom later commands name."""
        with BlockingClient(Address.of_home(self.home)) as client:
            client.create_network("hospitals")
            client.create_context(ContextCreate(name="trial"))
            self.places["PSEUDONYM"] = client.enrol_subject("trial", SubjectEnrol()).subject


def test_every_command_of_the_page_works_as_it_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = commands()
    assert {line.split()[1] for line in typed} >= {"init", "run", "doctor", "backup", "token", "config", "open"}
    monkeypatch.chdir(tmp_path)  # for what it writes
    operator = Operator(tmp_path)
    for name, value in operator.environment.items():
        monkeypatch.setenv(name, value)
    try:
        for line in typed:
            if line.split()[1] == "run":
                operator.start()
                operator.write_something()
            elif "backup restore" in line:
                operator.stop()
                operator.type(line, capsys)
                operator.start()
            else:
                said = operator.type(line, capsys)
                if "key rekey" in line:
                    operator.stop()
                    operator.start()
                assert "/dashboard/enter?code=" in said or line.split()[1] != "open"
    finally:
        operator.stop()
