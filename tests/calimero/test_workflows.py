"""merobox's own runner, unmodified, against nodes of ours: twelve workflows that developers of Calimero would write."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.calimero import merobox

ROOT = Path(__file__).resolve().parents[2]
QUICK = {"restricted_subgroup": 3, "kick_and_add_again": 2}
LONG = {
    "roles_and_capabilities": 2, "late_joiner": 3, "leave": 2, "down_and_back": 3, "eight_nodes": 8, "login": 1, "blobs": 2,
    "consent": 2,
}  # fmt: skip


def passes(name: str, directory: Path, nodes: int) -> None:
    ran = merobox.run(name, directory, nodes)
    assert ran.status == 0, ran.output[-3000:]
    assert "completed successfully" in ran.output


def test_the_readmes_five_commands_run_the_first(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    found = re.search(r"```sh\n(.*?)```", text[text.index("## Coming from Calimero") :], re.DOTALL)
    assert found is not None
    install, environment, *typed = [line.split("   #")[0].strip() for line in found[1].strip().splitlines()]
    assert install == "pip install ." and version("medsync"), "what is installed is this checkout"
    assert environment.endswith(f"pip install -q --no-deps -r {merobox.REQUIREMENTS.relative_to(ROOT)}")
    (tmp_path / "merobox").symlink_to(merobox.environment().parent)
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    assert len(typed) == 3
    for line in typed:
        ran = merobox.typed(line, tmp_path, nodes=2)
        assert ran.status == 0, ran.output[-3000:]
    assert "completed successfully" in ran.output


@pytest.mark.parametrize("name", QUICK)
def test_a_workflow_passes(name: str, tmp_path: Path) -> None:
    passes(name, tmp_path, QUICK[name])


@pytest.mark.long
@pytest.mark.parametrize("name", LONG)
def test_a_longer_workflow_passes(name: str, tmp_path: Path) -> None:
    passes(name, tmp_path, LONG[name])


@pytest.mark.long
def test_a_workflow_that_must_fail_does(tmp_path: Path) -> None:
    ran = merobox.run("must_fail", tmp_path, 1)
    assert ran.status != 0 and "'a is right' failed" in ran.output, ran.output[-2000:]


def test_all_twelve_are_run() -> None:
    found = {path.stem for path in (Path(__file__).parent / "workflows").glob("*.yml")}
    assert found == {*QUICK, *LONG, "key_value", "must_fail"} and len(found) == 12


@pytest.mark.long
def test_the_bench_prints_what_the_guide_shows() -> None:
    done = subprocess.run([sys.executable, "-m", "scripts.benchmarks", "calimero"], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert all(rate > 0 for rate in printed["calls_per_second_by_clients"].values())
    assert set(printed["calls_per_second_by_clients"]) == {"1", "8"}
    text = (ROOT / "node" / "coming-from-calimero.md").read_text("utf-8")
    for what in ("1 client", "8 clients", "after the last of 1,000 calls", "after one call"):
        assert re.search(rf"\| [^|]*{what} \| [\d,]+", text), what
