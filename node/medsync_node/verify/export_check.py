"""Judges an audit export against the statements that the chain holds: every operation, the log, the consent map.

Shares with a node only the protocol's pure rules: what an operation is, what a log leaf says, what a label does to the
consent map. Whether a verdict is right is not checked here: the log binds the verdicts that the voters signed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from medsync_node.verify.export_format import (
    ExportedCheckpoint,
    ExportedOperation,
    ExportHeader,
    read_export,
)
from medsync_node.verify.report import Report
from medsync_protocol.address import ChainAddress
from medsync_protocol.application import Label
from medsync_protocol.commitments import Commitments
from medsync_protocol.consent_map import ConsentMap
from medsync_protocol.errors import BrokenChain, Malformed
from medsync_protocol.ids import ChainId, OpId
from medsync_protocol.kinds import Plane, Verdict
from medsync_protocol.log import grow, log_root, operation_leaf
from medsync_protocol.operation import NO_OP, Operation, check_signature, decode, decode_label
from medsync_protocol.poseidon import Felt
from medsync_protocol.statement import Statement

EXPORT_CHECKS: Final = ("export_header", "operations", "chain_links", "cuts", "log_roots", "consent_roots")


@dataclass(frozen=True, slots=True)
class _Held:
    """What is kept of an operation that verified."""

    chain: ChainId
    seq: int
    prev: OpId
    labels: tuple[Label, ...]


@dataclass(slots=True)
class ExportChecker:
    """Takes the lines in order; `operations` and `checkpoints` count what was read."""

    address: ChainAddress
    genesis: bytes
    statements: Sequence[Statement]
    report: Report
    operations: int = 0
    entries: int = 0
    checkpoints: int = 0
    _header: ExportHeader | None = None
    _held: dict[OpId, _Held] = field(default_factory=dict)
    _cut: dict[ChainId, tuple[int, OpId]] = field(default_factory=dict)
    _size: int = 0
    _peaks: list[Felt] = field(default_factory=list)
    _commitments: Commitments = field(default_factory=Commitments)
    _consents: ConsentMap = field(default_factory=ConsentMap)

    def run(self, lines: Iterable[str]) -> None:
        """Check everything. A line that can't be read ends it."""
        try:
            for line in read_export(lines):
                match line:
                    case ExportHeader():
                        self._take_header(line)
                    case ExportedOperation():
                        self._take_operation(line)
                    case ExportedCheckpoint():
                        if not self._take_checkpoint(line):
                            break
        except Malformed as error:
            self.report.check("export_header", False, f"the export can't be read: {error}")
        self._finish()

    def _finish(self) -> None:
        header = self._header
        if header is not None:
            born = OpId(header.context) in self._held
            self.report.check(
                "export_header", born, "the operation that founded the context is not in the export"
            )
            if not self.checkpoints and len(self.statements) > 1:
                self.report.check(
                    "cuts", False,
                    f"the export ends before its first checkpoint, and the chain holds {len(self.statements) - 1}: nothing of it was "
                    "held against them. It was cut off, or made before the first was accepted; export again",
                )  # fmt: skip
        sound = all(self.report.checks.get(name, True) for name in EXPORT_CHECKS)
        for name in EXPORT_CHECKS:
            if sound and name not in self.report.checks:
                self.report.check(name, True, "")
        self.report.skip(*EXPORT_CHECKS)

    def _take_header(self, header: ExportHeader) -> None:
        self._header = header
        anchored = header.genesis == self.genesis
        self.report.check("export_header", anchored, "the export is of another context than the anchored one")
        named = header.genesis == header.context
        self.report.check(
            "export_header", named, "the anchored genesis is not the context's founding operation"
        )
        same = header.address in (None, str(self.address))
        self.report.check("export_header", same, f"the export names another address: {header.address}")

    # -- operations -------------------------------------------------------------------------------------------

    def _take_operation(self, line: ExportedOperation) -> None:
        assert self._header is not None, "read_export gives the header first"
        where = f"operation {line.op_id.hex()[:16]}"
        with self.report.checking("operations", where):
            operation = decode(line.wire, network=self._header.network, context=self._header.context)
            check_signature(operation)
            header = operation.header
            if (operation.op_id, header.chain, header.seq) != (line.op_id, line.chain, line.seq):
                raise Malformed("the line names another operation than it holds")
            with self.report.checking("chain_links", where):
                self._require_link(operation)
            self._held[operation.op_id] = _Held(header.chain, header.seq, header.prev, _labels(operation))
            self.operations += 1
            self.entries += header.count

    def _require_link(self, operation: Operation) -> None:
        header = operation.header
        if header.prev == NO_OP:
            return
        before = self._held.get(header.prev)
        if before is None or (before.chain, before.seq + 1) != (header.chain, header.seq):
            raise BrokenChain("the operation before it in its chain is not in the export, or not before it")

    # -- checkpoints ------------------------------------------------------------------------------------------

    def _take_checkpoint(self, line: ExportedCheckpoint) -> bool:
        k = self.checkpoints + 1
        proper = line.statement.k == k < len(self.statements) and line.statement == self.statements[k]
        if not self.report.check(
            "cuts", proper, f"k = {line.statement.k}: not the statement that the chain holds"
        ):
            return False
        try:
            added = self._between(line)
        except Malformed as error:
            return self.report.check("cuts", False, f"k = {k}: {error}")
        self.report.check("cuts", True, "")
        self.checkpoints = k
        self._cut = line.cut
        return self._check_log(line, added) & self._check_consents(line, added)

    def _between(self, line: ExportedCheckpoint) -> list[OpId]:
        """The operations that this cut adds, in the log's order. Raises Malformed."""
        gone = self._cut.keys() - line.cut.keys()
        if gone:
            raise Malformed("the cut lacks a chain of the one before")
        added: list[OpId] = []
        for chain, (count, head) in sorted(line.cut.items()):
            since, last = self._cut.get(chain, (0, NO_OP))
            added += self._segment(chain, since, last, count, head)
        places = {(self._held[op_id].chain, self._held[op_id].seq) for op_id in added}
        if not line.verdicts.keys() <= places:
            raise Malformed("a verdict on an operation that this cut does not add")
        return added

    def _segment(self, chain: ChainId, since: int, last: OpId, count: int, head: OpId) -> list[OpId]:
        """From the cut's head back to the last cut's, by `prev`: of a fork, the branch that the voters signed."""
        found: list[OpId] = []
        op_id = head
        for seq in range(count - 1, since - 1, -1):
            held = self._held.get(op_id)
            if held is None or (held.chain, held.seq) != (chain, seq):
                raise Malformed(f"operation {seq} of chain {chain.hex()[:16]} is missing")
            found.append(op_id)
            op_id = held.prev
        if count < since or op_id != last:
            raise Malformed(f"chain {chain.hex()[:16]} does not continue the cut before")
        return found[::-1]

    def _check_log(self, line: ExportedCheckpoint, added: Sequence[OpId]) -> bool:
        verdicts = [self._verdict(line, op_id) for op_id in added]
        leaves = [operation_leaf(op_id, verdict) for op_id, verdict in zip(added, verdicts, strict=True)]
        _, self._peaks = grow(self._size, self._peaks, leaves)
        self._size += len(leaves)
        statement = line.statement
        holds = (self._size, log_root(self._size, self._peaks)) == (statement.log_size, statement.log_root)
        problem = f"k = {statement.k}: {self._size} operations do not give the anchored log root"
        return self.report.check("log_roots", holds, problem)

    def _check_consents(self, line: ExportedCheckpoint, added: Sequence[OpId]) -> bool:
        for op_id in added:
            effective = self._verdict(line, op_id).effective
            for label in self._held[op_id].labels:
                self._commitments.fold(label, op_id, effective)
        self._consents = self._consents.put_many(self._commitments.changes())
        holds = self._consents.root == line.statement.consent_root
        problem = f"k = {line.statement.k}: the directives' labels do not give the anchored consent root"
        return self.report.check("consent_roots", holds, problem)

    def _verdict(self, line: ExportedCheckpoint, op_id: OpId) -> Verdict:
        held = self._held[op_id]
        return line.verdicts.get((held.chain, held.seq), Verdict.EFFECTIVE)


def _labels(operation: Operation) -> tuple[Label, ...]:
    """Labels with a public part: what directives and revocations show to everyone, pruned or not."""
    if operation.header.plane != Plane.DATA:
        return ()
    labels = (decode_label(entry.label) for entry in operation.body.entries)
    return tuple(label for label in labels if label.public)
