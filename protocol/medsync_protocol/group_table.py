"""What may stand in a group's own table: the keys, and the shape of each one's value. Who may write it is capabilities.py's."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

MAX_PIECES: Final = 1_024  # of a blob: 192 MiB
_ID: Final = "[0-9a-f]{64}"
_CHAIN: Final = re.compile("[0-9a-f]{80}")


def _bits(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 32


def _metadata(value: Any) -> bool:
    return (
        isinstance(value, dict) and value.keys() == {"name", "data"} and isinstance(value["name"], str | None)
        and isinstance(value["data"], dict) and all(isinstance(text, str) for text in value["data"].values())
    )  # fmt: skip


def _subgroup(value: Any) -> bool:
    return (
        isinstance(value, dict) and value.keys() == {"visibility", "parent"} and value["visibility"] in ("open", "restricted")
        and isinstance(value["parent"], str) and re.fullmatch(_ID, value["parent"]) is not None
    )  # fmt: skip


def _blob(value: Any) -> bool:
    if not isinstance(value, dict) or value.keys() != {"size", "pieces"} or type(value["size"]) is not int:
        return False
    pieces = value["pieces"]
    return isinstance(pieces, list) and len(pieces) <= MAX_PIECES and all(map(_piece, pieces))


def _piece(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != 2 or not isinstance(value[0], str) or type(value[1]) is not int:
        return False
    return _CHAIN.fullmatch(value[0]) is not None and value[1] >= 0


def _flags(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"autoFollowContexts", "autoFollowSubgroups"} and all(type(v) is bool for v in value.values())


SHAPES: Final[tuple[tuple[re.Pattern[str], Callable[[Any], bool]], ...]] = (
    (re.compile("capabilities"), _bits),
    (re.compile(f"capabilities/{_ID}"), _bits),
    (re.compile("metadata"), _metadata),
    (re.compile(f"metadata/(group|context|member)/{_ID}"), _metadata),
    (re.compile(f"follow/{_ID}"), _flags),
    (re.compile(f"subgroup/{_ID}"), _subgroup),
    (re.compile(f"blob/{_ID}"), _blob),
    (re.compile("visibility"), lambda value: value in ("open", "restricted")),
    (re.compile("deleted"), lambda value: value is True),
)
"""(key, whether a value may stand there)."""


def may_stand(key: str, value: Any) -> bool:
    """Whether a value may be put under a key; None takes it away."""
    return any(pattern.fullmatch(key) and (value is None or fits(value)) for pattern, fits in SHAPES)
