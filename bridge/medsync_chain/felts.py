"""Field elements as text and back: hex, short strings, and panics as a person reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from medsync_chain.vm.field import FIELD_PRIME

__all__ = ["describe", "from_hex", "short", "short_text", "to_hex"]

_HEX = re.compile(r"0[xX][0-9a-fA-F]{1,64}")
_MAX_SHORT = 31  # characters of a short string
_BYTE_ARRAY = 0x46A6158A16A947E5916B2A2CA68501A45E93D7110E81AA2D6438B1C57C879A3  # how a string panic begins
_WORD_BYTES = 31
_SHOWN_FELTS = 64  # of a panic; the rest is counted


def to_hex(value: int) -> str:
    """The JSON-RPC form of a felt or a number."""
    return hex(value)


def from_hex(text: str, limit: int = FIELD_PRIME) -> int:
    """A number below the limit, from its JSON-RPC form. Raises ValueError."""
    if not isinstance(text, str) or _HEX.fullmatch(text) is None:
        raise ValueError(f"not a hexadecimal number: {str(text)[:80]!r}")
    value = int(text, 16)
    if value >= limit:
        raise ValueError(f"too large: {text}")
    return value


def short(text: str) -> int:
    """A short string as a felt. Raises ValueError beyond 31 ASCII characters."""
    if len(text) > _MAX_SHORT:
        raise ValueError(f"a short string has at most {_MAX_SHORT} characters: {text!r}")
    return int.from_bytes(text.encode("ascii"), "big")


def short_text(value: int) -> str | None:
    """The printable short string that this felt spells, if it does."""
    spelt = value.to_bytes(32, "big").lstrip(b"\0")
    return spelt.decode("ascii") if spelt and all(32 <= byte < 127 for byte in spelt) else None


def describe(panic: Sequence[int]) -> str:
    """A panic's felts: hex, with what they spell; long strings as one."""
    shown = list(_parts(panic[:_SHOWN_FELTS]))
    if len(panic) > _SHOWN_FELTS:
        shown.append(f"… {len(panic) - _SHOWN_FELTS} more")
    return shown[0] if len(shown) == 1 else f"({', '.join(shown)})"


def _parts(panic: Sequence[int]) -> Iterator[str]:
    at = 0
    while at < len(panic):
        string = _byte_array(panic, at)
        if string is not None:
            text, at = string
            yield text
            continue
        spelt = short_text(panic[at])
        yield to_hex(panic[at]) + (f" ('{spelt}')" if spelt else "")
        at += 1


def _byte_array(panic: Sequence[int], at: int) -> tuple[str, int] | None:
    """A serialized ByteArray at this place, and the place behind it."""
    if panic[at] != _BYTE_ARRAY or at + 4 > len(panic):
        return None
    count = panic[at + 1]
    end = at + 4 + count
    if end > len(panic) or panic[end - 1] >= _WORD_BYTES:
        return None
    pending, length = panic[end - 2], panic[end - 1]
    words = panic[at + 2 : end - 2]
    if any(word >> (8 * _WORD_BYTES) for word in words) or pending >> (8 * length):
        return None
    spelt = b"".join(word.to_bytes(_WORD_BYTES, "big") for word in words) + pending.to_bytes(length, "big")
    return f'"{spelt.decode("utf-8", "replace")}"', end
