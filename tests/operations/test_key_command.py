"""`medsync key`: the same keys under another passphrase, a copy for the safe; nothing else opens them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medsync_node import cli, key_file
from medsync_protocol.errors import KeyFileLocked
from tests.node.api_world import PASSPHRASE, make_home

NEW = "another horse entirely"


def medsync(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    given = cli.run([*arguments, "--json"])
    printed = capsys.readouterr()
    assert given == code, printed
    assert PASSPHRASE not in printed.out + printed.err and NEW not in printed.out + printed.err
    found: dict[str, Any] = json.loads(printed.out)
    return found


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OLD", PASSPHRASE)
    monkeypatch.setenv("NEW", NEW)
    return make_home(tmp_path, "north").path


def test_the_passphrase_changes_and_the_keys_stay(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = home / "key.json"
    before = key_file.unlock(keys, PASSPHRASE)
    change = ("key", "change-passphrase", "--home", str(home), "--new-from", "env:NEW")
    medsync(capsys, *change, "--passphrase-from", "env:NEW", code=1)  # the wrong old one changes nothing
    assert key_file.unlock(keys, PASSPHRASE) == before
    medsync(capsys, *change, "--passphrase-from", "env:OLD")
    assert key_file.unlock(keys, NEW) == before and keys.stat().st_mode & 0o777 == 0o600
    with pytest.raises(KeyFileLocked):
        key_file.unlock(keys, PASSPHRASE)


def test_a_short_new_passphrase_changes_nothing(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEW", "short")
    before = (home / "key.json").read_bytes()
    assert cli.run(["key", "change-passphrase", "--home", str(home), "--passphrase-from", "env:OLD", "--new-from", "env:NEW"]) == 1
    assert (home / "key.json").read_bytes() == before


def test_a_copy_opens_under_its_own_passphrase_only(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export = ("key", "export", str(tmp_path / "safe.json"), "--home", str(home), "--passphrase-from", "env:OLD", "--new-from", "env:NEW")
    told = medsync(capsys, *export)
    copy = key_file.unlock(tmp_path / "safe.json", NEW)
    assert copy == key_file.unlock(home / "key.json", PASSPHRASE) and told["member"] == copy.member.hex()
    with pytest.raises(KeyFileLocked):
        key_file.unlock(tmp_path / "safe.json", PASSPHRASE)
    medsync(capsys, *export, code=2)  # never over a file that is there
    assert medsync(capsys, "key", "show", "--home", str(home))["device"] == copy.device.hex()
