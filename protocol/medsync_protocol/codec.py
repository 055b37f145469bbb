"""Canonical encoding: the msgpack subset of None, bool, int, bytes, str and arrays, one encoding per value.

Decoding re-encodes and compares (PROTOCOL §11, S8), so no two byte strings mean the same. The `want_*`
functions parse fields at the edge; beyond them values are trusted.
"""

from __future__ import annotations

import hashlib
from itertools import chain
from typing import Any

import msgpack

from medsync_protocol.errors import Malformed

MAX_DEPTH = 16  # arrays within arrays: documents nest five deep, and nothing here may exhaust the stack
_SCALARS = frozenset({type(None), bool, int, bytes, str, tuple})
_TYPE_ERROR = "expected {}, got {}"


def pack(value: Any) -> bytes:
    """The one encoding of `value` (None, bool, int in −2⁶³…2⁶⁴−1, bytes, str, list or tuple of these)."""
    packed: bytes = msgpack.packb(value, use_bin_type=True)
    return packed


def unpack(data: bytes) -> Any:
    """The value whose canonical encoding is exactly `data`; arrays become tuples. Raises Malformed."""
    try:
        value = msgpack.unpackb(
            data, use_list=False, raw=False, object_pairs_hook=_no_maps, ext_hook=_no_extension
        )
    except (ValueError, msgpack.exceptions.UnpackException, RecursionError) as error:
        raise Malformed(f"not canonical msgpack: {type(error).__name__}") from error
    _want_plain(value)
    if msgpack.packb(value, use_bin_type=True) != data:
        raise Malformed("not canonical msgpack: another encoding of the same value")
    return value


def _want_plain(value: Any) -> None:
    """Floats and timestamps are msgpack, but not part of the encoding."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        if not {type(item) for item in level} <= _SCALARS:
            raise Malformed("not canonical msgpack: a type outside the encoding")
        arrays = [item for item in level if type(item) is tuple]
        if not arrays:
            return
        level = list(chain.from_iterable(arrays))
    raise Malformed(f"arrays nested deeper than {MAX_DEPTH}")


def _no_maps(pairs: Any) -> Any:
    raise ValueError("maps are not part of the encoding")


def _no_extension(code: int, data: bytes) -> Any:
    raise ValueError("extension types are not part of the encoding")


def want_bytes(value: Any, size: int | None = None, *, at_most: int | None = None) -> bytes:
    """`value` as bytes of exactly `size`, or of any length up to `at_most`. Raises Malformed."""
    if type(value) is not bytes:
        raise Malformed(_TYPE_ERROR.format("bytes", type(value).__name__))
    if size is not None and len(value) != size:
        raise Malformed(f"expected {size} bytes, got {len(value)}")
    if at_most is not None and len(value) > at_most:
        raise Malformed(f"expected at most {at_most} bytes, got {len(value)}")
    return value


def want_int(value: Any, low: int = 0, high: int = 2**63 - 1) -> int:
    """`value` as an integer in low…high; booleans are not integers here. Raises Malformed."""
    if type(value) is not int:
        raise Malformed(_TYPE_ERROR.format("an integer", type(value).__name__))
    if not low <= value <= high:
        raise Malformed(f"integer outside {low}…{high}")
    return value


def want_str(value: Any, at_most: int = 256) -> str:
    """`value` as text of at most `at_most` code points. Raises Malformed."""
    if type(value) is not str:
        raise Malformed(_TYPE_ERROR.format("text", type(value).__name__))
    if len(value) > at_most:
        raise Malformed(f"text longer than {at_most}")
    return value


def want_name(value: Any, at_most: int = 128) -> str:
    """Text that people are shown: printable, so that nobody's name moves another's terminal. Raises Malformed."""
    text = want_str(value, at_most)
    if not text.isprintable():
        raise Malformed("a name holds characters that can't be shown")
    return text


def want_bool(value: Any) -> bool:
    """`value` as a boolean. Raises Malformed."""
    if type(value) is not bool:
        raise Malformed(_TYPE_ERROR.format("a boolean", type(value).__name__))
    return value


def want_array(value: Any, size: int | None = None, *, at_most: int | None = None) -> tuple[Any, ...]:
    """`value` as an array of exactly `size`, or up to `at_most`, items. Raises Malformed."""
    if type(value) is not tuple:
        raise Malformed(_TYPE_ERROR.format("an array", type(value).__name__))
    if size is not None and len(value) != size:
        raise Malformed(f"expected {size} fields, got {len(value)}")
    if at_most is not None and len(value) > at_most:
        raise Malformed(f"expected at most {at_most} items, got {len(value)}")
    return value


def digest(*parts: bytes) -> bytes:
    """BLAKE2b-256 of the parts, concatenated. Callers put a domain first where it matters."""
    return hashlib.blake2b(b"".join(parts), digest_size=32).digest()
