"""Wrong use of any command is told in a sentence with advice, in JSON too, and never by a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from medsync_node.cli import registered, run

WRONG = [
    ["join", "", "--json"],
    ["join", "medsync-invite:x", "--home", "nowhere", "--json"],
    ["status", "--home", "nowhere", "--json"],
    ["consent", "grant", "trial", "no pseudonym", "--to", "lab", "--purpose", "HRESCH", "--home", "nowhere", "--json"],
    ["access", "request", "trial", "", "--purpose", "TREAT", "--home", "nowhere", "--json"],
    ["member", "invite", "--role", "emperor", "--json"],
    ["verify", "no address", "--rpc", "http://127.0.0.1:1", "--json"],
    ["verify", "starknet:MEDSYNC_LOCAL/0x1/0x2", "--rpc", "http://127.0.0.1:1", "--json"],
    ["context", "show", "trial", "--home", "nowhere", "--json"],
    ["no-such-command", "--json"],
    ["proof", "checkpoint", "trial", "1", "--k", "2", "--home", "nowhere", "--json"],
    ["proof", "checkpoint", "trial", "1", "--to", "x", "--home", "nowhere", "--json"],
    ["reward", "points", "trial", "--home", "nowhere", "--json"],
    ["reward", "points", "trial", "--home", "mine", "--node", "theirs", "--json"],
    ["run", "--home", "nowhere", "--json"],
]


@pytest.mark.parametrize("arguments", WRONG, ids=lambda arguments: " ".join(arguments)[:40])
def test_wrong_use_is_told(arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.chdir(tmp_path)  # type: ignore[arg-type]
    code = run(arguments)
    assert code in (1, 2, 4)
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is False
    assert told["error"]["message"] and told["error"]["code"]


@pytest.mark.parametrize("name", sorted(registered()))
def test_every_command_has_examples_in_its_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    text = capsys.readouterr().out
    if "Commands" not in text:
        assert "Examples:" in text and f"medsync {name}" in text
        return
    import typer

    group = typer.main.get_command(registered()[name].load())
    for inner in group.commands:  # type: ignore[attr-defined]
        assert run([name, inner, "--help"]) == 0
        assert f"medsync {name} {inner}" in capsys.readouterr().out, inner


def test_json_before_the_command_means_what_it_does_after_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for words in (["--json", "status", "--home", str(tmp_path)], ["status", "--json", "--home", str(tmp_path)]):
        assert run(words) == 4
        assert json.loads(capsys.readouterr().out)["error"]["code"] == "unreachable"
    assert run(["--json", "join", "medsync-invite:x", "--home", str(tmp_path)]) == 4
    assert "dialling" not in capsys.readouterr().err, "nobody dials where no daemon runs"


def test_what_a_validator_says_is_told_without_its_library(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run(["consent", "grant", "trial", "a" * 32, "--to", "lab\x07", "--purpose", "TREAT", "--home", str(tmp_path), "--json"])
    said = capsys.readouterr().out
    assert "printable" in said and "Value error" not in said


def test_a_reader_that_goes_early_changes_no_exit_code_and_is_no_trouble(tmp_path: Path) -> None:
    def code(*words: str) -> tuple[int, str]:
        reads, writes = os.pipe()
        os.close(reads)  # as `| true` does
        with open(writes, "wb") as gone:
            done = subprocess.run([sys.executable, "-m", "medsync_node.cli", *words], stdout=gone, stderr=subprocess.PIPE, text=True)
        return done.returncode, done.stderr

    assert code("status", "--home", str(tmp_path), "--json") == (4, "")
    assert code("status", "--help") == (0, "")
