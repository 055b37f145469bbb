"""The purpose tree: which HL7 v3 PurposeOfUse code lies below which, and how fresh each must be decided.

The tree itself is generated (`purpose_tree.py`); matching rules against requests is `decision.py`'s.
Source: HL7 v3 value set PurposeOfUse; classes of freshness: PROTOCOL §7.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from medsync_protocol.purpose_tree import PARENTS, TREE_VERSION

ROOT: Final = "PurposeOfUse"
TREATMENT: Final = "TREAT"
EMERGENCY: Final = frozenset({"ETREAT", "BTG"})
"""Purposes of break-glass: never rewarded (PROTOCOL §9)."""


def _line(code: str) -> frozenset[str]:
    found = {code}
    while code in PARENTS:
        code = PARENTS[code]
        found.add(code)
    return frozenset(found)


ANCESTORS: Final[Mapping[str, frozenset[str]]] = {code: _line(code) for code in (ROOT, *PARENTS)}
"""Every code with itself and all codes above it."""

__all__ = ["ANCESTORS", "EMERGENCY", "ROOT", "TREATMENT", "TREE_VERSION", "contains", "is_known", "overlaps"]


def is_known(code: str) -> bool:
    """True for a code of the tree, its root included."""
    return code in ANCESTORS


def contains(ancestor: str, code: str) -> bool:
    """True when `code` is `ancestor` or lies below it. Raises KeyError for a code the tree doesn't know."""
    return ancestor in ANCESTORS[code]


def overlaps(one: str, other: str) -> bool:
    """True when some use falls under both: in a tree, when one contains the other."""
    return one in ANCESTORS[other] or other in ANCESTORS[one]
