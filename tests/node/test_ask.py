"""What `Node.ask` promises: when it returns, the requester's half stands in the log, whatever else happens meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import trio
from medsync_node.node import Node
from medsync_node.transport import MemoryNetwork
from medsync_protocol.access import Half, decode_access, make_request
from medsync_protocol.application import Draft
from medsync_protocol.effects import Effect, Notify
from medsync_protocol.ids import ContextId, Instant, SubjectRef
from medsync_protocol.kinds import EntryKind
from medsync_protocol.replica import Submitted
from tests.node.node_world import connect, memory_node, until


async def write(node: Node, context: ContextId, drafts: Sequence[Draft]) -> Submitted:
    def submit(now: int) -> tuple[Submitted, list[Effect]]:
        return node.engine.submit(now, context, drafts)

    return await node.perform(submit)


async def enrolled(custodian: Node, requester: Node, context: ContextId) -> SubjectRef:
    subject, drafts = custodian.engine.desk(context).enrol(Instant(custodian.now()))
    await write(custodian, context, drafts)
    await until(lambda: requester.engine.desk(context).application.standing(subject) is not None)
    return subject


async def test_an_answer_stands_in_the_log_when_asking_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = MemoryNetwork()
    async with (
        memory_node(network, tmp_path, "north") as north,
        memory_node(network, tmp_path, "south") as south,
    ):
        context = await connect([north, south])
        subject = await enrolled(north, south, context)
        replica = south.engine.replica(context)
        monkeypatch.setattr(
            south.store, "try_commit_now", lambda records, durable: False
        )  # every commit takes a thread's hop

        async def chatter() -> None:
            while True:  # news of other things wakes whoever waits, before the answer's commit is done
                south._heard(Notify("heartbeat", context))
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(chatter)
            for number in range(5):
                request = make_request(
                    replica.network, context, subject, replica.member, purposes=("TREAT",), action="access",
                    time=Instant(south.now()), salt=number.to_bytes(16, "big"),
                )  # fmt: skip
                answer = await south.ask(context, north.identity.member, request)
                log = await south.log(context, [EntryKind.ACCESS], subject, None, 10)
                halves = [decode_access(entry.payload) for _, entry, _ in log]
                mine = [half.receipt for half in halves if half.half is Half.REQUESTED]
                assert answer.receipt.id in mine, f"question {number}"
            nursery.cancel_scope.cancel()
