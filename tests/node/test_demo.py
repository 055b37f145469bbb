"""The demo's parts; the whole of it runs from the wheel (tests/house) and, kept and interrupted, in the long tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from medsync_node.demo.chapter import Chapter
from medsync_node.demo.contract import reason_of
from medsync_node.demo.forgeries import Forger
from medsync_node.demo.rendering import fields
from medsync_node.demo.verify import spoil
from medsync_protocol.candidate import Cut
from medsync_protocol.certificate import Accepted
from medsync_protocol.log import grow, log_root
from medsync_protocol.refusal import AnchorRefusal, Reason
from medsync_protocol.stark import public_key
from medsync_protocol.statement import opening_statement
from medsync_protocol.transition import Anchor, check_checkpoint

from dataclasses import replace

ANCHOR = Anchor(chain_id=0x4D45, contract=0xC0)
DEMO = (sys.executable, "-m", "medsync_node.cli", "demo")


# -- chapters -----------------------------------------------------------------------------------------------------


def test_a_step_holds_when_something_was_seen_and_all_of_it_holds() -> None:
    chapter = Chapter("one")
    assert not chapter.ok
    assert chapter.check("seen", True)
    assert chapter.ok
    chapter.check("seen", False)
    assert not chapter.ok
    chapter.check("seen", True)
    assert not chapter.ok, "once failed, failed"


def test_a_step_that_stopped_does_not_hold() -> None:
    chapter = Chapter("one", checks={"seen": True}, problem="Stuck: waited in vain")
    assert not chapter.ok
    assert fields([chapter], {})["ok"] is False


def test_the_story_is_one_json_object() -> None:
    chapter = Chapter("one", seconds=1.234, checks={"seen": True})
    chapter.show(id=b"\xab\xcd", listed=[b"\x01", 2], nested={"a": b"\x02"})
    found = json.loads(json.dumps(fields([chapter], {"left": {}})))
    assert found == {
        "ok": True, "left": {}, "steps": [{
            "name": "one", "ok": True, "seconds": 1.23, "checks": {"seen": True},
            "evidence": {"id": "abcd", "listed": ["01", 2], "nested": {"a": "02"}},
        }],
    }  # fmt: skip


# -- forgeries ----------------------------------------------------------------------------------------------------


def accepted(voters: int, size: int) -> tuple[Accepted, tuple[int, ...]]:
    secrets = tuple(range(1000, 1000 + voters))
    members = tuple(sorted(map(public_key, secrets)))
    _, peaks = grow(0, [], range(1, size + 1))
    opening = opening_statement(7, members)
    statement = replace(opening, k=5, prev=99, log_size=size, log_root=log_root(size, peaks), consent_root=3)
    return (
        Accepted(
            certificate=None, statement=statement, digest=ANCHOR.digest(statement), cut=Cut(), peaks=tuple(peaks),
            next_signers=(), exceptions=(), obliged={},
        ),
        secrets,
    )  # fmt: skip


@pytest.mark.parametrize(("voters", "size"), [(3, 45), (4, 64), (6, 127)])
def test_each_forgery_is_refused_for_its_one_lie_by_the_contracts_python_twin(voters: int, size: int) -> None:
    head, secrets = accepted(voters, size)
    forgeries = Forger(ANCHOR, head, secrets).all()
    assert len({one.reason for one in forgeries}) == len(forgeries) == 6
    for one in forgeries:
        try:
            check_checkpoint(
                ANCHOR, head=one.head, following=one.following, members=one.members, votes=one.votes, append=one.append,
                next_members=(), block_time=2**40,
            )  # fmt: skip
            said = None
        except AnchorRefusal as refusal:
            said = refusal.reason
        assert said is one.reason, one.name


def test_a_revert_reason_is_read_out_of_nested_frames() -> None:
    felts = json.dumps([hex(int.from_bytes(word, "big")) for word in (b"BELOW_QUORUM", b"ENTRYPOINT_FAILED")])
    nested = {"revert_error": {"contract_address": "0x1", "error": {"selector": "0x2", "error": felts}}}
    assert reason_of(nested) == Reason.BELOW_QUORUM
    assert reason_of({"revert_error": "out of gas"}) == "out of gas"
    assert reason_of(None) == "None"


def test_one_digit_of_an_export_is_bent() -> None:
    lines = [json.dumps({"kind": "header"}), *(json.dumps({"wire": f"{n:08x}"}) for n in range(6))]
    bent = spoil(lines)
    assert sum(before != after for before, after in zip(lines, bent, strict=True)) == 1
    assert spoil(["{}"]) == ["{}"]


# -- the program --------------------------------------------------------------------------------------------------


@pytest.fixture
def scratch(tmp_path: Path) -> dict[str, str]:
    """An environment in which temporary files can be counted."""
    (tmp_path / "t").mkdir()
    return {**os.environ, "TMPDIR": str(tmp_path / "t")}


def test_a_directory_in_use_is_refused(tmp_path: Path, scratch: dict[str, str]) -> None:
    (tmp_path / "mine").write_text("here")
    done = subprocess.run(
        [*DEMO, "--once", "--json", "--keep", str(tmp_path)], env=scratch, capture_output=True, check=False
    )
    assert done.returncode == 1
    assert json.loads(done.stdout)["ok"] is False
    assert (tmp_path / "mine").read_text() == "here"


def _lines(process: subprocess.Popen[bytes]) -> Iterator[str]:
    assert process.stderr is not None
    return (line.decode() for line in process.stderr)


@pytest.mark.parametrize("until", ["starting", pytest.param("4/7 revocation", marks=pytest.mark.long)])
def test_ctrl_c_stops_it_and_leaves_nothing(tmp_path: Path, scratch: dict[str, str], until: str) -> None:
    with subprocess.Popen(
        [*DEMO, "--json"], env=scratch, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        for line in _lines(process):
            if line.startswith(until):
                break
        process.send_signal(signal.SIGINT)
        rest = list(_lines(process))
        assert process.stdout.read() == b""
    assert process.returncode == 130, rest
    assert not any("Traceback" in line for line in rest)
    assert list((tmp_path / "t").iterdir()) == []


@pytest.mark.long
def test_what_is_kept_stays_up_for_strangers(tmp_path: Path, scratch: dict[str, str]) -> None:
    kept = tmp_path / "kept"
    done = subprocess.run(
        [*DEMO, "--once", "--json", "--nodes", "6", "--seed", "7", "--keep", str(kept)], env=scratch, capture_output=True,
        check=False,
    )  # fmt: skip
    left = json.loads((kept / "demo.json").read_bytes())
    try:
        told = json.loads(done.stdout)
        assert done.returncode == 0, done.stderr[-2000:]
        assert told["ok"] and sum(len(step["checks"]) for step in told["steps"]) >= 25
        assert told["left"] == left
        body = {"jsonrpc": "2.0", "id": 1, "method": "starknet_chainId", "params": {}}
        assert int(httpx.post(left["chain"], json=body).json()["result"], 16) == int.from_bytes(
            b"MEDSYNC_LOCAL", "big"
        )
        assert {Path(home).name for home in left["homes"].values()} == set(left["homes"])
        assert all((Path(home) / "journal.db").exists() for home in left["homes"].values())
    finally:
        os.kill(left["chain_pid"], signal.SIGTERM)
    assert list((tmp_path / "t").iterdir()) == []
