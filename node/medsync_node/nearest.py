"""What a caller may have meant by a name that nobody has: the nearest known ones. Names of members and contexts only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

FEW: Final = 6  # names: so many are told outright, of more only those that resemble
CLOSE: Final = 0.6  # of difflib's ratio: a letter or two off


def nearest(named: str, known: Iterable[str]) -> str:
    """`perhaps lakeside`, or the few names that there are; empty where neither helps."""
    import difflib

    names = sorted(set(known))
    lower = {name.lower(): name for name in names}
    found = [lower[one] for one in difflib.get_close_matches(named.lower(), lower, n=3, cutoff=CLOSE)]
    if found:
        return f"perhaps {' or '.join(found)}"
    return f"known here: {', '.join(names)}" if 0 < len(names) <= FEW else ""
