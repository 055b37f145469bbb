"""One seed is one run: byte for byte, in another process, under another hash seed, with and without memoised cryptography."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from medsync_sim import run

SEEDS = (3, 8)


def _trace(tmp_path: Path, seed: int, hash_seed: str) -> bytes:
    file = tmp_path / f"{seed}-{hash_seed}.trace"
    code = f"from medsync_node.cli import run; raise SystemExit(run(['simulate', 'run', 'faults', '--seed', '{seed}', '--trace', {str(file)!r}]))"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=environment, cwd=tmp_path)
    return file.read_bytes()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seed_gives_the_same_bytes_under_any_hash_seed(seed: int, tmp_path: Path) -> None:
    assert _trace(tmp_path, seed, "1") == _trace(tmp_path, seed, "4242")


@pytest.mark.parametrize("seed", SEEDS)
def test_memoised_cryptography_changes_nothing(seed: int) -> None:
    assert run("faults", seed=seed, crypto="real") == run("faults", seed=seed, crypto="memoised")


def test_another_seed_is_another_run() -> None:
    assert run("faults", seed=1, crypto="memoised").digest != run("faults", seed=2, crypto="memoised").digest
