"""`medsync app check` finds what makes members disagree, and passes what doesn't: the shipped one and the guide's."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from medsync_node.app_trial import trial

GUIDE = Path(__file__).resolve().parents[2] / "protocol" / "writing-an-application.md"
HEAD = """
import random
import time
from typing import ClassVar
from medsync_protocol.applications import App, Method


class Mine(App):
    name = "mine"
    abi: ClassVar = {"do": Method("do it", changes=True), "see": Method("see it")}
    kept = 0

    def query(self, state, method, arguments):
        return dict(state)

    def fold(self, state, call):
"""
CASES = {
    "clock": ("state['at'] = time.time_ns()", "folded again"),
    "randomness": ("state['at'] = random.random()", "folded again"),
    "memory": ("self.kept += 1; state['n'] = self.kept", "folded again"),
    "fault": ("state['n'] = 1 // 0", "ZeroDivisionError"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_no_function_of_its_arguments_is_found(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body, words = CASES[case]
    (tmp_path / f"mine_{case}.py").write_text(f"{HEAD}        {body}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert any(words in sentence for sentence in trial(f"mine_{case}:Mine", 0, 2)[1])


def checked(directory: Path, *arguments: str) -> tuple[int, Any]:
    command = [str(Path(sys.executable).with_name("medsync")), "app", "check", *arguments, "--histories", "1", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(directory)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


def test_the_guides_application_passes_and_the_order_of_a_set_does_not(tmp_path: Path) -> None:
    found = re.search(r"```python\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    assert found is not None
    (tmp_path / "polls.py").write_text(found[1])
    status, result = checked(tmp_path, "polls:Polls")
    assert (status, result["passed"], result["wrong"], result["hash_seeds"]) == (0, True, [], 8)
    (tmp_path / "sets.py").write_text(f"{HEAD}        state['first'] = next(iter({{'a', 'b', 'c', 'd', 'e'}}))\n")
    status, result = checked(tmp_path, "sets:Mine")
    assert status == 1 and "PYTHONHASHSEED" in result["wrong"][-1]
    status, words = checked(tmp_path, "nothing")
    assert status == 1 and "app list" in str(words)
