"""How Calimero writes identifiers: base58 for contexts, applications, blobs and keys, hex for groups and accounts."""

from __future__ import annotations

from typing import Final

from medsync_calimero.answers import Answered

ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DIGITS: Final = {character: number for number, character in enumerate(ALPHABET)}
MAX_TEXT: Final = 64  # characters: 32 bytes take 44


def b58(data: bytes) -> str:
    """Bytes as base58 (Bitcoin's alphabet)."""
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = ALPHABET[digit] + text
    return ALPHABET[0] * (len(data) - len(data.lstrip(b"\0"))) + text


def from_b58(text: str, what: str) -> bytes:
    """32 bytes from base58. Raises Answered 400."""
    number = 0
    if not 0 < len(text) <= MAX_TEXT or any(character not in _DIGITS for character in text):
        raise Answered(400, f"{what} is 32 bytes in base58")
    for character in text:
        number = number * 58 + _DIGITS[character]
    if number >= 1 << 256:
        raise Answered(400, f"{what} is 32 bytes in base58")
    data = number.to_bytes(32, "big")
    if b58(data) != text:
        raise Answered(400, f"{what} is 32 bytes in base58")
    return data


def from_hex(text: object, what: str) -> bytes:
    """32 bytes from 64 hex digits. Raises Answered 400."""
    try:
        data = bytes.fromhex(text) if isinstance(text, str) else b""
    except ValueError:
        data = b""
    if len(data) != 32:
        raise Answered(400, f"{what} is 64 hex digits")
    return data
