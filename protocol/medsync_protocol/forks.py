"""Forked chains: two signed operations for one place. Both branches are kept; what counts of them is verdicts.py's (§3.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from medsync_protocol.effects import Effect, Notify, Persist
from medsync_protocol.ids import ChainId, OpId, device_of, short
from medsync_protocol.journal import ValueRecord
from medsync_protocol.kinds import Plane
from medsync_protocol.operation import Header, Operation, check_signature, decode

if TYPE_CHECKING:
    from medsync_protocol.replica import Replica

MAX_BRANCHES: Final = 4_096  # operations beside forked chains, per context: who forks for ever fills no disk of others


def fork(replica: Replica, operation: Operation) -> list[Effect]:
    """Another operation on a place that is held: keep the proof, void both branches above finality. Raises BadSignature."""
    header = operation.header
    check_signature(operation)
    if header.seq and header.prev != replica.chains.slot(header.chain, header.seq - 1).op_id:
        replica.suspected.add((header.chain, header.seq - 1))  # the branches part earlier
    known = replica.judge.forked(header.chain, header.seq)
    effects = branch(replica, 0, operation)
    if known:
        return effects
    replica.judge.forks[header.chain] = header.seq
    replica.fold.fork(header.chain, header.seq)
    fields = (("device", short(device_of(header.chain))), ("seq", header.seq))
    return [
        *effects,
        *replica.rejudge(),
        Notify("fork", replica.context, fields),
        Notify("membership", replica.context),
    ]


def branch(replica: Replica, now: int, operation: Operation) -> list[Effect]:
    """An operation beside the one that is held on its place, its signature checked: evidence, and what others rest on."""
    if operation.op_id in replica.branches or len(replica.branches) >= MAX_BRANCHES:
        return []
    header = operation.header
    proof = ValueRecord("fork", replica.context, _key(header, operation.op_id), operation.wire)
    effects: list[Effect] = [Persist((proof,), False)]
    if _keep(replica, operation):
        effects += replica.rejudge()
        effects += replica.retry(now, operation.op_id)
    return effects + replica.retry(now, (header.chain, header.seq))


def _keep(replica: Replica, operation: Operation) -> bool:
    """Whether it is one that the membership fold takes."""
    header = operation.header
    replica.branches[operation.op_id] = operation.wire
    if header.plane == Plane.DATA or not all(head in replica.fold for head in header.membership_heads):
        return False
    replica.add_to_fold(operation)
    return True


def replay(replica: Replica, record: ValueRecord) -> None:
    """A proof from the journal."""
    chain, seq = ChainId(record.key[:40]), int.from_bytes(record.key[40:48], "big")
    first = replica.judge.forks[chain] = min(seq, replica.judge.forks.get(chain, seq))
    replica.fold.fork(chain, first)
    if record.value is not None:
        _keep(replica, decode(record.value, network=replica.network, context=replica.context))


def _key(header: Header, op_id: OpId) -> bytes:
    return header.chain + header.seq.to_bytes(8, "big") + op_id
