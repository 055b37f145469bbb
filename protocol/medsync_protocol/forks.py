"""Forked chains: two signed operations for one place. Both branches are kept; what counts of them is verdicts.py's (§3.6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from medsync_protocol.effects import Effect, Notify, Persist
from medsync_protocol.ids import ChainId, OpId, device_of, short
from medsync_protocol.journal import Record, Rewind, ValueRecord
from medsync_protocol.kinds import Plane
from medsync_protocol.operation import Header, Operation, check_signature, decode, decode_header, split

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


def branch_to(replica: Replica, chain: ChainId, count: int, head: OpId) -> tuple[int, list[bytes]]:
    """How the chain looks whose operation `count` - 1 is `head`: (first seq that is another here, wire forms from there).

    While some are lacking, the first is where to ask, and the list is empty.
    """
    wires: list[bytes] = []
    at, seq = head, count - 1
    while seq >= replica.chains.next_seq(chain) or replica.chains.slot(chain, seq).op_id != at:
        wire = replica.branches.get(at)
        if wire is None:
            return seq, []
        wires.append(wire)
        at, seq = decode_header(split(wire)[0]).prev, seq - 1
        if seq < 0:
            break
    return seq + 1, wires[::-1]


def switch(
    replica: Replica, chain: ChainId, count: int, head: OpId, ours: Sequence[bytes]
) -> list[Effect]:
    """The chain of blocks accepted another branch than the one held: it takes its place, ours stays as evidence (§3.6).

    `ours`: the wire forms held from where the branches part. Nothing happens when they are not that any more.
    """
    first, theirs = branch_to(replica, chain, count, head)
    if not theirs or replica.chains.next_seq(chain) != first + len(ours):
        return []
    if first < replica.chains.final_count(chain):
        return [Notify("final_fork", replica.context, (("device", short(device_of(chain))), ("seq", first)))]
    context = replica.context
    records: list[Record] = [Rewind(context, chain, first)]
    for wire in ours:
        operation = decode(wire, network=replica.network, context=context)
        replica.drop(operation)
        replica.branches[operation.op_id] = wire
        records.append(ValueRecord("fork", context, _key(operation.header, operation.op_id), wire))
    replica.chains.cut_back(chain, first)
    effects: list[Effect] = [Persist(tuple(records), True)]
    for wire in theirs:
        operation = decode(wire, network=replica.network, context=context)
        del replica.branches[operation.op_id]
        effects += replica.hold(operation)
        gone = ValueRecord("fork", context, _key(operation.header, operation.op_id), None)
        effects.append(Persist((gone,), False))
    return [*effects, *replica.rejudge(), Notify("branch", context, (("device", short(device_of(chain))),))]


def replay(replica: Replica, record: ValueRecord) -> None:
    """A proof from the journal."""
    chain, seq = ChainId(record.key[:40]), int.from_bytes(record.key[40:48], "big")
    first = replica.judge.forks[chain] = min(seq, replica.judge.forks.get(chain, seq))
    replica.fold.fork(chain, first)
    if record.value is not None:
        _keep(replica, decode(record.value, network=replica.network, context=replica.context))


def _key(header: Header, op_id: OpId) -> bytes:
    return header.chain + header.seq.to_bytes(8, "big") + op_id
