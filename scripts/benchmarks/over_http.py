"""The same entries through the HTTP API of the first node, as an EHR writes them; the client's CPU is told apart."""

from __future__ import annotations

import os
import time
from typing import Any, Final

import trio

from medsync_client import Address
from medsync_client.accesses import AccessBatch, LoggedAccess
from medsync_client.client import Client
from scripts.benchmarks.cluster import Cluster
from scripts.benchmarks.entries import UNIT, user_bytes
from scripts.benchmarks.workloads import PAUSE, SECOND, Figures, Scale, latencies, per_entry
from medsync_protocol.ids import MemberId

CONNECTIONS: Final = 4  # of one bulk writer


def _entry(cluster: Cluster, number: int) -> LoggedAccess:
    member = cluster.members[0]
    user = os.urandom(64).hex()[: user_bytes(MemberId(bytes.fromhex(member)))]
    return LoggedAccess(
        half="disclosed", subject=cluster.subjects[number % len(cluster.subjects)], requester=member,
        custodian=member, purposes=("TREAT",), types=("Observation",), unit=UNIT.decode(), user=user,
    )  # fmt: skip


def _address(cluster: Cluster) -> Address:
    return Address.of_home(cluster.processes[0].home)


async def _append(cluster: Cluster, batches: list[AccessBatch]) -> None:
    async def lane(client: Client) -> None:
        while batches:
            await client.append_accesses(cluster.context, batches.pop())

    async with Client(_address(cluster)) as client, trio.open_nursery() as nursery:
        for _ in range(CONNECTIONS):
            nursery.start_soon(lane, client)


def w1(cluster: Cluster, scale: Scale) -> Figures:
    """One client appends in batches; until all nodes have all."""
    starts = range(0, scale.w1, scale.batch)
    batches = [
        AccessBatch(entries=tuple(_entry(cluster, n) for n in range(at, min(at + scale.batch, scale.w1))))
        for at in starts
    ]
    before, client = cluster.meter(), time.process_time()
    cluster.written += scale.w1
    for process in cluster.processes:
        process.tell("reach", cluster.written)
    began = time.monotonic_ns()
    trio.run(_append, cluster, batches)
    ended = max(process.answer() for process in cluster.processes)
    spent, after = time.process_time() - client, cluster.meter()
    figures = per_entry(scale.w1, (ended - began) / SECOND, before, after)
    return figures | {"client_cpu_ms": round(spent / scale.w1 * 1e3, 4)}


def w2(cluster: Cluster, scale: Scale) -> Figures:
    """Single entries, one at a time; from the request until the slowest other node has it."""

    others = cluster.processes[1:]

    async def write() -> list[int]:
        began = []
        async with Client(_address(cluster)) as client:
            for number in range(scale.w2):
                batch = AccessBatch(entries=(_entry(cluster, number),))
                cluster.written += 1
                for process in others:
                    process.tell("reach", cluster.written)
                began.append(time.monotonic_ns())
                await client.append_accesses(cluster.context, batch)
                for process in others:
                    await trio.to_thread.run_sync(process.answer)
                await trio.sleep(PAUSE)
        return began

    cluster.all("singles")
    before = cluster.meter()
    began = trio.run(write)
    after = cluster.meter()
    slowest: dict[tuple[str, int], int] = {}
    for singles in cluster.all("singles")[1:]:
        for chain, seq, at in singles:
            slowest[chain, seq] = max(at, slowest.get((chain, seq), 0))
    ended: list[Any] = [slowest[place] for place in sorted(slowest, key=lambda place: place[1])]
    assert len(ended) == scale.w2, "every entry came to every node"
    figures = latencies([(end - start) / 1e6 for start, end in zip(began, ended, strict=True)])
    return figures | {"cpu_ms": round((after.cpu - before.cpu) / scale.w2 * 1e3, 3)}


OVER_HTTP: Final = {"W1": w1, "W2": w2}
