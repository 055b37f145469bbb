"""The completed corelib compiles without a word of its own, and a contract against it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.contracts.compiler import ROOT, compiler

pytestmark = pytest.mark.long  # as the other tests of the compiler
CRATES = ROOT / "contracts" / "toolchain" / "tests"


def test_the_corelib_as_the_main_crate_has_no_diagnostics(tmp_path: Path) -> None:
    """Only so does the compiler show them; there is no contract in it, and that is all it may complain of."""
    _, built = compiler()
    project = (CRATES / "corelib_as_crate" / "cairo_project.toml").read_text()
    (tmp_path / "cairo_project.toml").write_text(project.replace("../../tc/corelib", str(built / "corelib")))
    command = [str(built / "bin" / "starknet-compile"), ".", "out.json", "-c", "core::x"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    said = (done.stdout + done.stderr).splitlines()
    assert any(line.startswith("Error: Contract not found") for line in said)
    assert not [line for line in said if line.startswith(("error", "warning"))]


def test_compiling_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    compile_contracts, built = compiler()
    source = compile_contracts.Source("t1", "t1::C", crate=CRATES / "t1")
    assert compile_contracts.compile_source(built, source) == compile_contracts.compile_source(built, source)
