"""Erasure orders, legal holds and attestations: their documents, and which of them count (PROTOCOL §8).

Destroying what an order names is erasing.py's. All three are sealed under the epoch key alone, so that they can be read
after the subject's key is gone: a closed pseudonym stays listed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from medsync_protocol.application import Draft, OpenedEntry
from medsync_protocol.codec import pack, unpack, want_array, want_bytes, want_int, want_str
from medsync_protocol.crypto import sign, signing_public, verify
from medsync_protocol.directive import Signed, decode_signed
from medsync_protocol.errors import BadSignature, Malformed, Refused
from medsync_protocol.ids import ChainId, ContextId, Instant, MemberId, NetworkId, OpId, Place, SubjectRef
from medsync_protocol.kinds import EntryKind, Verdict
from medsync_protocol.settled_cuts import SettledCuts
from medsync_protocol.subject import Standing

ORDERING_CUSTODIANS: Final = 2  # a single one may not make evidence disappear
MAX_REASON: Final = 256  # characters of a hold's reason: a file number, no story
KINDS: Final = frozenset({int(EntryKind.ERASE_ORDER), int(EntryKind.LEGAL_HOLD), int(EntryKind.ATTESTATION)})
_DOMAIN: Final = b"medsync/erase/1"
_VERSION: Final = 1
NOTHING: Final = OpId(b"")
Records = Callable[[ChainId, int], Standing | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class EraseOrder:
    """The wish to be forgotten. `signer`: a patient's or delegate's key of the record, or a custodian's member key."""

    network: NetworkId
    context: ContextId
    subject: SubjectRef
    signer: bytes
    signed_at: Instant
    salt: bytes

    def encode(self) -> bytes:
        """Canonical bytes: what is signed."""
        return pack([
            _VERSION, self.network, self.context, self.subject, self.signer, self.signed_at, self.salt,
        ])  # fmt: skip


def parse_order(document: bytes) -> EraseOrder:
    """Raises Malformed."""
    version, network, context, subject, signer, signed_at, salt = want_array(unpack(document), 7)
    want_int(version, _VERSION, _VERSION)
    return EraseOrder(
        network=NetworkId(want_bytes(network, 32)), context=ContextId(want_bytes(context, 32)),
        subject=SubjectRef(want_bytes(subject, 16)), signer=want_bytes(signer, 32), signed_at=Instant(want_int(signed_at)),
        salt=want_bytes(salt, 16),
    )  # fmt: skip


def sign_order(order: EraseOrder, seed: bytes) -> Signed:
    """Sign by the 32-byte `seed` of `order.signer`. Raises Refused for another key."""
    if signing_public(seed) != order.signer:
        raise Refused("the key is not the one the order names", code="wrong_key", advice="sign by its `signer`")
    document = order.encode()
    return Signed(document, sign(seed, _DOMAIN, document))


def open_order(signed: Signed, network: NetworkId, context: ContextId) -> EraseOrder:
    """The order in a signed document. Raises Malformed or BadSignature."""
    order = parse_order(signed.document)
    if (order.network, order.context) != (network, context):
        raise Malformed("the order was signed for another network or context")
    verify(order.signer, _DOMAIN, signed.document, signed.signature)
    return order


@dataclass(frozen=True, slots=True, kw_only=True)
class LegalHold:
    """A custodian's hold on a subject's record; with `releases` the end of one that it made."""

    subject: SubjectRef
    reason: str = ""
    releases: OpId = NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """A member's word that it destroyed a subject's key and entries by this order; `entries`: operations pruned so far."""

    subject: SubjectRef
    order: OpId
    entries: int


def order_draft(signed: Signed) -> Draft:
    """An order on its way."""
    return Draft(kind=EntryKind.ERASE_ORDER, payload=signed.payload)


def hold_draft(hold: LegalHold) -> Draft:
    """A hold, or its release, on its way."""
    return Draft(kind=EntryKind.LEGAL_HOLD, payload=pack([_VERSION, hold.subject, hold.reason, hold.releases]))


def attestation_draft(made: Attestation) -> Draft:
    """An attestation on its way."""
    return Draft(kind=EntryKind.ATTESTATION, payload=pack([_VERSION, made.subject, made.order, made.entries]))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """A document with the entry that carries it."""

    document: EraseOrder | LegalHold | Attestation
    op_id: OpId
    author: MemberId
    chain: ChainId
    seq: int
    verdict: Verdict


T = TypeVar("T", EraseOrder, LegalHold, Attestation)


class ErasureBook:
    """What one context says about erasure: a function of the set of (entry, verdict), in any order, with repeats."""

    def __init__(self, network: NetworkId, context: ContextId) -> None:
        self._network, self._context = network, context
        self._kept: dict[SubjectRef, dict[tuple[OpId, int], _Kept]] = {}
        self.changed = False
        """Whether anything was taken since somebody looked what is to be destroyed: the reader puts it back."""

    def take(self, entry: OpenedEntry, verdict: Verdict) -> SubjectRef:
        """Take an entry under its verdict: whom it is about. Raises Invalid."""
        document = self._read(entry)
        kept = _Kept(
            document=document, op_id=entry.op_id, author=entry.author, chain=entry.chain, seq=entry.seq, verdict=verdict
        )
        self._kept.setdefault(document.subject, {})[entry.op_id, entry.index] = kept
        self.changed = True
        return document.subject

    def _read(self, entry: OpenedEntry) -> EraseOrder | LegalHold | Attestation:
        if entry.kind == EntryKind.ERASE_ORDER:
            return open_order(decode_signed(entry.payload), self._network, self._context)
        fields = want_array(unpack(entry.payload), 4)
        want_int(fields[0], _VERSION, _VERSION)
        subject = SubjectRef(want_bytes(fields[1], 16))
        if entry.kind == EntryKind.LEGAL_HOLD:
            releases = OpId(want_bytes(fields[3], at_most=32))
            return LegalHold(subject=subject, reason=want_str(fields[2], MAX_REASON), releases=releases)
        return Attestation(subject=subject, order=OpId(want_bytes(fields[2], 32)), entries=want_int(fields[3]))

    def _of(self, subject: SubjectRef, kind: type[T]) -> list[tuple[T, _Kept]]:
        found = self._kept.get(subject, {}).values()
        return [(k.document, k) for k in found if isinstance(k.document, kind) and k.verdict.effective]

    def mentions(self, subject: SubjectRef) -> bool:
        """Whether anything was said about it."""
        return subject in self._kept

    def subjects(self) -> list[SubjectRef]:
        """Those that anything was said about, ascending."""
        return sorted(self._kept)

    def order(
        self, subject: SubjectRef, stands: Records, final: Mapping[ChainId, int] | None = None
    ) -> OpId | None:
        """The operation that orders the erasure; None for none. With `final` only what lies below that cut counts.

        `stands`: the subject's record by which an operation at (chain, seq) is judged.
        """
        custodians: dict[MemberId, OpId] = {}
        for order, kept in sorted(self._of(subject, EraseOrder), key=lambda pair: pair[1].op_id):
            if final is not None and not _below(kept, final):
                continue
            record = stands(kept.chain, kept.seq)
            if record is None:
                continue
            if order.signer in record.patient_keys | record.delegate_keys:
                return kept.op_id
            if order.signer in record.custodians:
                custodians.setdefault(MemberId(order.signer), kept.op_id)
        return min(custodians.values()) if len(custodians) >= ORDERING_CUSTODIANS else None

    def holds(
        self, subject: SubjectRef, standing: Standing, final: Mapping[ChainId, int] | None = None
    ) -> dict[OpId, tuple[MemberId, str]]:
        """Legal holds in force, final or not, by operation: (custodian, reason). With `final` only a release below that
        cut counts: one that may still be void must not destroy anything."""
        held = self.holding(subject, final)
        return {op_id: told for op_id, told in held.items() if told[0] in standing.custodians}

    def holding(self, ref: SubjectRef, final: Mapping[ChainId, int] | None = None) -> dict[OpId, tuple[MemberId, str]]:
        """Holds in force on a month's key, by whichever member that writes; releases count as in `holds`."""
        said = [(hold, kept) for hold, kept in self._of(ref, LegalHold)]
        released = {
            (kept.author, hold.releases) for hold, kept in said
            if hold.releases and (final is None or _below(kept, final))
        }  # fmt: skip
        return {
            kept.op_id: (kept.author, hold.reason)
            for hold, kept in said
            if not hold.releases and (kept.author, kept.op_id) not in released
        }

    def carried_out(self, subject: SubjectRef, final: Mapping[ChainId, int]) -> dict[OpId, set[MemberId]]:
        """Orders with the members that said they destroyed the subject by them, all of it below the cut `final`.

        Who attests saw every order settled that it took: so they are settled for whom its attestation is.
        """
        orders = {kept.op_id for _, kept in self._of(subject, EraseOrder) if _below(kept, final)}
        found: dict[OpId, set[MemberId]] = {}
        for made, kept in self._of(subject, Attestation):
            if made.order in orders and _below(kept, final):
                found.setdefault(made.order, set()).add(kept.author)
        return found

    def attested(self, subject: SubjectRef) -> dict[MemberId, int]:
        """Members that said they destroyed it, with how many entries."""
        return {kept.author: made.entries for made, kept in self._of(subject, Attestation)}


def _below(kept: _Kept, cut: Mapping[ChainId, int]) -> bool:
    return kept.seq < cut.get(kept.chain, 0)


def checked_order(signed: Signed, network: NetworkId, context: ContextId, standing: Standing) -> EraseOrder:
    """An order as someone hands it over, if it can count. Raises Refused with advice."""
    try:
        order = open_order(signed, network, context)
    except (Malformed, BadSignature) as error:
        raise Refused(
            f"this is no intact order to erase: {error}", code="malformed", advice="sign it for this network and context"
        ) from error
    if order.signer not in standing.patient_keys | standing.delegate_keys | standing.custodians:
        raise Refused(
            "the order is signed by nobody who may order it", code="unknown_signer",
            advice="a key of the subject's record signs it, or two custodians do",
        )  # fmt: skip
    return order


class Erases(ABC):
    """An application that keeps records about subjects who may order them to be destroyed."""

    erasure: ErasureBook
    cuts: SettledCuts | None
    """What each settled checkpoint holds; None before the first."""

    @abstractmethod
    def erasable(self) -> Mapping[SubjectRef, OpId]:
        """Subjects whose order is settled and held up by nothing, with the order."""

    @abstractmethod
    def carried_out(self) -> Mapping[SubjectRef, Mapping[OpId, set[MemberId]]]:
        """Subjects not closed here that members say they destroyed: by which settled order, which members."""

    @abstractmethod
    def standing(self, subject: SubjectRef) -> object | None:
        """The subject's record; None where there is none by which an order could be judged."""

    @abstractmethod
    def close(self, subject: SubjectRef) -> Iterable[tuple[Place, int]]:
        """Forget a subject, its key first, for good; where the entries about it stood."""

    @abstractmethod
    def about(self, entry: OpenedEntry) -> tuple[SubjectRef, ...]:
        """Whom an opened entry is about."""
