"""What a disk keeps: records, their framing with CRC, and the restart guard. Where the bytes lie is the store's.

A store commits lists of records atomically and in order, and gives them back in that order (`ports.Journal`).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from enum import Enum

from medsync_protocol.codec import pack, unpack, want_array, want_bool, want_bytes, want_int, want_str
from medsync_protocol.errors import Malformed
from medsync_protocol.ids import ChainId, ContextId

_OP, _VALUE, _REWIND = 1, 2, 3
_ROW_BOUNDS = ((0, 0, -(2**63)), (4095, 65535, 2**63 - 1))  # least and largest index, kind, subject tag


@dataclass(frozen=True, slots=True)
class IndexRow:
    """Where an access entry or receipt stands, for queries: `subject_tag` is a keyed hash, signed 64 bit."""

    index: int
    kind: int
    subject_tag: int


@dataclass(frozen=True, slots=True)
class OpRecord:
    """One operation as held. A second record for the same (context, chain, seq) replaces the body (pruned, or filled)."""

    context: ContextId
    chain: ChainId
    seq: int
    plane: int
    folds: bool  # its body must be read again at start: membership, keys, and entries held in memory
    own: bool  # written here: committed durably before it is sent
    header: bytes
    signature: bytes
    body: bytes
    rows: tuple[IndexRow, ...] = ()
    replaces: bool = False


@dataclass(frozen=True, slots=True)
class ValueRecord:
    """A named value: `value` None deletes it. `secret` ones are sealed by the store under the home's storage key."""

    table: str
    context: ContextId
    key: bytes
    value: bytes | None
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Rewind:
    """Operations of a chain from `first` on are held no more: a forked chain was accepted with its other branch."""

    context: ContextId
    chain: ChainId
    first: int


Kept = OpRecord | ValueRecord
"""What a store gives back."""
Record = Kept | Rewind


def frame(record: Record) -> bytes:
    """The record's bytes for an append-only disk: CRC-32 (4) ‖ length (4) ‖ canonical encoding."""
    data = pack(_fields(record))
    return zlib.crc32(data).to_bytes(4, "big") + len(data).to_bytes(4, "big") + data


def recover(log: bytes) -> tuple[list[Record], int]:
    """Records of the longest intact prefix and its length; a torn or rotten tail is left out, never guessed."""
    records: list[Record] = []
    at = 0
    while at + 8 <= len(log):
        size = int.from_bytes(log[at + 4 : at + 8], "big")
        data = log[at + 8 : at + 8 + size]
        if len(data) < size or zlib.crc32(data).to_bytes(4, "big") != log[at : at + 4]:
            break
        records.append(_record(unpack(data)))
        at += 8 + size
    return records, at


def row_crc(record: OpRecord) -> int:
    """CRC-32 over everything an operation's row must give back unchanged."""
    head = pack([record.context, record.chain, record.seq, record.plane])
    return zlib.crc32(record.body, zlib.crc32(record.signature, zlib.crc32(record.header, zlib.crc32(head))))


def _fields(record: Record) -> list[object]:
    match record:
        case OpRecord():
            rows = [[row.index, row.kind, row.subject_tag] for row in record.rows]
            return [
                _OP, record.context, record.chain, record.seq, record.plane, record.folds, record.own,
                record.header, record.signature, record.body, rows, record.replaces,
            ]  # fmt: skip
        case ValueRecord():
            return [_VALUE, record.table, record.context, record.key, record.value, record.secret]
        case Rewind():
            return [_REWIND, record.context, record.chain, record.first]


def _record(value: object) -> Record:
    fields = want_array(value)
    if fields[:1] == (_OP,):
        _, context, chain, seq, plane, folds, own, header, signature, body, rows, replaces = want_array(
            fields, 12
        )
        return OpRecord(
            ContextId(want_bytes(context, 32)), ChainId(want_bytes(chain, 40)), want_int(seq), want_int(plane),
            want_bool(folds), want_bool(own), want_bytes(header), want_bytes(signature, 64), want_bytes(body),
            tuple(IndexRow(*map(want_int, want_array(row, 3), *_ROW_BOUNDS)) for row in want_array(rows)),
            want_bool(replaces),
        )  # fmt: skip
    if fields[:1] == (_VALUE,):
        _, table, context, key, content, secret = want_array(fields, 6)
        return ValueRecord(
            want_str(table), ContextId(want_bytes(context, 32)), want_bytes(key),
            None if content is None else want_bytes(content), want_bool(secret),
        )  # fmt: skip
    if fields[:1] == (_REWIND,):
        _, context, chain, first = want_array(fields, 4)
        return Rewind(ContextId(want_bytes(context, 32)), ChainId(want_bytes(chain, 40)), want_int(first))
    raise Malformed("a record of unknown type")


class Restart(Enum):
    """Whether a starting node may go on with its chain."""

    CONTINUE = "continue"
    NEW_INCARNATION = "new incarnation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """Facts that show whether a database is the one that this home last wrote."""

    file_identity: bytes  # of the database file (device and inode): a restored copy has another
    incarnation: bytes
    next_seq: int  # at least this many of the chain's seqs were used


def may_continue(held: Guard | None, now: Guard) -> Restart:
    """CONTINUE only when the database is the same file, incarnation, and no shorter than it is known to have been.

    A restored backup starts a new incarnation, so that a (chain, seq) is never used twice (PROTOCOL §1, S6).
    """
    if held is None or held.file_identity != now.file_identity or held.incarnation != now.incarnation:
        return Restart.NEW_INCARNATION
    return Restart.CONTINUE if now.next_seq >= held.next_seq else Restart.NEW_INCARNATION
