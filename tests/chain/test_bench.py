"""`scripts/bench-chain` measures what it says it does; how fast that was is for its README."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_bench_runs_each_of_its_works_and_a_checkpoint() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "bench-chain"), "--rounds", "1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    found = json.loads(done.stdout)
    assert [row["work"] for row in found["machine"]] == ["loop", "dictionary", "consent proof", "checkpoint"]
    assert [row["steps"] for row in found["machine"]][2:] == [13_709, 5_545], "as contracts/README.md counts them"
    assert found["ratio"] is None and found["checkpoint"]["best_ms"] > 0
