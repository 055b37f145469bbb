"""`medsync reward pool vote|veto|sweep` against the embedded chain: a root that is stopped, and what is taken out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import trio

from medsync_protocol.reward_pool import PoolReason
from tests.bridge.fake_node import context_id
from tests.bridge.test_rewarding import RECIPIENT, Period, period, post

__all__ = ["period"]  # the fixture

QUICK = ("--poll", "0.05")
TRIAL = context_id("trial")


def votes(period: Period, home: Path, voters: tuple[int, ...], *more: str) -> list[str]:
    """Each voter's node signs, and its vote is laid down as a file."""
    words: list[str] = []
    for voter in voters:
        period.command.node.voter = voter
        vote = period("pool", "vote", period.pool, TRIAL, "--rpc", period.command.live.url, *more)
        file = home / f"{voter}.json"
        file.write_text(json.dumps(vote))
        words += ["--vote", str(file)]
    return words


def test_a_root_is_stopped_by_a_third_and_what_is_free_taken_out_by_a_quorum(period: Period, tmp_path: Path) -> None:
    node = period.command.node
    node.pool = (int(period.contract, 16), int(period.pool, 16))
    period("pool", "fund", period.pool, "--to", "1500", *QUICK)
    trio.run(post, period, tmp_path)
    none = period("pool", "vote", period.pool, TRIAL, "--rpc", period.command.live.url, code=1)
    assert none["error"]["code"] == PoolReason.NO_PENDING.lower()
    period("propose", period.pool, TRIAL, "--k", "1", "--tree", period.tree, *QUICK)

    def veto(*words: str, code: int = 0) -> dict[str, Any]:
        return period("pool", "veto", period.pool, TRIAL, *words, *QUICK, code=code)

    one = votes(period, tmp_path, (1,))
    assert veto(*one, code=1)["error"]["code"] == PoolReason.BELOW_QUORUM.lower()
    assert veto(*one, *one, code=1)["error"]["code"] == PoolReason.BELOW_QUORUM.lower(), "nobody votes twice"
    other = votes(period, tmp_path, (2,), "--sweep-to", hex(RECIPIENT), "--amount", "500")
    assert veto(*one, *other, code=1)["error"]["code"] == PoolReason.BAD_SIGNATURE.lower(), "about a sweep"
    done = veto(*votes(period, tmp_path, (1, 3)))
    assert (done["k"], bool(done["transaction"])) == (1, True)
    held = period("pool", "status", period.pool)
    assert (held["pending"], held["promised"], held["last_k"]) == (None, "0", 1)
    assert veto(*one, code=1)["error"]["code"] == PoolReason.NO_PENDING.lower()

    what = ("--to", hex(RECIPIENT), "--amount", "500")

    def sweep(*words: str, code: int = 0) -> dict[str, Any]:
        return period("pool", "sweep", period.pool, TRIAL, *what, *words, *QUICK, code=code)

    asked = ("--sweep-to", hex(RECIPIENT), "--amount", "500")
    two = votes(period, tmp_path, (0, 1), *asked)
    assert sweep(*two, code=1)["error"]["code"] == PoolReason.BELOW_QUORUM.lower()
    three = votes(period, tmp_path, (0, 1, 2), *asked)
    assert sweep(*three)["transaction"]
    assert period.received() == 500
    again = sweep(*three, code=1)
    assert again["error"]["code"] == PoolReason.BAD_SIGNATURE.lower(), "a vote is good for one sweep"
    assert (period("pool", "status", period.pool)["swept"], period.received()) == ("500", 500)


def test_what_is_no_vote_is_told(period: Period, tmp_path: Path) -> None:
    file = tmp_path / "vote.json"
    file.write_text("{}")
    words = ("pool", "sweep", period.pool, TRIAL, "--to", "0x9", "--amount", "1", "--vote", str(file))
    assert "vote.json is no vote" in period(*words, code=1)["error"]["message"]


def test_a_node_that_pays_from_another_pool_does_not_vote_here(period: Period) -> None:
    period.command.node.pool = (1, 2)
    refused = period(
        "pool", "vote", period.pool, TRIAL, "--rpc", period.command.live.url, "--sweep-to", "0x9", "--amount", "1", code=1
    )
    assert refused["error"]["code"] == "wrong_pool"
