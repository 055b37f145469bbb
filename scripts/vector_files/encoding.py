"""Numbers on the wire, and the canonical encoding."""

from __future__ import annotations

from typing import Any

from medsync_protocol import (
    consent_map,
    kinds,
)  # fmt: skip
from medsync_protocol.codec import pack

from scripts.vector_files.cast import (
    vector,
)


@vector
def numbers() -> Any:
    """Every number on the wire; none is ever given another meaning."""
    enums = [kinds.Plane, kinds.OpKind, kinds.EntryKind, kinds.Audience, kinds.Role, kinds.Verdict, consent_map.Status]
    return {enum.__name__: {item.name: int(item) for item in enum} for enum in enums}


@vector
def encoding() -> Any:
    """Values with their one encoding, and bytes that are refused."""
    values: list[Any] = [
        None, False, True, 0, 127, 128, 255, 256, 65535, 65536, 2**32, 2**63 - 1, 2**64 - 1, -1, -32, -33, -(2**63),
        b"", b"\x00", b"b" * 255, b"b" * 256, "", "text", "ü", "t" * 32, [], [1, [b"x", None]], [0] * 16,
    ]  # fmt: skip
    refused = {
        "an integer with a longer prefix than needed": "cc05", "bytes with a longer prefix than needed": "c5000161",
        "a map": "8101c0", "a float": "cb3ff8000000000000", "a timestamp": "d6ff00000001", "an extension": "d40100",
        "a byte after the value": "c0c0", "nothing": "", "an array cut short": "92c0", "text that is not UTF-8": "a1ff",
        "arrays nested too deep": "91" * 40 + "c0",
    }  # fmt: skip
    return {"accepted": [{"value": _plain(v), "bytes": pack(v).hex()} for v in values], "refused": refused}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return {"int": str(value)} if type(value) is int else value
