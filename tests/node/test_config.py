"""Settings: flags win over variables, those over the file; all are checked, and what is wrong is named."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from medsync_node import config
from medsync_node.config import BadSetting, load
from medsync_node.passphrase import check_source, read_passphrase
from medsync_node.tokens import ensure_token, matches, read_token
from medsync_protocol.errors import KeyFileLocked, OperatorError


def test_flags_win_over_variables_and_those_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        'synchronous = "full"\n[log]\nlevel = "debug"\n[chain]\ndepth = 1\n'
    )
    variables = {"MEDSYNC_LOG_LEVEL": "warning", "MEDSYNC_CHAIN_DEPTH": "2"}
    found = load(tmp_path, variables, {"chain.depth": "3", "listen": None})
    assert (found.synchronous, found.log_level, found.chain.depth) == ("full", "warning", 3)
    assert found.listen == config.Config(api=found.api).listen


def test_paths_are_relative_to_the_home(tmp_path: Path) -> None:
    found = load(tmp_path, {}, {"api.token_file": "secret/token"})
    assert found.api.socket == tmp_path / "api.sock"
    assert found.api.token_file == tmp_path / "secret" / "token"


def test_the_commented_file_is_toml_that_loads_whether_commented_or_not(tmp_path: Path) -> None:
    text = config.commented({"listen": '["/ip4/127.0.0.1/tcp/0"]'})
    assert tomllib.loads(text)["listen"] == ["/ip4/127.0.0.1/tcp/0"]
    every = config.commented({one.name: one.shown for one in config.SETTINGS})
    (tmp_path / "config.toml").write_text(every)
    found = load(tmp_path, {}, {})
    assert found.api.listen == ("127.0.0.1", 8404) and found.chain.rpc == "http://127.0.0.1:5050"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("listen", "127.0.0.1:1"), ("listen", "/ip4/0.0.0.0/udp/1"), ("listen", ["/ip4/0.0.0.0/tcp/99999"]),
        ("api.listen", "8404"), ("api.listen", "example.org:80"), ("chain.rpc", "ftp://x"),
        ("chain.depth", "-1"), ("log.level", "loud"), ("log.format", "xml"), ("synchronous", "sometimes"),
        ("passphrase_from", "hunter2hunter2"),
    ],
)  # fmt: skip
def test_a_setting_without_meaning_is_refused_with_its_name(tmp_path: Path, name: str, value: Any) -> None:
    with pytest.raises(OperatorError) as caught:
        load(tmp_path, {}, {name: value})
    assert caught.value.advice
    assert "hunter2" not in str(caught.value)


def test_a_misspelt_setting_is_refused_with_the_one_meant(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[chain]\ndeepth = 1\n")
    with pytest.raises(BadSetting) as caught:
        load(tmp_path, {}, {})
    assert "chain.depth" in caught.value.advice


def test_the_api_is_not_opened_to_others_without_tls(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="loopback"):
        load(tmp_path, {}, {"api.listen": "0.0.0.0:8404"})
    with pytest.raises(BadSetting, match="TLS needs both"):
        load(tmp_path, {}, {"api.listen": "0.0.0.0:8404", "api.certificate": "c.pem"})
    files = {"api.certificate": "c.pem", "api.private_key": "c.key"}
    assert load(tmp_path, {}, {"api.listen": "0.0.0.0:8404", **files}).api.listen == ("0.0.0.0", 8404)


def test_a_socket_path_that_the_system_cannot_hold_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="107 bytes"):
        load(tmp_path, {}, {"api.socket": "x" * 120})


# -- where the passphrase comes from --------------------------------------------------------------------------


def test_a_passphrase_itself_is_refused_without_being_repeated() -> None:
    with pytest.raises(OperatorError) as caught:
        check_source("my secret passphrase")
    assert "secret" not in str(caught.value) + caught.value.advice


def test_a_passphrase_comes_from_variable_or_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_PASSPHRASE", "correct horse")
    assert read_passphrase("env:SOME_PASSPHRASE") == "correct horse"
    (tmp_path / "p").write_text("correct horse \n")
    assert read_passphrase(f"file:{tmp_path / 'p'}") == "correct horse "


@pytest.mark.parametrize("source", ["env:NOT_SET_ANYWHERE", "file:no-such-file", "prompt"])
def test_a_source_without_a_passphrase_locks_with_advice(source: str) -> None:
    with pytest.raises(KeyFileLocked) as caught:
        read_passphrase(source)
    assert caught.value.advice


def test_what_is_wrong_with_a_passphrases_file_is_told_apart_with_its_whole_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path, words = tmp_path / "p", {}
    for what, content in (("does not exist", None), ("is empty", b"\n"), ("is no text", b"\xff\xfe"), ("holds 2 lines", b"one\ntwo\n")):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(KeyFileLocked, match=what) as caught:
            read_passphrase("file:p", confirm=True)
        words[str(caught.value)] = caught.value.advice
        assert str(path) in str(caught.value)
    assert read_passphrase("file:p") == "one\ntwo", "a home that was made with it goes on opening"
    with pytest.raises(KeyFileLocked, match="Is a directory"):
        read_passphrase(f"file:{tmp_path}")
    assert len(words) == 4 and "whole path" in words[f"no passphrase can be read from {path}: it does not exist"]


# -- tokens ---------------------------------------------------------------------------------------------------


def test_a_token_is_made_once_and_kept_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "token"
    token = ensure_token(path)
    assert ensure_token(path) == token and len(token) > 40
    assert path.stat().st_mode & 0o777 == 0o600
    assert ensure_token(tmp_path / "other") != token


def test_a_token_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "token"
    ensure_token(path)
    path.chmod(0o644)
    with pytest.raises(OperatorError, match="other users"):
        read_token(path)


def test_only_the_whole_token_as_a_bearer_matches() -> None:
    token = "medsync-0123456789abcdef"
    assert matches(b"Bearer " + token.encode(), token)
    wrong = (
        None,
        b"",
        token.encode(),
        b"Basic " + token.encode(),
        b"Bearer " + token[:-1].encode(),
        b"Bearer ",
    )
    assert not any(matches(header, token) for header in wrong)


def test_the_chains_rpc_may_stand_in_a_file_or_variable_and_is_shown_by_its_place_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rpc").write_text("https://rpc.example/v1/secret-key\n")
    monkeypatch.setenv("RPC", "https://other.example/secret-key")
    (tmp_path / "config.toml").write_text(f'[chain]\nrpc = "file:{tmp_path / "rpc"}"\n')
    assert load(tmp_path, {}, {}).chain.rpc == "https://rpc.example/v1/secret-key"
    assert load(tmp_path, {}, {"chain.rpc": "env:RPC"}).chain.rpc == "https://other.example/secret-key"
    assert "secret-key" not in str(config.in_force(tmp_path, {}))
    (tmp_path / "rpc").write_text("secret-key of no URL")
    for wrong in (f"file:{tmp_path / 'rpc'}", f"file:{tmp_path / 'nothing'}", "env:NOT_SET_ANYWHERE"):
        with pytest.raises(BadSetting) as caught:
            load(tmp_path, {}, {"chain.rpc": wrong})
        assert "secret-key" not in str(caught.value) and caught.value.advice


def test_clients_certificates_are_asked_for_over_tls_only(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="without TLS"):
        load(tmp_path, {}, {"api.client_authority": "clients.pem"})
    tls = {"api.certificate": "tls.pem", "api.private_key": "tls.key", "api.client_authority": "clients.pem"}
    assert load(tmp_path, {}, tls).api.client_authority == tmp_path / "clients.pem"
