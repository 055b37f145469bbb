"""Who may import whom, and what is loaded by whom: the command line and the pytest plugin stay light (DESIGN §3)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("libp2p", "starknet_py", "sympy", "fastapi", "hypercorn", "matplotlib", "polars")
CPU_LIMIT = 1.5  # seconds, as the outside check asks; usually a third of it


def loaded_by(code: str, tmp_path: Path) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after running the code, outside the checkout."""
    command = [sys.executable, "-c", f"{code}\nimport sys; print(*{{name.split('.')[0] for name in sys.modules}})"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    return set(done.stdout.splitlines()[-1].split())


def test_the_layers_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([str(linter), "--no-logo"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("module", ["medsync_node.cli", "medsync_client", "medsync_protocol", "medsync_node.testing"])
def test_importing_it_loads_nothing_heavy(module: str, tmp_path: Path) -> None:
    assert loaded_by(f"import {module}", tmp_path).isdisjoint(HEAVY)


def test_the_pytest_plugin_loads_nothing_heavy(tmp_path: Path) -> None:
    code = "import importlib.metadata as m\nfor point in m.entry_points(group='pytest11', name='medsync'): point.load()"
    assert loaded_by(code, tmp_path).isdisjoint(HEAVY)


@pytest.mark.parametrize("arguments", ["['--help']", "['--version']", "['consent', 'grant', '--help']", "['bridge', '--help']"])
def test_help_loads_nothing_heavy(arguments: str, tmp_path: Path) -> None:
    code = f"from medsync_node.cli import run\nassert run({arguments}) == 0"
    assert loaded_by(code, tmp_path).isdisjoint(HEAVY)


def test_the_command_line_starts_quickly(tmp_path: Path) -> None:
    code = "import time; began = time.process_time(); import medsync_node.cli; print(time.process_time() - began)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert float(done.stdout) < CPU_LIMIT


def test_the_protocol_reaches_for_nothing_outside_itself(tmp_path: Path) -> None:
    code = "import importlib, pkgutil, medsync_protocol as p\nfor m in pkgutil.iter_modules(p.__path__): importlib.import_module(f'medsync_protocol.{m.name}')"
    assert loaded_by(code, tmp_path).isdisjoint({*HEAVY, "trio", "sqlite3", "httpx", "medsync_node", "medsync_client", "medsync_bridge", "medsync_chain"})
