"""The lines of an audit export: encodes and decodes them. Who writes which, and what they prove, is told elsewhere.

NDJSON, UTF-8, one JSON object a line. The first is the header; then every held operation of the context, all
planes, chain by chain in order of seq; then one line per accepted checkpoint from k = 1, in order of k. Ids and
wire forms are lower-case hex, felts hex with 0x. Readers ignore keys they don't know.

    {"medsync": "audit-export", "version": 1, "network": …, "context": …, "genesis": …, "address": … or null}
    {"chain": …, "seq": 0, "op": …, "wire": …}
    {"k": 1, "statement": [11 felts], "cut": [[chain, count, head op], …], "verdicts": [[chain, seq, verdict], …]}

`cut` has every chain with an operation at or below the cut, chains ascending: the first `count` operations of it,
of which `head` is the last. `verdicts` has the operations that this cut adds and that are not effective.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, TextIO

from medsync_protocol.errors import Malformed
from medsync_protocol.ids import ChainId, ContextId, NetworkId, OpId
from medsync_protocol.kinds import Verdict
from medsync_protocol.operation import MAX_OP_BYTES
from medsync_protocol.statement import Statement

FORMAT: Final = "audit-export"
VERSION: Final = 1
MAX_LINE: Final = 64 * MAX_OP_BYTES  # characters: a checkpoint of 65,536 chains or void operations
_CHAIN_BYTES, _ID_BYTES = 40, 32


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportHeader:
    """`genesis` is the digest the context was opened with on chain; `address` where, None when it never was."""

    network: NetworkId
    context: ContextId
    genesis: bytes
    address: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedOperation:
    """One operation as it is held and served, entries pruned or not."""

    chain: ChainId
    seq: int
    op_id: OpId
    wire: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedCheckpoint:
    """An accepted checkpoint: cut as {chain: (count, head)}, and the verdicts that are not `effective`."""

    statement: Statement
    cut: dict[ChainId, tuple[int, OpId]]
    verdicts: dict[tuple[ChainId, int], Verdict] = field(default_factory=dict)


Line = ExportHeader | ExportedOperation | ExportedCheckpoint


def encode_line(line: Line) -> str:
    """One line, without its newline; the same for the same content."""
    return json.dumps(_document(line), separators=(",", ":"))


def decode_line(text: str) -> Line:
    """What `encode_line` encodes. Raises Malformed."""
    if len(text) > MAX_LINE:
        raise Malformed(f"a line of an audit export has at most {MAX_LINE} characters")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Malformed("a line of an audit export is not JSON") from error
    if not isinstance(document, dict):
        raise Malformed("a line of an audit export is a JSON object")
    if "medsync" in document:
        return _header(document)
    return _checkpoint(document) if "k" in document else _operation(document)


def open_export(path: Path) -> TextIO:
    """The file's text, unpacked when its name ends in .gz. Bytes that are no UTF-8 make their line malformed."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", errors="replace")
    return path.open(encoding="utf-8", errors="replace")


def lines_of(file: TextIO) -> Iterator[str]:
    """The lines, never more than MAX_LINE of one in memory. Raises Malformed when the file is damaged."""
    try:
        yield from iter(partial(file.readline, MAX_LINE + 2), "")
    except (OSError, EOFError, zlib.error) as error:
        raise Malformed(f"the file can't be read to its end: {error}") from error


def read_export(lines: Iterable[str]) -> Iterator[Line]:
    """All lines in their order: one header, operations, checkpoints. Raises Malformed, naming the line."""
    stage: type[Line] | None = None
    number = 0
    for number, text in enumerate(lines, 1):
        try:
            line = decode_line(text.rstrip("\n"))
        except Malformed as error:
            raise Malformed(f"line {number}: {error}") from error
        if type(line) not in _FOLLOWS[stage]:
            raise Malformed(f"line {number}: an audit export is a header, then operations, then checkpoints")
        stage = type(line)
        yield line
    if not number:
        raise Malformed("the audit export is empty")


_FOLLOWS: Final[dict[type[Line] | None, tuple[type[Line], ...]]] = {
    None: (ExportHeader,),
    ExportHeader: (ExportedOperation, ExportedCheckpoint),
    ExportedOperation: (ExportedOperation, ExportedCheckpoint),
    ExportedCheckpoint: (ExportedCheckpoint,),
}


def _document(line: Line) -> dict[str, Any]:
    match line:
        case ExportHeader():
            return {
                "medsync": FORMAT, "version": VERSION, "network": line.network.hex(),
                "context": line.context.hex(), "genesis": line.genesis.hex(), "address": line.address,
            }  # fmt: skip
        case ExportedOperation():
            return {
                "chain": line.chain.hex(), "seq": line.seq, "op": line.op_id.hex(), "wire": line.wire.hex()
            }  # fmt: skip
        case ExportedCheckpoint():
            cut = [[chain.hex(), count, head.hex()] for chain, (count, head) in sorted(line.cut.items())]
            verdicts = [
                [chain.hex(), seq, int(value)] for (chain, seq), value in sorted(line.verdicts.items())
            ]
            felts = [hex(felt) for felt in line.statement.to_felts()]
            return {"k": line.statement.k, "statement": felts, "cut": cut, "verdicts": verdicts}


def _header(document: dict[str, Any]) -> ExportHeader:
    if document["medsync"] != FORMAT:
        raise Malformed("not an audit export")
    if document.get("version") != VERSION:
        raise Malformed(
            f"an audit export of version {document.get('version')!r}; this reads version {VERSION}"
        )
    address = document.get("address")
    if address is not None and not isinstance(address, str):
        raise Malformed("`address` is text or null")
    return ExportHeader(
        network=NetworkId(_hex(document.get("network"), _ID_BYTES)),
        context=ContextId(_hex(document.get("context"), _ID_BYTES)),
        genesis=_hex(document.get("genesis"), _ID_BYTES),
        address=address,
    )


def _operation(document: dict[str, Any]) -> ExportedOperation:
    return ExportedOperation(
        chain=ChainId(_hex(document.get("chain"), _CHAIN_BYTES)),
        seq=_count(document.get("seq")),
        op_id=OpId(_hex(document.get("op"), _ID_BYTES)),
        wire=_hex(document.get("wire")),
    )


def _checkpoint(document: dict[str, Any]) -> ExportedCheckpoint:
    statement = Statement.from_felts([_felt(felt) for felt in _rows(document.get("statement"))])
    if _count(document["k"]) != statement.k:
        raise Malformed("`k` is not the statement's")
    cut: dict[ChainId, tuple[int, OpId]] = {}
    for row in _rows(document.get("cut")):
        chain, count, head = _rows(row, 3)
        cut[ChainId(_hex(chain, _CHAIN_BYTES))] = _count(count), OpId(_hex(head, _ID_BYTES))
    verdicts: dict[tuple[ChainId, int], Verdict] = {}
    for row in _rows(document.get("verdicts")):
        chain, seq, value = _rows(row, 3)
        verdicts[ChainId(_hex(chain, _CHAIN_BYTES)), _count(seq)] = _verdict(value)
    return ExportedCheckpoint(statement=statement, cut=cut, verdicts=verdicts)


def _verdict(value: Any) -> Verdict:
    try:
        verdict = Verdict(_count(value))
    except ValueError as error:
        raise Malformed(f"no verdict has the number {value}") from error
    if verdict.effective:
        raise Malformed("only verdicts that are not `effective` are listed")
    return verdict


def _rows(value: Any, size: int | None = None) -> list[Any]:
    if not isinstance(value, list) or (size is not None and len(value) != size):
        raise Malformed("expected a list" if size is None else f"expected a list of {size}")
    return value


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise Malformed("expected a whole number")
    return value


def _hex(value: Any, size: int | None = None) -> bytes:
    try:
        data = bytes.fromhex(value) if isinstance(value, str) else None
    except ValueError:
        data = None
    if data is None or data.hex() != value or (size is not None and len(data) != size):
        raise Malformed("expected lower-case hex" if size is None else f"expected {size} bytes in hex")
    return data


def _felt(value: Any) -> int:
    if not isinstance(value, str) or not value.startswith("0x") or not 3 <= len(value) <= 66:
        raise Malformed("expected a felt in hex, as 0x1f")
    try:
        return int(value[2:], 16)
    except ValueError as error:
        raise Malformed("expected a felt in hex, as 0x1f") from error
