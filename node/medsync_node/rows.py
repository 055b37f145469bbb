"""How records become rows and back: packed access rows, flags, checksums. The statements are store.py's."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import Any, Final

from medsync_protocol.codec import pack
from medsync_protocol.ids import ChainId, ContextId
from medsync_protocol.journal import IndexRow, OpRecord

FOLDS: Final = 1
OWN: Final = 2
_PLANE_SHIFT: Final = 8
INDEX_BITS: Final = 12  # an operation has at most 4,096 entries
_ROW: Final = struct.Struct("<HHq")  # index, kind, subject tag
_KIND_BITS: Final = 63

OP_COLUMNS: Final = "id, chain, seq, context, flags, kinds, head_crc, crc, header, signature, rows, body"
OP_COLUMN_COUNT: Final = 12


class Damaged(ValueError):
    """A row that does not give back what was written. Becomes an OperatorError where the place is known."""


def flags_of(record: OpRecord) -> int:
    """Plane, `folds` and `own` in one integer."""
    return record.plane << _PLANE_SHIFT | (FOLDS if record.folds else 0) | (OWN if record.own else 0)


def kinds_mask(kinds: Iterable[int]) -> int:
    """A set bit per kind (modulo 63: a hint that may say too much, never too little); 0: no access rows."""
    mask = 0
    for kind in kinds:
        mask |= 1 << kind % _KIND_BITS
    return mask


def pack_rows(rows: tuple[IndexRow, ...]) -> bytes:
    """Twelve bytes each, in the given order."""
    return b"".join([_ROW.pack(row.index, row.kind, row.subject_tag) for row in rows])


def unpack_rows(packed: bytes) -> list[tuple[int, int, int]]:
    """(index, kind, subject tag) of each."""
    return list(_ROW.iter_unpack(packed))


def op_columns(number: int, chain: int, context: int, record: OpRecord) -> tuple[Any, ...]:
    """The values for OP_COLUMNS."""
    head = head_crc(record)
    return (
        number, chain, record.seq, context, flags_of(record), kinds_mask({row.kind for row in record.rows}),
        head, zlib.crc32(record.body, head), record.header, record.signature, pack_rows(record.rows), record.body,
    )  # fmt: skip


def head_crc(record: OpRecord) -> int:
    """`journal.row_crc` of the record without its body: what is checked where the body isn't read."""
    place = pack([record.context, record.chain, record.seq, record.plane])
    return zlib.crc32(record.signature, zlib.crc32(record.header, zlib.crc32(place)))


def op_record(
    context: ContextId, chain: ChainId, columns: Sequence[Any]
) -> OpRecord:
    """From (seq, flags, head_crc, crc, header, signature, body); body None stays out and unchecked, as rows do.

    Raises Damaged when a checksum differs.
    """
    seq, flags, head, crc, header, signature, body = columns
    record = OpRecord(
        context, chain, seq, flags >> _PLANE_SHIFT, bool(flags & FOLDS), bool(flags & OWN), header, signature,
        body or b"",
    )  # fmt: skip
    if head_crc(record) != head or (body is not None and zlib.crc32(body, head) != crc):
        raise Damaged(f"seq {seq}")
    return record
