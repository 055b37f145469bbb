"""What `status` warns of: a clock that is off, removals that are not final, contexts that nothing proves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import trio

from medsync_node.api import make_app
from medsync_node.node import Node
from medsync_node.opening import running, wall_clock
from medsync_node.store import Store
from medsync_node.transport import MemoryNetwork
from medsync_protocol.ids import Instant
from medsync_protocol.kinds import Role
from tests.node.node_world import connect, identity, memory_node, until

TEN_MINUTES = 10 * 60_000  # ms


async def status(node: Node) -> dict[str, Any]:
    app = make_app(node, stopping=trio.Event())
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
        found: dict[str, Any] = (await client.get("/v1/status")).json()
        return found


@asynccontextmanager
async def node_with_clock(
    network: MemoryNetwork, path: Path, ahead: Callable[[], int], name: str = "odd"
) -> AsyncIterator[Node]:
    """A node whose clock is ahead by so many milliseconds."""
    who = identity(name)
    with Store(path / f"{name}.db", storage_key=who.storage_key) as store:
        async with (
            network.open(who.device) as transport,
            running(
                who, store, transport, incarnation=bytes(8), clock=lambda: wall_clock() + ahead()
            ) as node,
        ):
            yield node


async def clock_warnings(node: Node) -> list[str]:
    return [warning for warning in (await status(node))["warnings"] if "clock" in warning]


async def test_a_clock_that_falls_ten_minutes_behind_is_warned_of_with_what_to_do(tmp_path: Path) -> None:
    network, ahead = MemoryNetwork(), [0]
    async with (
        memory_node(network, tmp_path, "north") as north,
        node_with_clock(network, tmp_path, lambda: ahead[0]) as odd,
    ):
        context = await connect([north, odd])
        assert await clock_warnings(north) == await clock_warnings(odd) == []
        ahead[0] = -TEN_MINUTES
        _, drafts = north.engine.desk(context).enrol(Instant(north.now()))
        await north.perform(lambda now: north.engine.submit(now, context, drafts))
        await until(lambda: (odd.engine.book(context).clock_offset() or 0) > TEN_MINUTES // 2)
        (warning,) = [one for one in await clock_warnings(odd) if "INDETERMINATE" in one]
        assert "NTP" in warning
        assert await clock_warnings(north) == []


async def test_who_joins_with_a_clock_ten_minutes_behind_is_told_why_nothing_comes(tmp_path: Path) -> None:
    network = MemoryNetwork()
    async with (
        memory_node(network, tmp_path, "north") as north,
        node_with_clock(network, tmp_path, lambda: -TEN_MINUTES) as odd,
    ):
        await north.perform(lambda now: north.engine.found_network(now, "hospitals"))
        token = await north.perform(
            lambda now: north.engine.invite(now, Role.MEMBER, now + TEN_MINUTES, None)
        )
        await odd.join(token)
        await until(lambda: any(len(one.parking) for one in odd.engine.replicas.values()))
        (warning,) = await clock_warnings(odd)
        assert "hospitals" in warning and "NTP" in warning


async def test_a_clock_that_jumps_ahead_and_back_holds_up_nobody_and_what_was_written_arrives(tmp_path: Path) -> None:
    network, everybody, jump = MemoryNetwork(), [0], [0]
    async with (
        node_with_clock(network, tmp_path, lambda: everybody[0], "north") as north,
        node_with_clock(network, tmp_path, lambda: everybody[0] + jump[0]) as odd,
    ):
        context = await connect([north, odd])

        async def enrol(node: Node) -> None:
            _, drafts = node.engine.desk(context).enrol(Instant(node.now()))
            await node.perform(lambda now: node.engine.submit(now, context, drafts))

        jump[0] = TEN_MINUTES
        await enrol(odd)
        jump[0] = 0
        await enrol(odd)
        await until(lambda: len(north.engine.replicas[context].parking) > 0)
        (warning,) = [one for one in await clock_warnings(north) if "time has not come" in one]
        (own,) = [one for one in await clock_warnings(odd) if "gone back" in one]
        assert "NTP" in warning and "NTP" in own
        await enrol(north)
        await until(lambda: odd.engine.replicas[context].vector[north.engine.replicas[context].chain] > 0)
        everybody[0] = TEN_MINUTES
        await until(lambda: north.engine.replicas[context].vector == odd.engine.replicas[context].vector)
        await until(lambda: not len(north.engine.replicas[context].parking))
        assert await clock_warnings(north) == await clock_warnings(odd) == []


async def test_an_unanchored_context_and_a_removal_that_never_settles_there_are_notices_with_the_way_on(tmp_path: Path) -> None:
    network = MemoryNetwork()
    async with memory_node(network, tmp_path, "north") as north, memory_node(network, tmp_path, "lab") as lab:
        context = await connect([north, lab])
        (notice,) = (await status(north))["notices"]
        assert notice["code"] == "not_anchored" and "is not anchored" in notice["what"] and "settled" in notice["what"]
        way = ("run --rpc", "MEDSYNC_ACCOUNT", "contract declare", "contract deploy", "contract register", "bridge run")
        places = [notice["advice"].index(step) for step in way]
        assert places == sorted(places)
        member = lab.identity.member
        await north.perform(lambda now: north.engine.remove(now, context, member))
        (removal,) = [one for one in (await status(north))["notices"] if one["code"] == "removal"]
        assert "the removal of lab 0 minutes ago never settles" in removal["what"]
        (stalled,) = [one for one in (await status(north))["warnings"] if "must sign" in one]
        assert "of 2 voters 1 are still members (lab no longer), and 2 must sign" in stalled
        assert not [one for one in (await status(north))["warnings"] if "anchored" in one or "settled" in one]
        await until(lambda: lab.engine.replicas[context].role is None)
        assert any("no longer in" in warning for warning in (await status(lab))["warnings"])
        await north.perform(lambda now: north.engine.admit(now, context, member, Role.MEMBER))
        assert [one["code"] for one in (await status(north))["notices"]] == ["not_anchored"], "who is in again is not out"
