"""The key file: opens under its passphrase alone, tells what is wrong, and is never overwritten."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from medsync_node import key_file
from medsync_node.key_file import Cost
from medsync_protocol.errors import KeyFileLocked, OperatorError

PASSPHRASE = "correct horse battery"


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    path = tmp_path / "key.json"
    key_file.create(path, key_file.new_identity("north"), PASSPHRASE, cost=Cost.DEVELOPER)
    return path


def test_an_identity_comes_back_under_its_passphrase(tmp_path: Path) -> None:
    identity = key_file.new_identity("north")
    path = tmp_path / "key.json"
    key_file.create(path, identity, PASSPHRASE, cost=Cost.DEVELOPER)
    assert key_file.unlock(path, PASSPHRASE) == identity
    head = key_file.read_head(path)
    assert (head.name, head.member, head.device) == ("north", identity.member.hex(), identity.device.hex())


def test_a_wrong_passphrase_is_told_with_what_to_do(sealed: Path) -> None:
    with pytest.raises(KeyFileLocked) as caught:
        key_file.unlock(sealed, "incorrect horse")
    assert "try again" in caught.value.advice


def test_the_file_is_for_its_owner_and_holds_no_seed(tmp_path: Path) -> None:
    identity = key_file.new_identity("north")
    path = tmp_path / "key.json"
    key_file.create(path, identity, PASSPHRASE, cost=Cost.DEVELOPER)
    text = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert identity.member_seed.hex() not in text and identity.device_seed.hex() not in text
    assert PASSPHRASE not in text


def test_keys_are_never_overwritten(sealed: Path) -> None:
    before = sealed.read_bytes()
    with pytest.raises(OperatorError, match="exists"):
        key_file.create(sealed, key_file.new_identity("south"), PASSPHRASE, cost=Cost.DEVELOPER)
    assert sealed.read_bytes() == before


def test_a_short_passphrase_and_an_unprintable_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="too short"):
        key_file.create(tmp_path / "key.json", key_file.new_identity("north"), "1234567")
    for name in ("", "x" * 65, "a\nb", " north"):
        with pytest.raises(OperatorError, match="no name"):
            key_file.new_identity(name)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("member", "00" * 32), ("device", "00" * 32), ("box", "zz"), ("kind", "other"),
        ("kdf", {"name": "argon2id", "passes": 3, "memory": 1 << 40, "salt": "00" * 16}),
        ("kdf", {"name": "argon2id", "passes": 10**9, "memory": 1 << 26, "salt": "00" * 16}),
        ("kdf", {"name": "argon2id", "passes": 2, "memory": 1 << 26, "salt": "00"}), ("kdf", None),
    ],
)  # fmt: skip
def test_a_changed_file_is_damaged_not_obeyed(sealed: Path, place: str, value: object) -> None:
    fields = json.loads(sealed.read_bytes())
    sealed.write_text(json.dumps({**fields, place: value}))
    with pytest.raises(OperatorError, match="damaged"):
        key_file.unlock(sealed, PASSPHRASE)


def test_no_file_no_json_and_a_newer_version_each_say_what_to_do(tmp_path: Path, sealed: Path) -> None:
    with pytest.raises(OperatorError) as caught:
        key_file.unlock(tmp_path / "none.json", PASSPHRASE)
    assert "medsync init" in caught.value.advice
    newer = json.dumps({**json.loads(sealed.read_bytes()), "version": key_file.VERSION_RENEWED + 1})
    sealed.write_text(newer)
    with pytest.raises(OperatorError, match="newer"):
        key_file.unlock(sealed, PASSPHRASE)
    sealed.write_text("{")
    with pytest.raises(OperatorError, match="damaged"):
        key_file.unlock(sealed, PASSPHRASE)
