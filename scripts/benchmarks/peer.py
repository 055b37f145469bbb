"""Runs the peer by its own harness, in a copy of its directory that is installed once and kept in the user's cache."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from scripts.benchmarks.workloads import Figures

PEER: Final = "jazz"
RUN_SECONDS: Final = 900


class NoPeer(RuntimeError):
    """The peer can't be run here; the message says what is missing."""


def prepare(directory: Path) -> Path:
    """A copy of `directory` with the peer installed. Raises NoPeer."""
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            raise NoPeer(f"the peer needs {tool}: install nodejs and npm, or leave out --against")
    if not (directory / PEER / f"{PEER}.mjs").is_file():
        raise NoPeer(f"there is no {PEER}/{PEER}.mjs in {directory}")
    sources = sorted(file for part in (PEER, "harness") for file in (directory / part).glob("*.*"))
    name = hashlib.sha256(b"".join(file.read_bytes() for file in sources)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "medsync-bench"
    copy = cache / name
    if (copy / "ready").exists():
        return copy
    shutil.rmtree(copy, ignore_errors=True)
    for part in (PEER, "harness"):
        shutil.copytree(
            directory / part, copy / part, ignore=shutil.ignore_patterns("node_modules", "results*")
        )
    install = ["npm", "install", "--ignore-scripts=false", "--no-audit", "--no-fund"]
    done = subprocess.run(install, cwd=copy / PEER, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoPeer(f"npm could not install the peer: {done.stderr.strip()[-500:]}")
    (copy / "ready").touch()
    return copy


def run(copy: Path, nodes: int, workloads: Sequence[str]) -> dict[str, Figures]:
    """One run of the peer's harness: figures per workload, under our names. Raises NoPeer."""
    with tempfile.TemporaryDirectory(
        prefix="medsync-bench-peer-", dir=os.environ.get("BENCH_DIR")
    ) as scratch:
        done = subprocess.run(
            ["node", "../harness/run.mjs", str(copy / PEER / f"{PEER}.mjs"), str(nodes), ",".join(workloads)],
            cwd=copy / PEER, env={**os.environ, "BENCH_DIR": scratch}, capture_output=True, text=True,
            check=False, timeout=RUN_SECONDS,
        )  # fmt: skip
    try:
        raw = json.loads(done.stdout[done.stdout.index("{") :])
    except ValueError as error:
        raise NoPeer(f"the peer's harness gave no figures: {done.stderr.strip()[-500:]}") from error
    if "err" in raw:
        raise NoPeer(f"the peer's run failed: {raw['err']}")
    return {workload: _figures(raw, workload) for workload in workloads}


def _figures(raw: dict[str, Any], workload: str) -> Figures:
    def of(name: str) -> Any:
        return raw[f"{workload}_{name}"]

    match workload:
        case "W1":
            cpu = of("cpu_s") / of("ops") * 1e3
            return {
                "entries": of("ops"), "s": of("s"), "ops_s": of("ops_s"), "cpu_ms": cpu,
                "bytes": of("lo_B_per_op"), "rss": of("rss_MiB"),
            }  # fmt: skip
        case "W2":
            return {"p50": of("p50_ms"), "p99": of("p99_ms")}
        case "W3":
            cpu = of("cpu_s") / of("missing") * 1e3
            return {
                "entries": of("missing"), "s": of("s"), "ops_s": of("ops_s"), "cpu_ms": cpu, "bytes": of("B_per_op"),
            }  # fmt: skip
        case "W4":
            count = round(of("ops_s") * of("s"))
            return {
                "s": of("s"), "ops_s": of("ops_s"), "cpu_ms": of("cpu_s") / max(1, count) * 1e3, "equal": of("equal"),
            }  # fmt: skip
        case "W5":
            return {"ms": raw["W5"]["ms"], "removed_sees_new": raw["W5_removed_sees_new"]}
        case _:
            return {"entries": of("ops"), "bytes_on_disk": of("B_per_op_du"), "s": of("restart_s")}
