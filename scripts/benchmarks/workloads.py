"""The workloads on our nodes, as the peer's harness runs them on its own; each returns named figures.

Keys of figures: `ops_s` entries per second, `cpu_ms` per entry over all nodes, `bytes` on loopback per entry, `rss`
MiB peak of each node, `p50`/`p99` ms, `s` seconds.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from scripts.benchmarks.cluster import Cluster, Meter, disk_bytes

SECOND: Final = 1e9
PAUSE: Final = 0.005  # seconds between single entries, as in the peer's harness

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much of each workload; the defaults are the peer's harness's."""

    batch: int = 200  # as many as the peer's writer pushes between its turns
    w1: int = 10_000
    w2: int = 200
    w3: int = 20_000
    w4: int = 2_000
    w6: int = 50_000

    @classmethod
    def of(cls, batch: int, share: float) -> Scale:
        """A share of the full one."""
        full = cls()
        counts = (max(1, round(share * count)) for count in (full.w1, full.w2, full.w3, full.w4, full.w6))
        w1, w2, w3, w4, w6 = counts
        return cls(batch=batch, w1=w1, w2=w2, w3=w3, w4=w4, w6=w6)


def per_entry(count: int, seconds: float, before: Meter, after: Meter) -> Figures:
    """Figures of `count` entries that took `seconds`, between two readings."""
    return {
        "entries": count, "s": round(seconds, 3), "ops_s": round(count / seconds),
        "cpu_ms": round((after.cpu - before.cpu) / count * 1e3, 4),
        "bytes": round((after.loopback - before.loopback) / count),
    }  # fmt: skip


def latencies(milliseconds: list[float]) -> Figures:
    """Median and 99th percentile."""
    ordered = sorted(milliseconds)
    return {
        "p50": round(ordered[len(ordered) // 2], 2), "p99": round(ordered[int(len(ordered) * 0.99)], 2),
    }  # fmt: skip


def w1(cluster: Cluster, scale: Scale) -> Figures:
    """One writer appends; until all nodes have all."""
    before = cluster.meter()
    cluster.written += scale.w1
    first, *others = cluster.processes
    for process in others:
        process.tell("reach", cluster.written)
    began = first.call("append", scale.w1, scale.batch)
    ended = max(first.call("reach", cluster.written), *(process.answer() for process in others))
    after = cluster.meter()
    return per_entry(scale.w1, (ended - began) / SECOND, before, after) | {"rss": cluster.memory()}


def w2(cluster: Cluster, scale: Scale) -> Figures:
    """Single entries, one at a time, by a random node; until the slowest other node has it."""
    rng = random.Random(2)
    cluster.all("singles")
    before = cluster.meter()
    began: dict[tuple[str, int], tuple[int, int]] = {}
    for _ in range(scale.w2):
        writer = rng.randrange(len(cluster.processes))
        others = [process for number, process in enumerate(cluster.processes) if number != writer]
        cluster.written += 1
        for process in others:  # before it is written: nothing of the harness's runs while it is on its way
            process.tell("reach", cluster.written)
        chain, seq, start = cluster.processes[writer].call("one")
        began[chain, seq] = (writer, start)
        for process in others:
            process.answer()
        time.sleep(PAUSE)
    after = cluster.meter()
    slowest: dict[tuple[str, int], int] = {}
    for node, singles in enumerate(cluster.all("singles")):
        for chain, seq, at in singles:
            if (chain, seq) in began and began[chain, seq][0] != node:
                slowest[chain, seq] = max(at, slowest.get((chain, seq), 0))
    assert len(slowest) == scale.w2, "every entry came to every node"
    figures = latencies([(slowest[place] - start) / 1e6 for place, (_, start) in began.items()])
    return figures | {"cpu_ms": round((after.cpu - before.cpu) / scale.w2 * 1e3, 3)}


def w3(cluster: Cluster, scale: Scale) -> Figures:
    """A node is offline while the first writes; it reconnects, until it has all."""
    first, late = cluster.processes[0], cluster.processes[-1]
    late.call("offline")
    cluster.written += scale.w3
    first.call("append", scale.w3, scale.batch)
    for process in cluster.processes[:-1]:
        process.call("reach", cluster.written)
    time.sleep(1.0)  # whatever the writing left behind is not the catching up's
    before = cluster.meter()
    late.tell("online")
    late.tell("reach", cluster.written)
    began, ended = late.answer(), late.answer()
    after = cluster.meter()
    return per_entry(scale.w3, (ended - began) / SECOND, before, after)


def w4(cluster: Cluster, scale: Scale) -> Figures:
    """All write at once; until all have all, and all the same."""
    before = cluster.meter()
    cluster.written += scale.w4 * len(cluster.processes)
    for process in cluster.processes:
        process.tell("append", scale.w4, scale.batch)
        process.tell("reach", cluster.written)
    answers = [(process.answer(), process.answer()) for process in cluster.processes]
    after = cluster.meter()
    seconds = (max(ended for _, ended in answers) - min(began for began, _ in answers)) / SECOND
    equal = len(set(cluster.all("head"))) == 1
    return per_entry(scale.w4 * len(cluster.processes), seconds, before, after) | {"equal": equal}


def w5(cluster: Cluster, scale: Scale) -> Figures:
    """The first removes the last; the key rotates in the same operation, and what is written after stays closed to it."""
    first, second, last = cluster.processes[0], cluster.processes[1], cluster.processes[-1]
    began = time.monotonic_ns()
    first.call("remove", cluster.members[-1])
    removed = time.monotonic_ns()
    held = last.call("count")
    first.call("append", 10, 10)
    cluster.written += 10
    second.call("reach", cluster.written)
    time.sleep(1.0)
    return {"ms": round((removed - began) / 1e6, 1), "removed_sees_new": last.call("count") > held}


def w6(cluster: Cluster, scale: Scale) -> Figures:
    """Bytes on disk per entry; a restart, until all are opened again."""
    first = cluster.processes[0]
    more = max(0, scale.w6 - cluster.written)
    if more:
        cluster.written += more
        first.call("append", more, scale.batch)
        first.call("reach", cluster.written)
    first.stop()
    size = disk_bytes(first.home)
    began = time.monotonic_ns()
    first.start()
    first.answer()
    first.call("enter_alone", cluster.context, cluster.subjects)
    up = time.monotonic_ns()
    found = first.call("query")
    ended = time.monotonic_ns()
    return {
        "entries": found, "bytes_on_disk": round(size / cluster.written), "s": round((ended - began) / SECOND, 2),
        "up_s": round((up - began) / SECOND, 2),
    }  # fmt: skip


OURS: Final[dict[str, Callable[[Cluster, Scale], Figures]]] = {
    "W1": w1, "W2": w2, "W4": w4, "W3": w3, "W5": w5, "W6": w6,
}  # fmt: skip
"""In the order of the peer's harness."""
