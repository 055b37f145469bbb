"""What is shipped: pins, licence, typed packages, data, and a wheel that runs outside the checkout (DESIGN §3)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PACKAGES = ("medsync_protocol", "medsync_node", "medsync_client", "medsync_bridge", "medsync_chain", "medsync_calimero")
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines())


def direct() -> list[Requirement]:
    """Every requirement that pyproject.toml names."""
    project = PROJECT["project"]
    extras = [line for lines in project.get("optional-dependencies", {}).values() for line in lines]
    return [Requirement(line) for line in [*project["dependencies"], *extras]]


def test_direct_requirements_are_pinned_exactly_and_as_in_the_constraints() -> None:
    for requirement in direct():
        (specifier,) = requirement.specifier
        assert specifier.operator == "==", requirement
        assert PINS[canonicalize_name(requirement.name)] == specifier.version


def test_constraints_are_versions_only_of_everything_that_is_installed_for_us() -> None:
    assert all(re.fullmatch(r"[a-z0-9-]+", name) and re.fullmatch(r"[0-9a-z.]+", pin) for name, pin in PINS.items())
    needed: set[str] = set()
    waiting = [(canonicalize_name(r.name), frozenset(r.extras)) for r in direct()]
    while waiting:
        name, extras = waiting.pop()
        needed.add(name)
        for line in requires(name) or ():
            inner = Requirement(line)
            environments = [{"extra": extra} for extra in (*extras, "")]
            if inner.marker is None or any(inner.marker.evaluate(environment) for environment in environments):
                inner_name = canonicalize_name(inner.name)
                if inner_name not in needed and inner_name != "setuptools":
                    waiting.append((inner_name, frozenset(inner.extras)))
    assert needed <= PINS.keys()
    assert {name: version(name) for name in needed} == {name: PINS[name] for name in needed}
    assert PINS.keys() <= needed, "left over"


def test_licence_changelog_and_readme_are_there() -> None:
    assert "Apache License" in (ROOT / "LICENSE").read_text("utf-8")
    assert PROJECT["project"]["version"] in (ROOT / "CHANGELOG.md").read_text("utf-8")
    readme = (ROOT / "README.md").read_text("utf-8")
    for path in re.findall(r"\]\((?!https?:|#)([^)#]+)", readme):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("script", ["setup", "demo", "test", "test-long", "check", "bench", "compile-contracts", "vectors"])
def test_scripts_can_be_run(script: str) -> None:
    assert os.access(ROOT / "scripts" / script, os.X_OK)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without a network."""
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of an interpreter that has our packages from the wheel, unpacked, and from nowhere else of ours."""
    target = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return {**os.environ, "PYTHONPATH": str(target), "PYTHONDONTWRITEBYTECODE": "1"}


def in_wheel(installed: dict[str, str], code: str, tmp_path: Path) -> str:
    """What code prints when our packages come from the wheel."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=installed, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_wheel_holds_every_package_typed_with_its_data(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for package in PACKAGES:
        assert f"{package}/py.typed" in names
    tracked = subprocess.run(["git", "ls-files", "protocol", "node", "bridge"], capture_output=True, text=True, check=True, cwd=ROOT)
    for path in tracked.stdout.split():
        inside = path.split("/", 1)[1]
        if inside.split("/")[0] in PACKAGES and (ROOT / path).exists():
            assert inside in names, inside
    assert not any(name.split("/")[0] in ("tests", "scripts", "contracts") for name in names)


def test_everything_imports_from_the_wheel(installed: dict[str, str], tmp_path: Path) -> None:
    code = "import importlib.metadata as m\nfor p in m.entry_points(group='medsync.commands'): print(p.load().__class__.__module__)\nimport medsync_node; print(medsync_node.__file__)"
    assert in_wheel(installed, code, tmp_path).splitlines()[-1].startswith(installed["PYTHONPATH"])


def test_the_demo_runs_from_the_wheel_outside_the_checkout(installed: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from medsync_node.cli import main; main()", "demo", "--once", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=installed, cwd=tmp_path, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    demo = json.loads(done.stdout)
    assert demo["ok"] and all(all(step["checks"].values()) for step in demo["steps"])
    assert {"network", "consent", "decision", "revocation", "removal", "checkpoint", "verify", "rewards"} <= {step["name"] for step in demo["steps"]}
    assert not list(tmp_path.iterdir()), "nothing is left on disk"


def test_the_version_is_the_distributions() -> None:
    try:
        assert version("medsync") == PROJECT["project"]["version"]
    except PackageNotFoundError:
        pytest.fail("medsync is not installed: run scripts/setup --test")


def test_setup_tells_its_usage_and_installs_nothing_for_a_wrong_word() -> None:
    helped, wrong = (
        subprocess.run(["bash", "scripts/setup", word], capture_output=True, text=True, cwd=ROOT, timeout=60) for word in ("--help", "--tset")
    )
    assert helped.returncode == 0 and "Usage: scripts/setup [--test]" in helped.stdout
    assert (wrong.returncode, wrong.stdout) == (2, "") and "no such option: --tset" in wrong.stderr
