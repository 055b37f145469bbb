"""scripts/bench runs every workload and prints one object; what it costs is for a quiet machine to say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.long
def test_every_workload_runs_and_is_reported() -> None:
    command = [
        sys.executable, "-m", "scripts.benchmarks", "W1,W2,W3,W4,W5,W6", "--nodes", "3", "--rounds", "1",
        "--scale", "0.02", "--synchronous", "normal", "--json",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout)
    assert report["nodes"] == 3
    ours = {workload: report[workload]["ours"] for workload in ("W1", "W2", "W3", "W4", "W5", "W6")}
    assert ours["W1"]["entries"] == 200
    assert ours["W1"]["cpu_ms"] > 0
    assert 0 < ours["W2"]["p50"] <= ours["W2"]["p99"]
    assert ours["W3"]["entries"] == 400
    assert ours["W4"]["equal"]
    assert not ours["W5"]["removed_sees_new"]
    assert ours["W6"]["entries"] == 1000
    assert report["W1"]["http normal"]["client_cpu_ms"] > 0
