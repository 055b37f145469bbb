"""A context's operations, made and signed as devices make them, and the export and roots that follow from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from medsync_node.verify.export_format import (
    ExportedCheckpoint,
    ExportedOperation,
    ExportHeader,
    Line,
    encode_line,
)
from medsync_protocol.application import Label
from medsync_protocol.commitments import Commitments
from medsync_protocol.consent_map import ConsentMap
from medsync_protocol.crypto import blake2b, signing_public
from medsync_protocol.directive import Signed, directive_label, revocation_label
from medsync_protocol.ids import ChainId, ContextId, NetworkId, OpId
from medsync_protocol.kinds import Audience, EntryKind, OpKind, Plane, Verdict
from medsync_protocol.log import operation_leaf
from medsync_protocol.operation import (
    NO_KEY,
    NO_OP,
    UNBORN,
    Header,
    Operation,
    build,
    decode_label,
    encode_label,
    join,
    prune,
)
from medsync_protocol.statement import Statement
from tests.consent_world import NOW, RECORD, directive, named, permit, revocation
from tests.contracts.anchored import Anchored

NETWORK = NetworkId(blake2b(b"a network's genesis"))
PLAIN = Label(kind=EntryKind.ACCESS, audience=Audience.PARTIES, tags=b"abcd")


def directive_entry(signed: Signed) -> Label:
    return Label(
        kind=EntryKind.DIRECTIVE, audience=Audience.ALL, public=directive_label(signed, RECORD.subject_key)
    )


def revocation_entry(signed: Signed) -> Label:
    return Label(
        kind=EntryKind.REVOCATION, audience=Audience.ALL, public=revocation_label(signed, RECORD.subject_key)
    )


@dataclass(slots=True)
class Device:
    """One device's chain."""

    seed: bytes
    operations: list[Operation] = field(default_factory=list)

    @property
    def chain(self) -> ChainId:
        return ChainId(signing_public(self.seed) + b"incarnat")

    def write(self, context: ContextId, labels: Sequence[Label], kind: OpKind = OpKind.BATCH) -> Operation:
        seq = len(self.operations)
        header = Header(
            network=NETWORK, context=context, plane=Plane.DATA if kind is OpKind.BATCH else Plane.MEMBERSHIP,
            chain=self.chain, seq=seq, prev=self.operations[-1].op_id if seq else NO_OP, membership_heads=(),
            seen_k=0, seen_root=bytes(32), key_id=NO_KEY, hlc=NOW << 16, kind=kind, entries_root=bytes(32), count=1,
        )  # fmt: skip
        entries = [(encode_label(label), blake2b(bytes([at]), label.tags)) for at, label in enumerate(labels)]
        made = build(header, bytes(24), entries, self.seed)
        self.operations.append(made)
        return made


@dataclass(slots=True)
class Records:
    """Two devices' operations in one context, checkpointed on an anchor as they are written."""

    first: Device = field(default_factory=lambda: Device(blake2b(b"device one")))
    second: Device = field(default_factory=lambda: Device(blake2b(b"device two")))
    context: ContextId = field(init=False)
    checkpoints: list[ExportedCheckpoint] = field(default_factory=list)
    commitments: Commitments = field(default_factory=Commitments)
    consents: ConsentMap = field(default_factory=ConsentMap)

    def __post_init__(self) -> None:
        genesis = self.first.write(ContextId(UNBORN), [Label(kind=0, audience=Audience.ALL)], OpKind.GENESIS)
        self.context = ContextId(genesis.op_id)

    @property
    def devices(self) -> list[Device]:
        return sorted((self.first, self.second), key=lambda device: device.chain)

    def checkpoint(self, anchored: Anchored, void: dict[OpId, Verdict] | None = None) -> Statement:
        """Anchors everything written so far, computed from the rules and not by the code under test."""
        verdicts, leaves, cut = {}, [], {}
        since = self.checkpoints[-1].cut if self.checkpoints else {}
        for device in self.devices:
            if not device.operations:
                continue
            cut[device.chain] = (len(device.operations), device.operations[-1].op_id)
            for operation in device.operations[since.get(device.chain, (0, NO_OP))[0] :]:
                verdict = (void or {}).get(operation.op_id, Verdict.EFFECTIVE)
                if not verdict.effective:
                    verdicts[device.chain, operation.header.seq] = verdict
                leaves.append(operation_leaf(operation.op_id, verdict))
                self._fold(operation, verdict.effective)
        self.consents = self.consents.put_many(self.commitments.changes())
        statement = anchored.advance(leaves, consent_root=self.consents.root).following
        self.checkpoints.append(ExportedCheckpoint(statement=statement, cut=cut, verdicts=verdicts))
        return statement

    def _fold(self, operation: Operation, effective: bool) -> None:
        if operation.header.plane == Plane.DATA:
            for entry in operation.body.entries:
                self.commitments.fold(decode_label(entry.label), operation.op_id, effective)

    def lines(self, address: str | None = None) -> list[Line]:
        header = ExportHeader(network=NETWORK, context=self.context, genesis=self.context, address=address)
        operations = [
            ExportedOperation(
                chain=device.chain, seq=one.header.seq, op_id=one.op_id, wire=one.wire
            )
            for device in self.devices
            for one in device.operations
        ]  # fmt: skip
        return [header, *operations, *self.checkpoints]


def written() -> Records:
    """Directives, a revocation, a void operation, access entries."""
    records = Records()
    one, two = directive(permit()), directive(permit(), number=2)
    records.first.write(records.context, [directive_entry(one), PLAIN])
    records.second.write(records.context, [directive_entry(two)])
    records.second.write(records.context, [PLAIN, PLAIN, revocation_entry(revocation(named(two)))])
    return records


def pruned(operation: Operation, *indexes: int) -> bytes:
    """The wire form with entries reduced to hash and size."""
    return join(operation.header_bytes, operation.signature, prune(operation.body, frozenset(indexes)))


def text(lines: Sequence[Line]) -> list[str]:
    return [encode_line(line) + "\n" for line in lines]
