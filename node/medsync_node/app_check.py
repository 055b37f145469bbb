"""Checks an application in child processes with a time limit, under eight hash seeds: `medsync app check`.

What is tried is app_trial.py's. One that passes is deterministic as far as was tried.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Final

from medsync_node.policy_check import HASH_SEEDS, Checked

HISTORIES: Final = 10  # per child
SECONDS: Final = 60.0  # per child: the shipped one takes one


def check(
    named: str, *, histories: int = HISTORIES, seconds: float = SECONDS, told: Callable[[str], None] = lambda text: None
) -> Checked:
    """Try the application `named` (or `module:Class`). Never raises for what the application does."""
    wrong: dict[str, None] = {}
    digests: set[str] = set()
    for number, seed in enumerate(HASH_SEEDS, 1):
        digest, found = _child(named, histories, seconds, seed)
        wrong.update(dict.fromkeys(found))
        told(f"{number} of {len(HASH_SEEDS)} hash seeds")
        if digest is None:
            break
        digests.add(digest)
    if len(digests) > 1:
        wrong["other results under another PYTHONHASHSEED: it follows the order of a set"] = None
    return Checked(histories=histories, hash_seeds=len(HASH_SEEDS), wrong=tuple(wrong))


def _child(named: str, histories: int, seconds: float, seed: int) -> tuple[str | None, list[str]]:
    command = [sys.executable, "-m", "medsync_node.app_trial", named, "0", str(histories)]
    environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=environment, check=False)
    except subprocess.TimeoutExpired:
        return None, [f"not done after {seconds:g} seconds"]
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no word"]
        return None, [f"it ended the process: {last[0]}"]
    result = json.loads(done.stdout.splitlines()[-1])
    return result["digest"], list(result["wrong"])
