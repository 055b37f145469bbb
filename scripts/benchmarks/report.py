"""Medians over the rounds, ratios of ours to the peer's, and the table for people."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from statistics import median
from typing import Any, Final

from scripts.benchmarks.workloads import Figures

TIME_OF: Final = {"W1": "s", "W2": "p50", "W3": "s", "W4": "s", "W5": "ms", "W6": "s"}
"""Which figure is a workload's time."""


def medians(rounds: Sequence[Figures]) -> Figures:
    """Figure by figure; lists element by element, truths only if they always held alike."""
    found: Figures = {}
    for name in rounds[0]:
        values = [figures[name] for figures in rounds]
        if isinstance(values[0], bool):
            found[name] = values[0] if len(set(values)) == 1 else None
        elif isinstance(values[0], list):
            found[name] = [median(column) for column in zip(*values, strict=True)]
        else:
            found[name] = round(median(values), 4)
    return found


def compared(workload: str, ours: Sequence[Figures], peer: Sequence[Figures]) -> dict[str, Any]:
    """Medians of both, and medians of the ratios of rounds run one after the other: ours to the peer's, less is better."""
    result: dict[str, Any] = {"ours": medians(ours)}
    if not peer:
        return result
    result["peer"] = medians(peer)
    for ratio, figure in (("cpu_ratio", "cpu_ms"), ("time_ratio", TIME_OF[workload])):
        pairs = [
            (o[figure], p[figure]) for o, p in zip(ours, peer, strict=True) if o.get(figure) and p.get(figure)
        ]
        result[ratio] = round(median([o / p for o, p in pairs]), 3) if pairs else None
    return result


def machine() -> dict[str, Any]:
    """On what this ran."""
    cpu = platform.processor() or platform.machine()
    with open("/proc/cpuinfo") as lines:
        for line in lines:
            if line.startswith("model name"):
                cpu = line.split(":", 1)[1].strip()
                break
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.system(),
    }


def table(report: dict[str, Any]) -> str:
    """The report for people."""
    lines = [
        f"{report['nodes']} nodes, batches of {report['batch']}, medians of {report['rounds']} rounds, "
        f"{report['machine']['cores']} × {report['machine']['cpu']}"
    ]
    for workload in TIME_OF:
        if workload not in report:
            continue
        found = report[workload]
        lines.append(f"\n{workload}")
        for who, figures in found.items():
            if isinstance(figures, dict):
                shown = "  ".join(f"{name} {value}" for name, value in figures.items())
                lines.append(f"  {who:12} {shown}")
        if "cpu_ratio" in found:
            lines.append(f"  ours / peer  CPU {found['cpu_ratio']}  time {found['time_ratio']}")
    return "\n".join(lines)
