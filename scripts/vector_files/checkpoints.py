"""Candidates and anchorings; frames between devices; records of the journal."""

from __future__ import annotations

from typing import Any

from medsync_protocol import (
    anchoring,
    candidate,
    consent_map,
    frames,
    journal,
    poseidon,
    stark,
)  # fmt: skip
from medsync_protocol.frames import FrameKind
from medsync_protocol.ids import (
    NETWORK_CONTEXT,
    Instant,
    KeyId,
    OpId,
)  # fmt: skip
from medsync_protocol.kinds import EntryKind, Plane, Verdict
from medsync_protocol.policy import AnyAdmin, policy_hash
from medsync_protocol.transition import Anchor

from scripts.vector_files.cast import (
    ANN,
    BEA,
    CONTEXT,
    NETWORK,
    chain,
    hexes,
    vector,
)
from scripts.vector_files.operations import all_operations


@vector
def checkpoints() -> Any:
    """A candidate, how its statement comes from its inputs, and where a context is anchored."""
    members = sorted((stark.public_key(w.stark_secret(CONTEXT)), w) for w in (ANN, BEA))
    signers = tuple((who.member, key) for key, who in members)
    anchor = Anchor(chain_id=poseidon.short_string("MEDSYNC_LOCAL"), contract=0x1234567)
    secret = ANN.stark_secret(CONTEXT)
    opening = anchoring.sign_opening(
        secret, anchor=anchor, genesis=OpId(b"\x0b" * 32), signers=signers, verifier=0, recovery_delay=14 * 86_400
    )  # fmt: skip
    made = [(chain(ANN), 0, OpId(b"\x0c" * 32), Verdict.EFFECTIVE), (chain(BEA), 0, OpId(b"\x0d" * 32), Verdict.VOID_ROLE)]
    cut = candidate.Cut(tuple((of, seq + 1, op_id) for of, seq, op_id, _ in sorted(made)))
    changes = {poseidon.Felt(5): consent_map.pack_value(consent_map.Status.ACTIVE, Instant(7), None)}
    plan = candidate.Plan(
        anchor=anchor, head=opening.statement, peaks=(), consents=consent_map.ConsentMap(), changes=changes, cut=cut,
        verdicts=tuple(sorted(made)), next_signers=signers, membership_root=b"\x0e" * 32, key_id=KeyId(b"\x0f" * 32),
        policy_hash=policy_hash(AnyAdmin()), not_before=1_800_000_000,
    )  # fmt: skip
    built = plan.build()
    return {
        "anchoring": anchoring.Anchoring(opening=opening, block=17).encode().hex(),
        "address": str(anchoring.Anchoring(opening=opening, block=17).address),
        "cut": [[of.hex(), count, op_id.hex()] for of, count, op_id in cut.heads],
        "verdicts": [[op_id.hex(), int(verdict)] for _, _, op_id, verdict in plan.verdicts],
        "changes": {hex(key): hex(value) for key, value in changes.items()},
        "membership_root": plan.membership_root.hex(), "key_id": plan.key_id.hex(), "policy_hash": plan.policy_hash.hex(),
        "statement": hexes(built.statement.to_felts()), "digest": hex(built.digest),
        "candidate": candidate.Candidate(cut=cut, statement=built.statement).encode().hex(),
    }  # fmt: skip


@vector
def link_frames() -> Any:
    """Frames between devices, one of each kind whose fields are fixed by frames.py."""
    vector_fields = frames.vector_fields({chain(ANN): 3, chain(BEA): 1})
    wire = all_operations()["batch_of_three"].wire
    made = {
        "hello": frames.hello(NETWORK, ["/ip4/127.0.0.1/tcp/4001"]),
        "vector": frames.encode(FrameKind.VECTOR, CONTEXT, vector_fields, True),
        "ops": frames.ops(CONTEXT, [wire]),
        "ack": frames.encode(FrameKind.ACK, CONTEXT, vector_fields),
        "body": frames.encode(FrameKind.BODY, CONTEXT, chain(ANN), 2),
        "key_pull": frames.encode(FrameKind.KEY_PULL, CONTEXT, b"\x77" * 32),
        "key_push": frames.encode(FrameKind.KEY_PUSH, CONTEXT, b"\x77" * 32, b"w" * 104),
        "certificate_pull": frames.encode(FrameKind.CERTIFICATE_PULL, CONTEXT, 3, b"\x01" * 32),
        "votes_pull": frames.encode(FrameKind.VOTES_PULL, CONTEXT, 3, b"\x01" * 32),
        "notice": frames.encode(FrameKind.NOTICE, NETWORK_CONTEXT, [wire]),
    }
    return {"kinds": {kind.name: int(kind) for kind in FrameKind}, "frames": {name: frame.hex() for name, frame in made.items()}}


@vector
def records() -> Any:
    """Framed journal records."""
    op = all_operations()["batch_of_three"]
    rows = (journal.IndexRow(1, EntryKind.ACCESS, -5), journal.IndexRow(2, EntryKind.ACCESS, 5))
    made: list[journal.Record] = [
        journal.OpRecord(CONTEXT, chain(ANN), 0, Plane.DATA, True, True, op.header_bytes, op.signature, op.body_bytes, rows),
        journal.ValueRecord("keys", CONTEXT, b"key", b"value", secret=True),
        journal.ValueRecord("keys", CONTEXT, b"key", None),
    ]  # fmt: skip
    return [journal.frame(record).hex() for record in made]
