"""Membership policies of others: the documented example installs, founds, checks; a bad one is found out."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from medsync_node import policy_check
from medsync_node.policies import BadPolicy, installed, loaded, offer
from medsync_protocol.policy import SHIPPED

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "protocol" / "writing-a-policy.md").read_text("utf-8")
IMPORTS = """
from medsync_protocol.actions import Action
from medsync_protocol.ruling import Allow, Deny, Rules
"""
BAD = {
    "order": ("another PYTHONHASHSEED", "def rule(self, state, author, action): return Allow() if next(iter({'a', 'b', 'c', 'd'})) in 'ab' else Deny('odd')"),
    "memory": ("answers twice", "def rule(self, state, author, action):\n        self.n = getattr(self, 'n', 0) + 1\n        return Deny('odd') if self.n % 2 else Allow()"),
    "touch": ("fails on", "def rule(self, state, author, action):\n        state.voter_keys[author] = 1; state.members.pop(author, None)\n        return Allow()"),
    "fails": ("fails on", "def rule(self, state, author, action): raise RuntimeError"),
    "stuck": ("not done", "def genesis(self, action):\n        while True: pass"),
    "clock": ("imports time", "def rule(self, state, author, action):\n        import time\n        return Allow()"),
    "ends": ("ended the process", "def rule(self, state, author, action): raise SystemExit(3)"),
}  # fmt: skip


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The example of the page, installed as a package is."""
    code, toml = re.findall(r"```(?:python|toml)\n(.*?)```", PAGE, re.S)
    assert len(code.splitlines()) <= 30, "an example fits a page"
    (tmp_path / "peers.py").write_text(code, "utf-8")
    info = tmp_path / "peers-1.0.dist-info"
    info.mkdir()
    group, entry = re.findall(r'entry-points\."(.*?)"\]\n(.*)', toml)[0]
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: peers\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text(f"[{group}]\n{entry.replace(chr(34), '')}\n", "utf-8")
    return tmp_path


def medsync(folder: Path, *arguments: str) -> tuple[int, dict[str, object]]:
    """Exit code and the one JSON object."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-c", "import sys; from medsync_node.cli import main; sys.exit(main())", "policy", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=120)
    return done.returncode, json.loads(done.stdout)


def test_the_documented_example_is_broken_by_the_attack_that_the_page_prints(package: Path) -> None:
    command = re.findall(r"^medsync (simulate run .*)$", PAGE, re.M)[0].split()
    environment = {**os.environ, "PYTHONPATH": str(package)}
    code = "import sys; from medsync_node.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, *command], capture_output=True, text=True, env=environment, check=False, timeout=120
    )
    printed = next(line for line in done.stdout.splitlines() if line.startswith("attacker: "))
    assert done.returncode == 0 and printed in PAGE.replace("\n", " ")


def test_the_documented_example_is_listed_shown_and_passes_the_check(package: Path) -> None:
    code, listed = medsync(package, "list")
    names = [one["name"] for one in listed["policies"]]  # type: ignore[attr-defined]
    assert code == 0 and names == [*SHIPPED, "peers"]
    code, shown = medsync(package, "show", "peers", "--parameter", "expiry=4")
    assert (code, shown["origin"], shown["vote_checkpoints"]) == (0, "installed", 4)
    assert re.fullmatch("[0-9a-f]{64}", str(shown["hash"]))
    code, checked = medsync(package, "check", "peers", "--histories", "8")
    assert (code, checked["wrong"]) == (0, []), checked


def test_the_examples_hash_follows_its_text(package: Path) -> None:
    before = medsync(package, "show", "peers")[1]["hash"]
    text = (package / "peers.py").read_text("utf-8")
    (package / "peers.py").write_text(text + "\n# changed\n", "utf-8")
    assert medsync(package, "show", "peers")[1]["hash"] != before


@pytest.mark.parametrize("name", ["k_of_n", "founder", "forward_only"])
def test_shipped_policies_pass(name: str) -> None:
    assert policy_check.check(name, histories=5).wrong == ()


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_policy_is_found_out(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, body = BAD[name]
    module = f"bad_{name}"
    (tmp_path / f"{module}.py").write_text(f"{IMPORTS}\nclass Bad(Rules):\n    name = 'bad'\n    {body}\n", "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    seconds = 3 if name == "stuck" else 60
    wrong = policy_check.check(f"{module}:Bad", histories=12, seconds=seconds).wrong
    assert any(expected in sentence for sentence in wrong), wrong


def test_an_entry_point_that_leads_nowhere_is_told_with_advice() -> None:
    with pytest.raises(BadPolicy) as bad:
        loaded("no_such_module:Policy")
    assert bad.value.advice
    with pytest.raises(BadPolicy, match="no membership policy"):
        offer(dict)
    assert set(SHIPPED) <= set(installed().offers)
