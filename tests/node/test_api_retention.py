"""Retention through the API: months whose rows are kept, their ends, holds; and by the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from medsync_client import NotFound, Refused
from medsync_client.accesses import AccessRequest
from medsync_client.erasures import HoldSet, OrderSigned
from medsync_client.subjects import SubjectEnrol
from medsync_node.cli import run
from medsync_node.commands.context import _retention_lines
from tests.node.api_world import form, parties, same
from tests.node.test_api import refused


async def test_a_months_rows_are_listed_held_and_released_and_outlive_their_subject(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with parties(tmp_path, "north", "south") as (north, south):
        await form([north, south], **{"retention.months": 72})
        made = await north.client.enrol_subject("trial", SubjectEnrol(custodians=("south",)))
        await same([north, south])
        assert (await north.client.retention("trial")).kept == ()
        await north.client.request_access("trial", AccessRequest(subject=made.subject, custodian="north", purposes=("TREAT",)))
        await same([north, south])
        (month,) = (await south.client.retention("trial")).kept
        assert month.member == "north" and int(month.ends[:4]) - int(month.month[:4]) in (6, 7)
        words = ["context", "retention", "trial", "--hold", month.id, "--reason", "case 12/3", "--home", str(tmp_path / "south")]
        assert await trio.to_thread.run_sync(run, words) == 0
        assert "rows are kept for 72 months" in (said := capsys.readouterr().out) and "south: case 12/3" in said
        held = await south.client.retention("trial")
        assert [(one.custodian, one.reason) for one in held.kept[0].holds] == [("south", "case 12/3")]
        await same([north, south])
        hold = HoldSet(releases=held.kept[0].holds[0].id)
        await refused(north.client.hold_month("trial", month.id, hold), NotFound, "unknown_hold")
        await refused(north.client.hold_month("trial", "00" * 16, HoldSet()), NotFound, "unknown_month")
        assert (await south.client.hold_month("trial", month.id, hold)).kept[0].holds == ()
        await same([north, south])
        for one in (north, south):
            await one.client.order_erasure("trial", made.subject, OrderSigned())
            await same([north, south])
        await refused(north.client.accesses("trial", made.subject), Refused, "erased")
        rows = (await north.client.accesses("trial")).entries
        assert {row.subject for row in rows} == {made.subject}, "who asked for what about whom, still"
        assert len({(row.op, row.index) for row in rows}) == len(rows) == 2, "each half once"


async def test_where_nothing_was_set_rows_go_with_their_subject(tmp_path: Path) -> None:
    async with parties(tmp_path, "north") as (north,):
        await form([north])
        found = await north.client.retention("trial")
        assert found.months is None and "without retention.months" in next(iter(_retention_lines(found)))
        await refused(north.client.hold_month("trial", "00" * 16, HoldSet()), Refused, "no_retention")
