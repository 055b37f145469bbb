"""For all tests: examples of properties don't depend on the machine's load, nor on luck unless asked for.

MEDSYNC_EXAMPLES=random draws new examples; scripts/test-long does so.
"""

from __future__ import annotations

import os
import sys

import pytest
from hypothesis import settings

RECURSION = 1_000  # the interpreter's; py_ecc, which some key files load, raises it until deep JSON ends the process

settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("random", deadline=None)
settings.load_profile(os.environ.get("MEDSYNC_EXAMPLES", "same"))


@pytest.fixture(autouse=True)
def recursion_limit() -> None:
    """The interpreter's own, whatever a library that an earlier test loaded made of it."""
    sys.setrecursionlimit(RECURSION)
