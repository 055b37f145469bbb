"""Receipts: a signed statement of what was decided on which inputs, that any party re-computes (PROTOCOL §7).

Appending one durably before a PERMIT leaves is the node's; the answer itself is `decision.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from medsync_protocol.access import Answer, Request, decode_request, encode_request, request_hash
from medsync_protocol.codec import pack, unpack, want_array, want_bytes, want_int, want_str
from medsync_protocol.crypto import blake2b, sign, verify
from medsync_protocol.decision import (
    EVALUATOR_VERSION,
    Decision,
    DecisionView,
    Reason,
    RuleId,
    decide,
)
from medsync_protocol.errors import BadSignature, Malformed
from medsync_protocol.ids import ChainId, ContextId, DirectiveId, Instant, MemberId, NetworkId, SubjectRef
from medsync_protocol.purposes import TREE_VERSION
from medsync_protocol.rule import MAX_EXCEPTIONS, MAX_LIST, MAX_RULES
from medsync_protocol.subject import MAX_HOMES

RECEIPT_VERSION: Final = 1
MAX_CHAINS: Final = 10_000  # chains of one context in a recorded view
MAX_HEARTBEATS: Final = 256  # homes of all linked pseudonyms, one each
MAX_DECIDING: Final = 4096  # rules that one answer names
MAX_ATTESTATIONS: Final = 16
_DOMAIN: Final = b"medsync/receipt/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewRecord:
    """What a decision stood on, recorded once per batch: `vector` is (chain, next seq, head hash) ascending.

    `k` is the newest checkpoint known as accepted; `heartbeats` are those used, as they were signed; `home_sets` whose
    majorities were asked: more of them before a change of homes is final than after.
    """

    vector: tuple[tuple[ChainId, int, bytes], ...]
    k: int
    heartbeats: tuple[bytes, ...]
    home_sets: tuple[tuple[MemberId, ...], ...]
    clock_offset: int | None

    @property
    def id(self) -> bytes:
        """32 bytes that receipts of the batch name."""
        return blake2b(b"medsync/view/1", encode_view(self))


def encode_view(view: ViewRecord) -> bytes:
    """Canonical bytes."""
    return pack([
        RECEIPT_VERSION, view.vector, view.k, view.heartbeats, view.home_sets, view.clock_offset,
    ])  # fmt: skip


def decode_view(data: bytes) -> ViewRecord:
    """The view whose canonical bytes are `data`. Raises Malformed."""
    version, vector, k, heartbeats, home_sets, offset = want_array(unpack(data), 6)
    want_int(version, RECEIPT_VERSION, RECEIPT_VERSION)
    rows = [want_array(row, 3) for row in want_array(vector, at_most=MAX_CHAINS)]
    return ViewRecord(
        vector=tuple((ChainId(want_bytes(a, 40)), want_int(b, 1), want_bytes(c, 32)) for a, b, c in rows),
        k=want_int(k),
        heartbeats=tuple(want_bytes(one) for one in want_array(heartbeats, at_most=MAX_HEARTBEATS)),
        home_sets=tuple(
            tuple(MemberId(want_bytes(home, 32)) for home in want_array(homes, at_most=MAX_HOMES))
            for homes in want_array(home_sets, at_most=MAX_HEARTBEATS)
        ),
        clock_offset=None if offset is None else want_int(offset, -(2**62), 2**62),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A decision with its provenance. `inputs` is the digest of the whole `DecisionView`, `view_id` of its record.

    `evaluator`, `tree` and `policy` name the versions of code, purposes and settings; `attestations` are ids of
    what vouched for the actors.
    """

    network: NetworkId
    context: ContextId
    subject: SubjectRef
    request_hash: bytes
    decision: Decision
    view_id: bytes
    inputs: bytes
    evaluator: int
    tree: str
    policy: bytes
    attestations: tuple[bytes, ...]
    time: Instant
    signer: MemberId
    signature: bytes = b""

    @property
    def id(self) -> bytes:
        """32 bytes that access entries name."""
        return blake2b(_text(self))


def _text(r: Receipt) -> bytes:
    return pack([
        RECEIPT_VERSION, r.network, r.context, r.subject, r.request_hash, r.decision.fields(), r.view_id,
        r.inputs, r.evaluator, r.tree, r.policy, r.attestations, r.time, r.signer,
    ])  # fmt: skip


def issue(
    view: DecisionView, record: ViewRecord, request: Request, now: Instant, *, signer: MemberId, seed: bytes,
    attestations: tuple[bytes, ...] = (),
) -> Receipt:  # fmt: skip
    """Decide, and sign the answer by the member's key (32-byte `seed`)."""
    fields: dict[str, Any] = {
        "network": request.network, "context": request.context, "subject": request.subject,
        "request_hash": request_hash(encode_request(request)), "decision": decide(view, request, now),
        "view_id": record.id, "inputs": view.digest, "evaluator": EVALUATOR_VERSION, "tree": TREE_VERSION,
        "policy": view.settings.version, "attestations": attestations, "time": now, "signer": signer,
    }  # fmt: skip
    signature = sign(seed, _DOMAIN, _text(Receipt(**fields)))
    return Receipt(**fields, signature=signature)


@dataclass(frozen=True, slots=True)
class ReceiptEntry:
    """A receipt as the log holds it: with its request, and in the first of a batch the view. Both can be dropped."""

    receipt: Receipt
    request: bytes = b""
    view: bytes = b""


def encode_receipt(entry: ReceiptEntry) -> bytes:
    """Canonical bytes: the payload of a RECEIPT entry."""
    return pack([_text(entry.receipt), entry.receipt.signature, entry.request, entry.view])


def decode_receipt(payload: bytes) -> ReceiptEntry:
    """The receipt in an entry's payload; its signature is checked by `verify_receipt`. Raises Malformed."""
    text, signature, request, view = want_array(unpack(payload), 4)
    fields = want_array(unpack(want_bytes(text)), 14)
    version, network, context, subject, hashed, decision, view_id, inputs = fields[:8]
    evaluator, tree, policy, attestations, time, signer = fields[8:]
    want_int(version, RECEIPT_VERSION, RECEIPT_VERSION)
    receipt = Receipt(
        network=NetworkId(want_bytes(network, 32)),
        context=ContextId(want_bytes(context, 32)),
        subject=SubjectRef(want_bytes(subject, 16)),
        request_hash=want_bytes(hashed, 32),
        decision=_decision(decision),
        view_id=want_bytes(view_id, 32),
        inputs=want_bytes(inputs, 32),
        evaluator=want_int(evaluator, 1, 65535),
        tree=want_str(tree, 128),
        policy=want_bytes(policy, 16),
        attestations=tuple(want_bytes(a, 32) for a in want_array(attestations, at_most=MAX_ATTESTATIONS)),
        time=Instant(want_int(time)),
        signer=MemberId(want_bytes(signer, 32)),
        signature=want_bytes(signature, 64),
    )
    return ReceiptEntry(receipt, want_bytes(request), want_bytes(view))


def _decision(value: Any) -> Decision:
    answer, reason, obligations, rules = want_array(value, 4)
    try:
        why = Reason[want_str(reason, 32)]
    except KeyError as error:
        raise Malformed("a reason that this version doesn't know") from error
    return Decision(
        answer=Answer(want_int(answer, 1, len(Answer))),
        reason=why,
        obligations=tuple(want_str(text) for text in want_array(obligations, at_most=MAX_RULES * MAX_LIST)),
        rules=tuple(map(_rule_id, want_array(rules, at_most=MAX_DECIDING))),
    )


def _rule_id(value: Any) -> RuleId:
    named, rule, exception = want_array(value, 3)
    return (
        DirectiveId(want_bytes(named, 32)),
        None if rule is None else want_int(rule, 0, MAX_RULES),
        None if exception is None else want_int(exception, 0, MAX_EXCEPTIONS),
    )


def verify_receipt(receipt: Receipt) -> None:
    """Raises BadSignature unless `receipt.signer` signed it. That the signer is a custodian is the caller's check."""
    verify(receipt.signer, _DOMAIN, _text(receipt), receipt.signature)


class Recomputed(Enum):
    """What came of re-computing a receipt."""

    MATCHES = "the same inputs give the same answer, bit for bit"
    BAD_SIGNATURE = "the signature does not verify"
    OTHER_REQUEST = "this is not the request that was answered"
    OTHER_INPUTS = "these are not the inputs that were decided on"
    OTHER_VERSION = "decided by an evaluator, tree or settings that this version doesn't have"
    DIFFERS = "the same inputs give another answer"
    INPUTS_ERASED = "signature valid, inputs erased"
    INPUTS_MISSING = "signature valid, but this node does not hold all that was decided on"


def recompute(receipt: Receipt, request: Request | None, view: DecisionView | None) -> Recomputed:
    """Decide again on the inputs that the receipt names. None for inputs that were erased or have expired."""
    try:
        verify_receipt(receipt)
    except BadSignature:
        return Recomputed.BAD_SIGNATURE
    if request is None or view is None:
        return Recomputed.INPUTS_ERASED
    if request_hash(encode_request(request)) != receipt.request_hash:
        return Recomputed.OTHER_REQUEST
    if (receipt.evaluator, receipt.tree) != (EVALUATOR_VERSION, TREE_VERSION):
        return Recomputed.OTHER_VERSION
    if view.settings.version != receipt.policy:
        return Recomputed.OTHER_VERSION
    if view.digest != receipt.inputs:
        return Recomputed.OTHER_INPUTS
    same = pack(decide(view, request, receipt.time).fields()) == pack(receipt.decision.fields())
    return Recomputed.MATCHES if same else Recomputed.DIFFERS


def request_of(entry: ReceiptEntry) -> Request | None:
    """The request kept with a receipt; None where none is, or another than was answered. Raises Malformed."""
    if not entry.request or request_hash(entry.request) != entry.receipt.request_hash:
        return None
    return decode_request(entry.request)
