"""The Cairo compiler for tests, where it can be had; elsewhere they are skipped and say why."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "cairo"


def script() -> Any:
    """scripts/compile-contracts as a module."""
    loader = importlib.machinery.SourceFileLoader(
        "compile_contracts", str(ROOT / "scripts" / "compile-contracts")
    )
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[loader.name] = module
    loader.exec_module(module)
    return module


def compiler() -> tuple[Any, Path]:
    """(the script, the compiler's folder); skips the test where there is none."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        pytest.skip(reason="the Cairo compiler's binaries are for Linux x86-64")
    compile_contracts = script()
    try:
        return compile_contracts, compile_contracts.toolchain(CACHE)
    except subprocess.CalledProcessError:
        pytest.skip(reason="the Cairo compiler is not here yet and no package registry is in reach")
