"""Rewards over time: what is drawn and what the tables say are the same numbers, and what can't be read is said."""

from __future__ import annotations

import re
from collections.abc import Callable

from medsync_client.contexts import Context
from medsync_client.rewards import Earned, MemberPoints, PoolHistory, PoolStep, RewardPeriod, Rewards, RewardTermsView, StepName
from medsync_node.api.scopes import SCOPES
from medsync_node.dashboard.rendering import HEADERS, page
from medsync_node.dashboard.reward_drawing import HIGH, LEFT, TOP, WIDE, columns, flow, paid_to, root_of
from medsync_node.dashboard.sessions import Grant, Session
from medsync_node.pool_history import history_of
from tests.dashboard.conftest import Visitor
from tests.dashboard.test_pages import TOO_WIDE
from tests.dashboard.world import DESKTOP, PAPER, PHONE

TERMS = RewardTermsView(contract="0x1", token="0x2", window=60, salt="0x0", per_point=10, days=1, cap=9, least=9, first=1)


def period(number: int, k: int, points: int) -> RewardPeriod:
    got = (MemberPoints(member="11" * 32, name="north", points=points),)
    return RewardPeriod(period=number, begins=number * 86_400_000, ends=(number + 1) * 86_400_000, k=k, settled=k < 9, points=got)


def step(what: StepName, k: int | None = None, amount: int | None = None, payee: str | None = None) -> PoolStep:
    text = None if amount is None else str(amount)
    return PoolStep(what=what, block=1, transaction="0x1", k=k, amount=text, payee=payee, name="north" if payee else "")


KNOWN = Rewards(k=9, terms=TERMS, closed=(period(3, 9, 0), period(2, 6, 30), period(1, 4, 15)), earned=(Earned(payee="0x7", name="north", amount="450"),))
HISTORY = PoolHistory(
    block=8, total=5,
    steps=(step("deposited", amount=900), step("proposed", 4, 150), step("activated", 4, 150), step("claimed", amount=150, payee="0x7"),
           step("proposed", 7, 450)),
)  # fmt: skip


def test_columns_are_as_high_as_points_and_know_how_far_the_pool_is() -> None:
    drawn = columns(KNOWN, HISTORY)
    assert [(one.period.period, one.points, one.worth, one.height) for one in drawn] == [(1, 15, 150, HIGH // 2), (2, 30, 300, HIGH), (3, 0, 0, 1)]
    assert [one.x for one in drawn] == [LEFT, LEFT + WIDE, LEFT + 2 * WIDE] and drawn[1].y == TOP
    assert [one.root for one in drawn] == ["payable", "proposed", "not proposed"]
    vetoed = PoolHistory(steps=(step("proposed", 6, 1), step("vetoed", 6)))
    assert root_of(KNOWN.closed[1], vetoed) == "vetoed" and root_of(KNOWN.closed[1], PoolHistory(trouble="x")) == ""


def test_what_was_promised_and_paid_goes_up_in_stairs() -> None:
    moved = flow(HISTORY)
    assert [(one, two) for _, one, two in moved.rows] == [(0, 0), (0, 0), (150, 0), (150, 150), (150, 150)]
    assert moved.most == 150 and moved.promised.split()[4] == f"{LEFT + 2 * WIDE},{TOP}"
    assert paid_to(HISTORY) == {"0x7": 150} and paid_to(None) == {} and flow(PoolHistory()).rows == ()


def test_steps_that_are_left_out_count_in_what_stands_before_the_first() -> None:
    cut = history_of(8, HISTORY.steps, shown=1)
    assert (cut.total, cut.promised_before, cut.paid_before) == (5, "150", {"0x7": "150"})
    assert [(one, two) for _, one, two in flow(cut).rows] == [(150, 150)] and paid_to(cut) == paid_to(HISTORY)
    assert history_of(8, HISTORY.steps).paid_before == {}


def shown(history: PoolHistory | None) -> str:
    one = Context.model_validate({
        "id": "1" * 64, "name": "trial", "application": "medsync", "policy": "any_admin", "role": "admin", "members": 1,
        "voters": 1, "quorum": 1, "epoch": 1, "operations": 1, "checkpoint": {},
    })  # fmt: skip
    session = Session(grant=Grant(scopes=frozenset(SCOPES)), csrf="c", ends=1, seen=0, digest="d")
    moved = None if history is None or history.trouble else flow(history)
    found = [(one, KNOWN, columns(KNOWN, history), history, moved, paid_to(history))]
    answer = page("rewards.html", session=session, node_name="north", context="", called="", query={}, path="/rewards", read_only=False, found=found)
    return bytes(answer.body).decode()


STEPS = (
    step("deposited", amount=900), step("proposed", 4, 150), step("vetoed", 4), step("proposed", 6, 150), step("activated", 6, 150),
    step("claimed", amount=100, payee="0x7"), step("proposed", 7, 450), step("activated", 7, 450), step("claimed", amount=50, payee="0x7"),
    step("claimed", amount=300, payee="0x8"),
)  # fmt: skip
"""A pool on its way: a root vetoed and proposed anew, two made payable one after the other, and drawn on in between."""


def test_a_pool_that_moved_in_many_steps_is_drawn_step_by_step_in_a_browser(visit: Callable[..., Visitor]) -> None:
    visitor = visit(size=PHONE)
    visitor.page.route("**/dashboard/rewards", lambda route: route.fulfill(status=200, headers={**HEADERS, "Content-Type": "text/html"}, body=shown(history_of(9, STEPS))))
    visitor.go("/rewards")
    for size in (PHONE, DESKTOP, PAPER):
        visitor.page.set_viewport_size({"width": size[0], "height": size[1]})
        assert visitor.page.evaluate(TOO_WIDE) <= 0, size
    stairs = visitor.page.evaluate("""() => ["promised", "paid"].map((kind) => {
      const line = document.querySelector("polyline." + kind), picture = line.closest("svg").getBoundingClientRect(), box = line.getBoundingClientRect();
      const heights = [...line.points].map((point) => point.y);
      return [heights.length, new Set(heights).size, heights.every((y, i) => i === 0 || y <= heights[i - 1]), box.left >= picture.left && box.right <= picture.right];
    })""")
    assert [one[1:] for one in stairs] == [[3, True, True], [4, True, True]], "promised goes up twice, paid three times, and neither ever down"
    rows = visitor.page.locator("table", has=visitor.page.get_by_role("columnheader", name="Promised")).locator("tbody tr")
    assert rows.count() == len(STEPS)
    told = [" ".join(one.split()) for one in rows.all_inner_texts()]
    assert "450" in told[0] and "claimed by" in told[0] and "root of checkpoint 4 vetoed" in told[-3], told


def test_the_page_draws_and_lists_the_same() -> None:
    text = shown(HISTORY)
    tables = re.sub("<svg.*?</svg>", "", text, flags=re.S)
    for drawn in re.findall(r'<text class="name small" x="\d+" y="\d+">(\w[\w ]*)</text>', text):
        assert f">{drawn}<" in tables, drawn
    assert text.count('class="column') == 3 and "claimed by north" in tables and "root of checkpoint 7 proposed" in tables
    unread = shown(PoolHistory(trouble="this node reads no chain: `medsync config set chain.rpc URL` gives it one"))
    assert "<code>medsync config set chain.rpc URL</code>" in unread and 'data-label="Paid">–' in unread
