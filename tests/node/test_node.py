"""A node on a real journal and a real network: what is written is committed, replicated, found again."""

from __future__ import annotations

from pathlib import Path

import trio
from medsync_node.transport import MemoryNetwork
from medsync_protocol.application import Draft
from medsync_protocol.kinds import EntryKind
from tests.node.node_world import connect, converged, libp2p_node, memory_node, nodes_on_libp2p, until


def note(text: str) -> Draft:
    return Draft(kind=EntryKind.NOTE, payload=text.encode())


async def test_what_one_node_writes_every_member_can_query(tmp_path: Path) -> None:
    async with nodes_on_libp2p(tmp_path, "north", "south", "west") as nodes:
        context = await connect(nodes, application="notes")
        north = nodes[0]
        drafts = [note(f"entry {i}") for i in range(64)]
        done = await north.perform(lambda now: north.engine.submit(now, context, drafts))
        await until(lambda: converged(nodes, context))
        for node in nodes:
            rows = await node.log(context, [EntryKind.NOTE], None, None, 100)
            assert [entry.payload for _, entry, _ in rows] == [d.payload for d in reversed(drafts)]
        await until(lambda: len(north.engine.sync.replicated(context, done.chain, done.seq)) == 2)


async def test_a_restarted_node_goes_on_where_it_was_and_catches_up(tmp_path: Path) -> None:
    network = MemoryNetwork()
    async with memory_node(network, tmp_path, "north") as north:
        async with memory_node(network, tmp_path, "south") as south:
            context = await connect([north, south], application="notes")
            await south.perform(lambda now: south.engine.submit(now, context, [note("before")]))
        for number in range(50):
            await north.perform(lambda now, n=number: north.engine.submit(now, context, [note(f"while away {n}")]))
        async with memory_node(network, tmp_path, "south") as south:
            await until(lambda: converged([north, south], context))
            await south.perform(lambda now: south.engine.submit(now, context, [note("after")]))
            await until(lambda: converged([north, south], context))
            rows = await north.log(context, [EntryKind.NOTE], None, None, 1000)
            assert len(rows) == 52
            assert not south.engine.replicas[context].judge.forks


async def test_bulk_is_served_to_a_late_member_over_libp2p(tmp_path: Path) -> None:
    async with nodes_on_libp2p(tmp_path, "north", "south") as (north, south):
        context = await connect([north, south], application="notes")
    async with libp2p_node(tmp_path, "north") as north:
        async with trio.open_nursery() as nursery:
            for batch in range(40):
                drafts = [note(f"{batch}/{i}" + "x" * 300) for i in range(64)]
                nursery.start_soon(north.perform, lambda now, d=drafts: north.engine.submit(now, context, d))
        async with libp2p_node(tmp_path, "south") as south:
            await until(lambda: converged([north, south], context))
