"""`scripts/bench WORKLOADS --nodes N`: runs them on our nodes, and on the peer in between when told where it lies."""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

from scripts.benchmarks import calimero, peer
from scripts.benchmarks.cluster import running
from scripts.benchmarks.over_http import OVER_HTTP
from scripts.benchmarks.report import compared, machine, medians, table
from scripts.benchmarks.workloads import OURS, Figures, Scale

COMPARED: Final = "normal"  # the peer's durability


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("workloads", help=f"comma-separated, of {', '.join(OURS)}")
    parser.add_argument("--nodes", type=int, default=3, help="nodes, each a process (3)")
    parser.add_argument("--against", type=Path, help="directory with the peer and its harness")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each, alternating (5)")
    parser.add_argument(
        "--batch", type=int, default=Scale().batch, help=f"entries per operation ({Scale().batch})"
    )
    parser.add_argument(
        "--synchronous", default=f"{COMPARED},full", metavar="MODES",
        help="of the journal: the first is compared with the peer (whose is normal), the others stand beside it",
    )  # fmt: skip
    parser.add_argument(
        "--scale", type=float, default=1.0, help="share of each workload: to see whether it runs, not what it costs"
    )  # fmt: skip
    parser.add_argument("--no-http", action="store_true", help="leave out W1 and W2 over HTTP")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    given = parser.parse_args()
    given.workloads = [workload for workload in OURS if workload in given.workloads.split(",")]
    if not given.workloads or given.nodes < 2 or given.rounds < 1:
        parser.error("name workloads, two nodes or more and one round or more")
    given.synchronous = given.synchronous.split(",")
    return given


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _run_ours(given: argparse.Namespace, mode: str) -> dict[str, dict[str, Figures]]:
    """Workload → path ("submit" or "http") → figures, of one run."""
    scale = Scale.of(given.batch, given.scale)
    found: dict[str, dict[str, Figures]] = {}
    with running(given.nodes, mode) as cluster:
        for workload in given.workloads:
            found[workload] = {"submit": OURS[workload](cluster, scale)}
            if not given.no_http and workload in OVER_HTTP:
                found[workload]["http"] = OVER_HTTP[workload](cluster, scale)
        if not {"W5", "W6"} & set(given.workloads):
            seen = cluster.all("query")
            assert all(count == cluster.written for count in seen), "every node opens every entry"
    return found


def main() -> None:
    """Run, print the report. Exit code 1 when the peer was asked for and can't be run."""
    if sys.argv[1:] == ["calimero"]:
        calimero.main()
        return
    given = _arguments()
    try:
        copy = None if given.against is None else peer.prepare(given.against)
        report = _rounds(given, copy)
    except peer.NoPeer as problem:
        _progress(f"bench: {problem}")
        raise SystemExit(1) from problem
    print(json.dumps(report) if given.json else table(report))


def _rounds(given: argparse.Namespace, copy: Path | None) -> dict[str, Any]:
    ours: dict[tuple[str, str, str], list[Figures]] = defaultdict(list)
    theirs: dict[str, list[Figures]] = defaultdict(list)
    for number in range(given.rounds):
        for mode in given.synchronous:
            for workload, paths in _run_ours(given, mode).items():
                for path, figures in paths.items():
                    ours[workload, mode, path].append(figures)
                    _progress(f"round {number + 1} {workload} {mode} {path}: {figures}")
        if copy is not None:
            for workload, seen in peer.run(copy, given.nodes, given.workloads).items():
                theirs[workload].append(seen)
                _progress(f"round {number + 1} {workload} peer: {seen}")
    report: dict[str, Any] = {
        "nodes": given.nodes, "rounds": given.rounds, "batch": given.batch, "machine": machine(),
        "synchronous": given.synchronous[0],
    }  # fmt: skip
    first = given.synchronous[0]
    for workload in given.workloads:
        report[workload] = compared(workload, ours[workload, first, "submit"], theirs[workload])
        for (named, mode, path), runs in ours.items():
            if named == workload and (mode, path) != (first, "submit"):
                report[workload][f"{path} {mode}"] = medians(runs)
    return report


if __name__ == "__main__":
    main()
