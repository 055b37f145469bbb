"""The purpose tree is HL7's, and stays so."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from medsync_protocol import purpose_tree
from medsync_protocol.purposes import ANCESTORS, EMERGENCY, ROOT, contains, is_known, overlaps

ROOT_FOLDER = Path(__file__).resolve().parents[2]


def test_codes_lie_where_hl7_puts_them() -> None:
    assert contains("TREAT", "BTG") and contains("ETREAT", "BTG") and contains(ROOT, "BTG")
    assert contains("HRESCH", "CLINTRCHPC") and not contains("CLINTRCHPC", "HRESCH")
    assert not contains("TREAT", "HRESCH") and contains("TREAT", "CLINTRL")
    assert overlaps("BTG", "TREAT") and overlaps("TREAT", "BTG") and not overlaps("HMARKT", "HPAYMT")
    assert is_known("HMARKT") and not is_known("hmarkt") and not is_known("")
    assert all(code in ANCESTORS for code in EMERGENCY)


def test_every_line_ends_at_the_root() -> None:
    assert all(ROOT in line and code in line for code, line in ANCESTORS.items())
    assert len(ANCESTORS) == len(purpose_tree.PARENTS) + 1 == 63


def test_the_generated_tree_is_what_the_package_holds() -> None:
    if shutil.which("npm") is None:
        pytest.skip(reason="npm is not installed: the tree can't be regenerated")
    script = ROOT_FOLDER / "scripts" / "generate-purposes"
    made = subprocess.run(
        [sys.executable, script, "--print"], capture_output=True, text=True, timeout=300, check=False
    )
    if "CalledProcessError" in made.stderr or "TimeoutExpired" in made.stderr:
        pytest.skip(reason="the npm registry is out of reach: the tree can't be regenerated")
    assert made.returncode == 0, made.stderr
    assert made.stdout == Path(purpose_tree.__file__).read_text(encoding="utf-8")
