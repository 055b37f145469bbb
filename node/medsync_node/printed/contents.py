"""What an audit export holds, counted from its lines alone: neither a node nor a key is needed. Proves nothing; `verify` does."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from medsync_node.verify.export_format import ExportedCheckpoint, ExportedOperation, ExportHeader, read_export
from medsync_protocol.errors import Malformed
from medsync_protocol.ids import ChainId, OpId
from medsync_protocol.kinds import EntryKind, OpKind, Plane
from medsync_protocol.operation import decode_body, decode_header, label_of, split

Kinds = Counter[str]


@dataclass(slots=True)
class Contents:
    """`digest`: SHA-256 of the lines as given, in hex; `chains`: operations and head of each; `times`: ms.

    `sealed_only` counts entries of which hash and size are held and nothing else: their parties are others.
    """

    header: ExportHeader
    digest: str = ""
    lines: int = 0
    size: int = 0
    operations: dict[Plane, Kinds] = field(default_factory=lambda: {plane: Counter() for plane in Plane})
    entries: Kinds = field(default_factory=Counter)
    sealed_only: Kinds = field(default_factory=Counter)
    chains: dict[ChainId, tuple[int, OpId]] = field(default_factory=dict)
    first: int | None = None
    last: int | None = None
    checkpoints: int = 0
    void: Kinds = field(default_factory=Counter)
    final: ExportedCheckpoint | None = None
    """The newest accepted checkpoint in it."""

    @property
    def held(self) -> int:
        """Operations."""
        return sum(count for count, _ in self.chains.values())

    @property
    def beyond(self) -> int:
        """Operations that no accepted checkpoint covers."""
        cut = {} if self.final is None else self.final.cut
        return sum(max(0, count - cut.get(chain, (0, b""))[0]) for chain, (count, _) in self.chains.items())


def contents(lines: Iterable[str]) -> Contents:
    """Counts of a whole export, read line by line, each with its newline. Raises Malformed, naming the line."""
    digest, size, count = hashlib.sha256(), 0, 0

    def seen() -> Iterable[str]:
        nonlocal size, count
        for text in lines:
            raw = text.encode()
            digest.update(raw)
            size += len(raw)
            count += 1
            yield text

    found: Contents | None = None
    for line in read_export(seen()):
        if isinstance(line, ExportHeader):
            found = Contents(header=line)
            continue
        assert found is not None, "a header comes first"
        if isinstance(line, ExportedOperation):
            _operation(found, line, count)
        else:
            found.checkpoints += 1
            found.void.update(verdict.name.removeprefix("VOID_").lower().replace("_", " ") for verdict in line.verdicts.values())
            found.final = line
    assert found is not None, "an empty export is malformed"
    found.digest, found.size, found.lines = digest.hexdigest(), size, count
    return found


def _operation(found: Contents, line: ExportedOperation, number: int) -> None:
    try:
        header_bytes, _, body_bytes = split(line.wire)
        header, body = decode_header(header_bytes), decode_body(body_bytes)
    except Malformed as error:
        raise Malformed(f"line {number}: {error}") from error
    plane = Plane(header.plane) if header.plane in tuple(Plane) else Plane.DATA
    found.operations[plane][_named(OpKind, header.kind)] += 1
    time = header.hlc >> 16
    found.first = time if found.first is None else min(found.first, time)
    found.last = time if found.last is None else max(found.last, time)
    before = found.chains.get(line.chain, (0, line.op_id))[0]
    found.chains[line.chain] = before + 1, line.op_id
    if plane is not Plane.DATA:
        return
    for entry in body.entries:
        label = label_of(entry)
        kind = "unreadable" if label is None else _named(EntryKind, label.kind)
        (found.sealed_only if entry.pruned else found.entries)[kind] += 1


def _named(kinds: type[OpKind] | type[EntryKind], number: int) -> str:
    try:
        return kinds(number).name.lower().replace("_", " ")
    except ValueError:
        return f"kind {number}"
