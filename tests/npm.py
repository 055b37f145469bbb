"""Tools of others from npm, for development only: a test that needs one installs it into a directory of its own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

QUIET: Final = ("--no-audit", "--no-fund", "--no-package-lock")


def npm(directory: Path, *arguments: str) -> str:
    """What npm printed in this directory. Skips, visibly, where node or npm is missing."""
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            pytest.skip(reason=f"{tool} is missing: install nodejs and npm to run what others wrote")
    done = subprocess.run(["npm", *arguments], cwd=directory, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def installed(sources: Path, directory: Path) -> Path:
    """The directory with these sources in it, and the packages that their package.json pins."""
    for source in sources.iterdir():
        shutil.copy(source, directory)
    npm(directory, "install", *QUIET)
    return directory
