"""For all tests: examples of properties don't depend on the machine's load, nor on luck unless asked for.

MEDSYNC_EXAMPLES=random draws new examples; scripts/test-long does so.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("random", deadline=None)
settings.load_profile(os.environ.get("MEDSYNC_EXAMPLES", "same"))
