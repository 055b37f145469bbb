"""Compiles the lx contracts once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.contracts.compiler import ROOT, compiler
from tests.contracts.toolchain.world import World

CRATE = ROOT / "contracts" / "toolchain" / "tests" / "lx"
PATHS = {
    "token": "lx::erc20::Token",
    "router": "lx::erc20::Router",
    "store": "lx::store::Store",
    "lang": "lx::lang::Lang",
}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """NAME.sierra.json and NAME.casm.json of each."""
    compile_contracts, built = compiler()
    made = tmp_path_factory.mktemp("lx")
    sources = [compile_contracts.Source(name, path, crate=CRATE) for name, path in PATHS.items()]
    with ThreadPoolExecutor(max_workers=2) as pool:
        for files in pool.map(lambda source: compile_contracts.compile_source(built, source), sources):
            for name, data in files.items():
                (made / name).write_bytes(data)
    return made


@pytest.fixture
def world(folder: Path) -> World:
    """Fresh contracts."""
    return World(folder)
