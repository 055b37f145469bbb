"""How far the chain is behind and for how many posts the money lasts: kept, told once at each limit, scraped."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import httpx
from hypothesis import given
from hypothesis import strategies as st

from medsync_bridge.home import JOURNAL
from medsync_bridge.journal import open_journal
from medsync_bridge.metrics import BridgeMetrics, serving
from medsync_bridge.settings import Limits
from medsync_bridge.standing import MAX_MARKS, RECENT_FEES, Purse, Standing, alerts
from tests.bridge.model_chain import ACCOUNT, FEE
from tests.bridge.test_following import NORTH, SOUTH, Following, following

__all__ = ["following"]  # the fixture

NEVER = Limits(lag=10**6, minutes=10**6, posts=0)


async def test_a_chain_that_falls_behind_is_told_once_and_when_it_has_caught_up(following: Following) -> None:
    following.limits = replace(NEVER, lag=3)
    follower = following.follower()
    world = following.node.worlds["north"]
    await follower.round()
    following.node.certify("north", not_before=following.model.time + 10)
    for _ in range(2):
        following.node.certify("north", not_before=following.model.time + 10)
        await follower.round()
    await follower.round()
    told = [(news.event, news.context) for news in following.news if news.event in ("alert", "calm")]
    assert told == [("alert", NORTH)]
    alert = next(news for news in following.news if news.event == "alert")
    assert alert.message == "the chain is 3 checkpoints or more behind what was certified in north"
    assert "bridge status" in alert.advice
    following.model.time += 10
    await follower.round()
    assert following.events()[-1] == ("calm", NORTH)
    (north, south) = following.journal.ledger.standings()
    assert (north.signed, north.accepted, north.lag, north.marks) == (3, 3, 0, ())
    assert (south.context, south.signed) == (SOUTH, 0)
    assert world.accepted[-1].k == 3


async def test_one_that_waits_too_long_is_told_even_while_the_chain_is_away(following: Following) -> None:
    following.limits = replace(NEVER, minutes=30)
    follower = following.follower()
    following.node.certify("north", not_before=following.model.time + 10)
    await follower.round()

    def down(method: str) -> None:
        raise httpx.ConnectError("down")

    following.model.before = down
    for minutes in (29, 30, 31):
        following.now = minutes * 60
        await follower.round()
        waits = [news.message for news in following.news if news.event == "alert"]
        assert len(waits) == (minutes >= 30)
    assert waits == ["the chain is 30 minutes or more behind what was certified in north"]


async def test_the_balance_is_counted_in_posts(following: Following) -> None:
    following.limits = replace(NEVER, posts=50)
    follower = following.follower()
    following.node.certify("north")
    await follower.round()
    assert following.journal.ledger.purse() == Purse(balance=10**21, fee=FEE)
    assert [news.event for news in following.news] == ["posted"]
    following.model.balance = 49 * FEE
    following.node.certify("north")
    await follower.round()
    (alert,) = [news for news in following.news if news.event == "alert"]
    assert alert.message == "the account's balance pays for fewer than 50 checkpoints"
    assert alert.advice == "fund the account"
    following.model.balance = 50 * FEE
    following.node.certify("north")
    await follower.round()
    assert following.news[-1].event == "calm"
    ledger = following.journal.ledger
    purse = ledger.purse()
    assert purse is not None and purse.posts == 50
    for _ in range(RECENT_FEES + 1):
        ledger.paid(2 * FEE)
    assert ledger.purse() == Purse(balance=50 * FEE, fee=2 * FEE)
    ledger.hold(ACCOUNT + 1, 3)
    assert ledger.purse() == Purse(balance=3, fee=2 * FEE), "another account pays now"


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), max_size=200))
def test_the_wait_is_that_of_the_oldest_and_marks_stay_few(looks: list[tuple[int, int]]) -> None:
    one, signed, accepted = Standing(context="c", name="c"), 0, 0
    seen: dict[int, int] = {}
    for now, (more, done) in enumerate(looks):
        signed = max(signed, more)
        accepted = max(accepted, min(done, signed))
        for k in range(signed, 0, -1):
            if k in seen:
                break
            seen[k] = now
        one = one.moved(name="c", signed=signed, accepted=accepted, now=now)
        assert one.lag == signed - accepted
        assert len(one.marks) <= MAX_MARKS
        assert one.lag_minutes(now) == ((now - seen[accepted + 1]) / 60 if one.lag else 0)


def test_both_limits_of_a_context_make_one_alert() -> None:
    late = Standing(context="c", name="c", signed=10, marks=((10, 0.0),))
    (alert,) = alerts([late], Purse(balance=1, fee=None), Limits(lag=10, minutes=1, posts=5), 600)
    assert "10 checkpoints" in alert.message


def test_a_journal_of_the_first_format_is_taken_on(tmp_path: Path) -> None:
    with open_journal(tmp_path / JOURNAL) as journal:
        journal.begin("checkpoint 0x1 0x2 3", 7)
    with sqlite3.connect(tmp_path / JOURNAL) as old:
        old.executescript("DROP TABLE standing; DROP TABLE purse; DROP TABLE fee; PRAGMA user_version = 1;")
    old.close()
    with open_journal(tmp_path / JOURNAL) as journal:
        assert [errand.want for errand in journal.errands()] == [7]
        assert journal.ledger.standings() == [] and journal.ledger.purse() is None


def test_a_scrape_reads_what_the_bridge_has_seen(tmp_path: Path) -> None:
    metrics = BridgeMetrics(tmp_path, clock=lambda: 90, posted=lambda: 4, troubles=lambda: 1)
    with serving(metrics, 0) as port, httpx.Client(trust_env=False) as http:

        def scrape() -> str:
            return http.get(f"http://127.0.0.1:{port}/metrics").text

        assert "medsync_bridge_posted_total 4.0" in scrape()
        with open_journal(tmp_path / JOURNAL) as journal:
            journal.ledger.look(NORTH, "north", signed=5, accepted=2, now=30)
            journal.ledger.paid(10**15)
            journal.ledger.hold(1, 10**18)
        text = scrape()
    short = NORTH[:16]
    for line in (
        f'medsync_bridge_lag_checkpoints{{context="{short}"}} 3.0',
        f'medsync_bridge_lag_minutes{{context="{short}"}} 1.0',
        "medsync_bridge_balance_strk 1.0", "medsync_bridge_balance_posts 1000.0", "medsync_bridge_troubles 1.0",
        "medsync_bridge_stopped 0.0",
    ):  # fmt: skip
        assert f"\n{line}\n" in text
    assert "north" not in text
