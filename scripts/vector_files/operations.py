"""Payloads and whole operations of every kind, reserved and unknown ones among them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from medsync_protocol import (
    actions,
    operation,
    sealing,
    stark,
)  # fmt: skip
from medsync_protocol.application import Label
from medsync_protocol.ids import (
    NETWORK_CONTEXT,
    KeyId,
    OpId,
)  # fmt: skip
from medsync_protocol.kinds import Audience, EntryKind, OpKind, Plane, Role
from medsync_protocol.membership import voter_digest
from medsync_protocol.operation import NO_KEY, NO_OP, UNBORN, Header, Operation
from medsync_protocol.voters import prove_voter_key

from scripts.vector_files.cast import (
    ANN,
    BEA,
    CAY,
    CONTEXT,
    NETWORK,
    Counter,
    card,
    chain,
    seeded,
    vector,
)


def all_actions() -> dict[str, actions.Action]:
    """One of each kind of membership and keys operation."""
    rotation = sealing.make_rotation(
        epoch=1, key=seeded("epoch 1"), recipients={ANN.member: ANN.sealing_public}, previous=None, entropy=Counter()
    )  # fmt: skip
    second = replace(rotation, epoch=2, previous=(rotation.key_id, b"s" * 72))
    voters = tuple(sorted(((w.member, stark.public_key(w.stark_secret(CONTEXT))) for w in (ANN, BEA)), key=lambda v: v[1]))
    cut = ((chain(BEA), 7),)
    return {
        "genesis": actions.Genesis(
            name="Oncology", application="medsync", policy="any_admin", founder=card(ANN), rotation=rotation,
            auditors=(CAY.member,), settings=(("fresh_ms_treatment", 900_000), ("implicit_rule", "deny")), salt=b"\x05" * 16,
        ),
        "admit": actions.Admit(card=card(BEA), role=Role.MEMBER, key_id=rotation.key_id, wrap=b"w" * 104, invitation=b"i" * 16),
        "remove": actions.Remove(member=BEA.member, cut_off=cut, rotation=second),
        "set_role": actions.SetRole(member=BEA.member, role=Role.ADMIN),
        "leave": actions.Leave(cut_off=cut),
        "voter_key": prove_voter_key(ANN.stark_secret(CONTEXT), CONTEXT, ANN.member),
        "vote": actions.Ballot(base=voter_digest(()), voters=voters),
        "device_add": actions.DeviceAdd(member=ANN.member, device=ANN.device, certificate=ANN.certificate()),
        "device_revoke": actions.DeviceRevoke(device=BEA.device, cut_off=cut),
        "merge": actions.Merge(),
        "rotate": actions.Rotate(rotation=second),
        "rekey": actions.Rekey(member=BEA.member, card=card(CAY), cut_off=cut, rotation=second),
        "resume": actions.Resume(chain=chain(BEA), seq=7, prev=OpId(b"\x33" * 32)),
        "endorse": actions.Endorse(proposal=OpId(b"\x44" * 32), yes=True, cut_off=cut),
        "policy": actions.PolicyBallot(
            base=b"\x88" * 32,
            policy=actions.PolicyName(name="k_of_n", version=1, digest=b"\x99" * 32, parameters=(("k", 3), ("who", "admins"))),
        ),
        "transfer": actions.Transfer(member=BEA.member),
    }  # fmt: skip


@vector
def payloads() -> Any:
    """Payloads of membership and keys operations."""
    made = {name: actions.encode_action(action) for name, action in all_actions().items()}
    return {name: {"kind": int(kind), "payload": payload.hex()} for name, (kind, payload) in made.items()}


def header(**changed: Any) -> Header:
    """A header of the data plane; fields as changed."""
    fields: dict[str, Any] = {
        "network": NETWORK, "context": CONTEXT, "plane": Plane.DATA, "chain": chain(ANN), "seq": 3, "prev": OpId(b"\x33" * 32),
        "membership_heads": (OpId(b"\x44" * 32), OpId(b"\x55" * 32)), "seen_k": 2, "seen_root": b"\x66" * 32,
        "key_id": KeyId(b"\x77" * 32), "hlc": 1_800_000_000_000 << 16 | 5, "kind": OpKind.BATCH, "entries_root": bytes(32),
        "count": 1,
    }  # fmt: skip
    return Header(**{**fields, **changed})


def _label(kind: int, audience: Audience = Audience.ALL, tags: bytes = b"") -> bytes:
    return operation.encode_label(Label(kind=kind, audience=audience, tags=tags))


def all_operations() -> dict[str, Operation]:
    """Operations of every plane, the kinds reserved for later and ones that nobody knows yet among them."""
    clear = b""  # operations of the membership and keys planes carry one clear payload without a label
    plans: dict[str, tuple[Header, list[tuple[bytes, bytes]]]] = {}
    for name, action in all_actions().items():
        kind, payload = actions.encode_action(action)
        founding = {"network": UNBORN, "context": NETWORK_CONTEXT, "seq": 0, "prev": NO_OP, "membership_heads": ()}
        changed = founding if kind is OpKind.GENESIS else {}
        plane = Plane.KEYS if kind is OpKind.ROTATE else Plane.MEMBERSHIP
        plans[name] = header(plane=plane, kind=kind, key_id=NO_KEY, **changed), [(clear, payload)]
    plans["unknown_kind"] = header(plane=Plane.MEMBERSHIP, kind=4711, key_id=NO_KEY), [(clear, b"whatever it says")]
    reserved = (
        EntryKind.DELEGATION, EntryKind.ERASE_ORDER, EntryKind.ATTESTATION, EntryKind.LEGAL_HOLD, EntryKind.REWARD_ROOT,
    )  # fmt: skip
    for entry in reserved:
        plans[f"reserved_{entry.name.lower()}"] = header(), [(_label(entry), b"\x00" + b"c" * 40)]
    plans["unknown_entry"] = header(), [(_label(4711), b"\x00" + b"c" * 40)]
    access = _label(EntryKind.ACCESS, Audience.PARTIES, b"\x01\x02\x03\x04\x05\x06\x07\x08")
    batch = [(_label(EntryKind.DIRECTIVE), b"\x00first"), (access, b"\x00second"), (access, b"\x00third")]
    plans["batch_of_three"] = header(seq=0, prev=NO_OP), batch
    return {name: operation.build(h, b"\x99" * 24, entries, ANN.device_seed) for name, (h, entries) in plans.items()}


@vector
def operations() -> Any:
    """Whole operations, each also with its first entry pruned where its plane allows that: the op id stays."""
    return {
        "device_seed": ANN.device_seed.hex(),
        "operations": [
            {
                "name": name, "header": op.header_bytes.hex(), "op_id": op.op_id.hex(), "signature": op.signature.hex(),
                "body": op.body_bytes.hex(), "entries_root": op.header.entries_root.hex(),
                "pruned_body": operation.prune(op.body, frozenset({0})).hex(),
                "sealing_context": operation.sealing_context(op.header).hex(), "wire": op.wire.hex(),
            }
            for name, op in all_operations().items()
        ],
    }  # fmt: skip
