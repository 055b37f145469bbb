"""What the data entries of a group say: an instance made, called or deleted, a value put. Their bytes; meaning is group.py's."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from medsync_protocol.codec import pack, unpack, want_array, want_bytes, want_int, want_str
from medsync_protocol.errors import Malformed

MAX_TEXT = 192 * 1024  # bytes of JSON: with its frame inside one operation


class What(IntEnum):
    """Kinds of record. Never renumber."""

    CREATE = 1  # name: application; text: arguments of its `init`, if it has one
    CALL = 2  # name: method; text: arguments
    DELETE = 3
    PUT = 4  # name: key of the group's own table; text: JSON value, `null` takes it away


@dataclass(frozen=True, slots=True)
class Record:
    """`instance`: 32 bytes; for CREATE the open subgroup that it is made in, or empty; empty for PUT."""

    what: What
    instance: bytes
    name: str
    text: str

    def encode(self) -> bytes:
        """The entry's payload."""
        return pack([self.what, self.instance, self.name, self.text])

    @staticmethod
    def decode(payload: bytes) -> Record:
        """Raises Malformed."""
        what, instance, name, text = want_array(unpack(payload), 4)
        number = want_int(what, 1, max(What))
        held = want_bytes(instance, at_most=32)
        if len(held) not in (0, 32):
            raise Malformed("an instance is 32 bytes")
        return Record(What(number), held, want_str(name, 512), want_str(text, MAX_TEXT))
