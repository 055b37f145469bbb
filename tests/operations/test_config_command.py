"""`medsync config`: settings with their origin; one is changed in place, checked before anything is written."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from medsync_node import cli, config, key_file
from medsync_node.config import BadSetting
from medsync_node.settings_file import with_setting
from tests.node.api_world import make_home


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = make_home(tmp_path, "north")
    made.config_file.write_text(config.commented({"passphrase_from": '"env:X"'}))
    return made.path


def medsync(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = cli.run([*arguments, "--json"])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, found


def test_a_setting_is_set_where_its_comment_stands_and_the_rest_stays(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (home / "config.toml").read_text().splitlines()
    for name, value in (("log.level", "debug"), ("chain.depth", "3"), ("listen", "/ip4/127.0.0.1/tcp/0,/ip6/::1/tcp/0")):
        assert medsync(capsys, "config", "set", name, value, "--home", str(home))[0] == 0
    after = (home / "config.toml").read_text().splitlines()
    assert len(after) == len(before) and sum(a != b for a, b in zip(before, after, strict=True)) == 3
    code, shown = medsync(capsys, "config", "show", "--home", str(home))
    assert code == 0
    assert shown["settings"]["log.level"] == {"value": "debug", "from": "config.toml"}
    assert shown["settings"]["chain.depth"] == {"value": 3, "from": "config.toml"}
    assert shown["settings"]["log.format"] == {"value": "text", "from": "default"}
    assert len(config.load(home, {}, {}).listen) == 2
    assert (home / "config.toml").stat().st_mode & 0o777 == 0o600
    assert medsync(capsys, "config", "set", "log.level", "--default", "--home", str(home))[0] == 0
    assert config.load(home, {}, {}).log_level == "info"


def test_a_secrets_file_is_kept_by_its_whole_path_and_no_new_keys_are_made_where_a_journal_lies(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_text("correct horse battery\n")
    monkeypatch.setattr(key_file.Cost.INSTITUTION, "_value_", key_file.Cost.DEVELOPER.value)
    whole = f"file:{tmp_path / 'secret'}"
    assert medsync(capsys, "config", "set", "passphrase_from", "file:secret", "--home", str(home))[0] == 0
    init = ("init", "south", "--home", "south", "--passphrase-from", "file:secret")
    assert medsync(capsys, *init)[0] == 0
    south = tmp_path / "south"
    monkeypatch.chdir("/")
    for one in (home, south):
        assert config.load(one, {}, {}).passphrase_from == whole
    (south / "journal.db").touch()
    (south / "key.json").unlink()
    before = sorted(south.iterdir())
    for arguments in (("init", "south", "--passphrase-from", whole), ("run",)):
        assert cli.run([*arguments, "--home", str(south)]) == 1
        told = capsys.readouterr().err
        assert "no key file any more" in told and "backup restore" in told and "key export" in told
    assert {one.name for one in south.iterdir()} <= {*(one.name for one in before), "lock"}


def test_what_is_in_force_agrees_with_what_is_loaded(home: Path) -> None:
    for name, value, _, _ in config.in_force(home, {}):
        config.load(home, {}, {name: value})
    shown = {name: value for name, value, _, _ in config.in_force(home, {"MEDSYNC_LOG_LEVEL": "error"})}
    loaded = config.load(home, {"MEDSYNC_LOG_LEVEL": "error"}, {})
    assert shown["log.level"] == loaded.log_level and tuple(shown["listen"]) == loaded.listen
    assert home / shown["api.socket"] == loaded.api.socket and shown["chain.depth"] == loaded.chain.depth


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("chain.rcp", "http://x", "did you mean chain.rpc"), ("log.level", "loud", "log.level"),
        ("api.listen", "0.0.0.0:8404", "TLS"), ("api.certificate", "c.pem", "private_key"),
        ("passphrase_from", "hunter2hunter2", "env:NAME"),
    ],
)  # fmt: skip
def test_what_would_not_load_is_not_written(
    home: Path, capsys: pytest.CaptureFixture[str], name: str, value: str, words: str
) -> None:
    before = (home / "config.toml").read_bytes()
    code, told = medsync(capsys, "config", "set", name, value, "--home", str(home))
    assert code == 1 and words in told["error"]["message"] + told["error"]["advice"]
    assert "hunter2" not in json.dumps(told)
    assert (home / "config.toml").read_bytes() == before


def test_a_table_that_is_not_there_is_added() -> None:
    assert tomllib.loads(with_setting("synchronous = 'full'\n", "log.level", '"debug"')) == {
        "synchronous": "full", "log": {"level": "debug"},
    }  # fmt: skip
    assert tomllib.loads(with_setting("[log]\nformat='json'\n", "synchronous", '"full"'))["synchronous"] == "full"


@pytest.mark.parametrize("text", ['listen = [\n  "/ip4/127.0.0.1/tcp/0",\n]\n', 'announce = """\nlisten = 1\n"""\n'])
def test_what_cannot_be_changed_safely_is_left_to_a_person(text: str) -> None:
    with pytest.raises(BadSetting, match="safely"):
        with_setting(text, "listen", '["/ip4/127.0.0.1/tcp/1"]')


def test_a_setting_needs_a_home_and_one_of_value_and_default(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert medsync(capsys, "config", "set", "log.level", "--home", str(home))[0] == 2
    assert medsync(capsys, "config", "set", "log.level", "info", "--home", str(home / "nowhere"))[0] == 1
