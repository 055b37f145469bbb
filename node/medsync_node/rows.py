"""How records become rows and back: packed access rows, flags, checksums. The statements are store.py's."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import Any, Final

from medsync_protocol.codec import pack
from medsync_protocol.errors import Malformed
from medsync_protocol.ids import ChainId, ContextId
from medsync_protocol.journal import IndexRow, OpRecord
from medsync_protocol.operation import decode_header

FOLDS: Final = 1
OWN: Final = 2
_PLANE_SHIFT: Final = 8
INDEX_BITS: Final = 12  # an operation has at most 4,096 entries
_ROW: Final = struct.Struct("<HHq")  # index, kind, subject tag
_SIDE: Final = struct.Struct("<qqq")  # flags, kinds, moment
_KIND_BITS: Final = 63
MOMENT_MAX: Final = 2**62 - 1  # a time of the year 4,000,000: what SQLite's integers and positions made of it hold

OP_COLUMNS: Final = "id, chain, seq, context, flags, kinds, head_crc, crc, header, signature, rows, body, moment, side_crc"
OP_COLUMN_COUNT: Final = 14
RECORD_COLUMNS: Final = "seq, flags, head_crc, crc, header, signature, body"
"""What `op_record` reads."""


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
    head, flags, kinds = head_crc(record), flags_of(record), kinds_mask({row.kind for row in record.rows})
    rows, moment = pack_rows(record.rows), moment_of(record.header)
    return (
        number, chain, record.seq, context, flags, kinds, head, zlib.crc32(record.body, head), record.header,
        record.signature, rows, record.body, moment, side_crc(flags, kinds, rows, moment),
    )  # fmt: skip


def moment_of(header: bytes) -> int:
    """When its author wrote it (`Header.hlc`), by which the log is ordered; 0 for a header that can't be read."""
    try:
        return min(decode_header(header).hlc, MOMENT_MAX)
    except Malformed:
        return 0


def side_crc(flags: int, kinds: int, rows: bytes, moment: int) -> int:
    """Of what stands beside an operation, and can change without it."""
    return zlib.crc32(rows, zlib.crc32(_SIDE.pack(flags, kinds, moment)))


def value_crc(at: int, name: str, context: bytes, key: bytes, secret: int, value: bytes) -> int:
    """Of a named value as it is stored, at its place."""
    return zlib.crc32(value, zlib.crc32(pack([at, name, context, key, int(secret)])))


def check_value(crc: int, *columns: Any) -> None:
    """Of the columns that `value_crc` takes. Raises Damaged."""
    try:
        whole = value_crc(*columns) == crc
    except TypeError:  # SQLite gives back what the page says, whatever the column's type
        whole = False
    if not whole:
        raise Damaged(f"a value of the table {columns[1]!r} fails its checksum")


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
    try:
        record = OpRecord(
            context, chain, seq, flags >> _PLANE_SHIFT, bool(flags & FOLDS), bool(flags & OWN), header, signature,
            body or b"",
        )  # fmt: skip
        whole = head_crc(record) == head and (body is None or zlib.crc32(body, head) == crc)
    except (TypeError, OverflowError):  # SQLite gives back what the page says, whatever the column's type
        whole = False
    if not whole:
        raise Damaged(f"an operation's row fails its checksum, seq {seq}")
    return record
