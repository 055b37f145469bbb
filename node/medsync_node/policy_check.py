"""Checks a membership policy in child processes with a time limit, under eight hash seeds: `medsync policy check`.

What is tried is policy_trial.py's. A policy that passes is deterministic as far as was tried; that it is wise is not said.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from medsync_protocol.ruling import Parameter

HASH_SEEDS: Final = (0, 1, 2, 3, 42, 1_000, 65_535, 4_294_967_295)
HISTORIES: Final = 40  # per child
SECONDS: Final = 60.0  # per child: a shipped policy takes two


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """`wrong`: sentences, empty when nothing was found."""

    histories: int
    hash_seeds: int
    wrong: tuple[str, ...]


def check(
    named: str, parameters: Sequence[tuple[str, Parameter]] = (), *, histories: int = HISTORIES,
    seconds: float = SECONDS, told: Callable[[str], None] = lambda text: None,
) -> Checked:  # fmt: skip
    """Try the policy `named` (or `module:Class`). Never raises for what the policy does."""
    wrong: dict[str, None] = {}
    digests: set[str] = set()
    for number, seed in enumerate(HASH_SEEDS, 1):
        digest, found = _child(named, parameters, histories, seconds, seed)
        wrong.update(dict.fromkeys(found))
        if digest is not None:
            digests.add(digest)
        told(f"{number} of {len(HASH_SEEDS)} hash seeds")
        if digest is None:
            break
    if len(digests) > 1:
        wrong["other results under another PYTHONHASHSEED: it follows the order of a set"] = None
    return Checked(histories=histories, hash_seeds=len(HASH_SEEDS), wrong=tuple(wrong))


def _child(
    named: str, parameters: Sequence[tuple[str, Parameter]], histories: int, seconds: float, seed: int
) -> tuple[str | None, list[str]]:
    command = [sys.executable, "-m", "medsync_node.policy_trial", named, json.dumps(list(parameters)), "0", str(histories)]
    environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        return None, [f"not done after {seconds:g} seconds"]
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no word"]
        return None, [f"it ended the process: {last[0]}"]
    result = json.loads(done.stdout.splitlines()[-1])
    return result["digest"], list(result["wrong"])
