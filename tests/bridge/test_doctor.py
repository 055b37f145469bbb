"""`medsync bridge doctor` where something is wrong: each thing is found by its name, with what to do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from medsync_bridge import examining
from medsync_bridge.chain import Chain
from medsync_bridge.examining import Finding, examine
from medsync_bridge.keys import write_secret
from medsync_bridge.settings import Settings
from medsync_client import Address
from medsync_protocol.poseidon import short_string
from tests.bridge.chains import LiveChain, embedded
from tests.bridge.fake_node import FakeNode


@pytest.fixture(scope="module")
def fresh() -> Iterator[LiveChain]:
    """A chain on which nothing is declared."""
    with embedded() as live:
        yield live


def looked(live: LiveChain, home: Path, now: float | None = None, **changes: Any) -> dict[str, Finding]:
    address, secret = live.account(0)
    key = home / "account.key"
    if not key.exists():
        write_secret(key, secret)
    settings = Settings(
        home=home, rpc=live.url, account=address, key=f"file:{key}", fee_cap=1, tip=0, poll=1
    )  # fmt: skip
    with FakeNode().serving() as url:
        found = trio.run(
            examine, replace(settings, **changes), Address(url=url, token=None), now or time.time()
        )
    return {finding.name: finding for finding in found}


def bad(found: dict[str, Finding]) -> set[str]:
    return {name for name, finding in found.items() if not finding.well}


def test_a_class_that_is_not_declared_is_found(fresh: LiveChain, tmp_path: Path) -> None:
    found = looked(fresh, tmp_path)
    assert bad(found) == {"class"}
    assert "contract declare" in found["class"].advice


def test_a_clock_that_is_slow_is_found(fresh: LiveChain, tmp_path: Path) -> None:
    found = looked(fresh, tmp_path, now=time.time() - 7_200)
    assert bad(found) == {"class", "clock"}
    assert "ahead of this machine" in found["clock"].found and "NTP" in found["clock"].advice


def test_an_old_block_is_a_fault_on_a_public_chain_only(
    fresh: LiveChain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = time.time() + 7_200
    assert bad(looked(fresh, tmp_path, now=later)) == {"class"}
    monkeypatch.setattr(examining, "_BUSY", frozenset({short_string("MEDSYNC_LOCAL")}))
    found = looked(fresh, tmp_path, now=later)
    assert bad(found) == {"class", "clock"}
    assert "fallen behind" in found["clock"].advice


def test_another_version_of_json_rpc_and_of_sierra_are_found(
    fresh: LiveChain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def old_rpc(_: Chain) -> str:
        return "0.7.1"

    async def old_sierra(_: Chain, class_hash: int) -> str:
        return "1.6.0"

    monkeypatch.setattr(Chain, "specification", old_rpc)
    monkeypatch.setattr(Chain, "sierra_version", old_sierra)
    found = looked(fresh, tmp_path)
    assert bad(found) == {"chain", "class"}
    assert "JSON-RPC 0.10" in found["chain"].advice and "1.7.0" in found["class"].advice


def test_a_url_where_nobody_answers_and_an_account_that_is_not_there_are_found(
    fresh: LiveChain, tmp_path: Path
) -> None:
    found = looked(fresh, tmp_path, rpc="http://127.0.0.1:9")
    assert bad(found) == {"chain"} and "--rpc" in found["chain"].advice
    found = looked(fresh, tmp_path, account=0xDEAD)
    assert "there is no account 0xdead" in found["chain"].found
