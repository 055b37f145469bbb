"""What a replica holds about one subject: documents by id, each with the entries that carry it.

Folding entries into files and linking them is `consent.py`'s; what counts of them `authority.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

from medsync_protocol.application import OpenedEntry
from medsync_protocol.authority import Carrier, Counted, HeldDirective, HeldRevocation, counted
from medsync_protocol.codec import unpack
from medsync_protocol.crypto import blake2b
from medsync_protocol.directive import (
    Directive,
    Revocation,
    decode_directive,
    decode_revocation,
    decode_signed,
    directive_id,
    open_directive,
    open_revocation,
    revocation_id,
)
from medsync_protocol.errors import Malformed
from medsync_protocol.ids import ChainId, ContextId, DirectiveId, NetworkId, SubjectRef
from medsync_protocol.settled_cuts import SettledCuts
from medsync_protocol.subject import (
    Link,
    Revision,
    Standing,
    SubjectRecord,
    decode_record,
    ever,
    open_link,
    record_id,
    standing,
)


class DocumentKind(IntEnum):
    """What a file holds."""

    RECORD = 1
    LINK = 2
    DIRECTIVE = 3
    REVOCATION = 4


@dataclass(frozen=True, slots=True)
class Document:
    """A verified document: `text` is what is kept of it, `subjects` whose files it belongs in."""

    kind: DocumentKind
    id: bytes
    text: bytes
    subjects: tuple[SubjectRef, ...]
    subject_key: bytes = b""


class _Held:
    """A document's text and its carriers by (op id, index). What was parsed of the text is kept: views ask often."""

    __slots__ = ("_parsed", "carriers", "text")

    def __init__(self, text: bytes, carriers: tuple[Carrier, ...] = ()) -> None:
        self.text, self.carriers = text, carriers
        self._parsed: Any = None

    def _parse(self, read: Callable[[bytes], Any]) -> Any:
        if self._parsed is None or self._parsed[0] != self.text:
            self._parsed = (self.text, read(self.text))
        return self._parsed[1]

    @property
    def record(self) -> SubjectRecord:
        """The text of a record, parsed."""
        found: SubjectRecord = self._parse(decode_record)
        return found

    @property
    def directive(self) -> Directive:
        """The text of a directive, parsed."""
        found: Directive = self._parse(lambda text: decode_directive(decode_signed(text).document))
        return found

    @property
    def revocation(self) -> Revocation:
        """The text of a revocation, parsed."""
        found: Revocation = self._parse(lambda text: decode_revocation(decode_signed(text).document))
        return found

    def with_carriers(self, carriers: tuple[Carrier, ...]) -> _Held:
        """The same text, carried by these."""
        other = _Held(self.text, carriers)
        other._parsed = self._parsed
        return other


def read_document(
    kind: DocumentKind, entry: OpenedEntry, network: NetworkId, context: ContextId,
    files: Mapping[SubjectRef, SubjectFile],
) -> Document:  # fmt: skip
    """The document in an entry, verified; one already held is not verified again. Raises Invalid."""
    if kind is DocumentKind.RECORD:
        record = decode_record(entry.payload)
        return Document(
            kind,
            record_id(entry.payload),
            entry.payload,
            (record.pseudonym(network, context),),
            record.subject_key,
        )
    if entry.subject is None:
        raise Malformed("the entry is not sealed for a subject")
    if kind is DocumentKind.LINK:
        link = open_link(entry.payload, network, context)
        if link.first != entry.subject:
            raise Malformed("the link is sealed for another subject")
        return Document(kind, blake2b(entry.payload), entry.payload, (link.first, link.second))
    return _read_signed(kind, entry, entry.subject, network, context, files)


def _read_signed(
    kind: DocumentKind, entry: OpenedEntry, subject: SubjectRef, network: NetworkId, context: ContextId,
    files: Mapping[SubjectRef, SubjectFile],
) -> Document:  # fmt: skip
    held = files.get(subject)
    named = _signed_id(kind, decode_signed(entry.payload).document)
    if held is not None and held.text(kind, named) == entry.payload:
        return Document(kind, named, entry.payload, (subject,))
    opened: Any = (open_directive if kind is DocumentKind.DIRECTIVE else open_revocation)(
        entry.payload, network, context
    )
    if opened[0].subject != subject:
        raise Malformed("the document is about another subject than the entry")
    return Document(kind, named, entry.payload, (subject,))


def _signed_id(kind: DocumentKind, document: bytes) -> bytes:
    return directive_id(document) if kind is DocumentKind.DIRECTIVE else revocation_id(document)


class SubjectFile:
    """Documents about one subject. Mutable; `below` gives a copy of its past."""

    __slots__ = ("_held", "subject")

    def __init__(self, subject: SubjectRef) -> None:
        self.subject = subject
        self._held: dict[tuple[DocumentKind, bytes], _Held] = {}

    def hold(self, document: Document, carrier: Carrier) -> None:
        """Keep a document with one entry that carries it; the entry's last verdict counts."""
        key = (document.kind, document.id)
        held = self._held.get(key)
        if held is None:
            self._held[key] = _Held(document.text, (carrier,))
            return
        place = (carrier.op_id, carrier.index)
        others = [one for one in held.carriers if (one.op_id, one.index) != place]
        held.carriers = tuple(sorted((*others, carrier), key=_place))
        held.text = min(held.text, document.text)

    def below(self, vector: Mapping[ChainId, int]) -> SubjectFile:
        """The file as the operations below a vector (chain → next seq) made it."""
        past = SubjectFile(self.subject)
        for key, held in self._held.items():
            carriers = tuple(one for one in held.carriers if one.seq < vector.get(one.chain, 0))
            if carriers:
                past._held[key] = held.with_carriers(carriers)
        return past

    def text(self, kind: DocumentKind, named: bytes) -> bytes | None:
        """What is kept of a document, or None."""
        held = self._held.get((kind, named))
        return None if held is None else held.text

    def places(self) -> list[tuple[tuple[ChainId, int], int]]:
        """Where everything held about the subject stands: ((chain, seq), index of the entry)."""
        return [((one.chain, one.seq), one.index) for held in self._held.values() for one in held.carriers]

    def carriers(self, kind: DocumentKind, named: bytes) -> tuple[Carrier, ...]:
        """The entries that carry a document, in no order that means anything."""
        held = self._held.get((kind, named))
        return () if held is None else held.carriers

    def _of(self, kind: DocumentKind) -> Iterable[tuple[bytes, _Held]]:
        return ((named, held) for (k, named), held in self._held.items() if k is kind)

    def standing(self, final: Mapping[ChainId, int]) -> Standing | None:
        """The record as its effective revisions have it."""
        return standing(self.subject, self._revisions(final))

    def _revisions(self, final: Mapping[ChainId, int]) -> list[Revision]:
        return [
            Revision(named, held.record, one.author, one.verdict.effective, _is_final(one, final))
            for named, held in self._of(DocumentKind.RECORD)
            for one in held.carriers
        ]

    def judged_by(
        self, chain: ChainId, seq: int, final: Mapping[ChainId, int], cuts: SettledCuts | None
    ) -> Standing | None:
        """The record by which an order at (chain, seq) is judged: who was ever in it, up to the settled checkpoint that
        holds the order, less who was out of it at the checkpoint before; None for none.

        So nobody takes an order's authority away by a revision that doesn't settle first, and all come to the same
        (decision 11). An order that is not settled is judged by all that is held, and by what is settled.
        """
        k = None if cuts is None else cuts.first(chain, seq)
        past = self if k is None or cuts is None else self.below(cuts.at(k))
        before = final if k is None or cuts is None else cuts.at(max(k - 1, 0))
        record = past.standing(final)
        if record is None:
            return None
        earlier = self.below(before)
        was = earlier.standing(before)
        keys, custodians = ever(past._revisions(final))
        if was is not None:
            once = ever(earlier._revisions(before))
            keys -= once[0] - was.patient_keys - was.delegate_keys
            custodians -= once[1] - was.custodians
        return replace(record, patient_keys=keys, delegate_keys=frozenset(), custodians=custodians)

    def counted(self, final: Mapping[ChainId, int]) -> tuple[Counted, ...]:
        """What of this pseudonym's directives counts; nothing without a record."""
        record = self.standing(final)
        if record is None:
            return ()
        directives = [
            HeldDirective(DirectiveId(named), held.directive, held.carriers)
            for named, held in self._of(DocumentKind.DIRECTIVE)
        ]
        revocations = [
            HeldRevocation(named, held.revocation, held.carriers)
            for named, held in self._of(DocumentKind.REVOCATION)
        ]
        return counted(record, directives, revocations)

    def numbers(self, signer: bytes) -> tuple[dict[int, DirectiveId], int]:
        """(number → directive of a key; the highest number up to which the key's directives were taken back)."""
        used: dict[int, DirectiveId] = {}
        for named, held in self._of(DocumentKind.DIRECTIVE):
            directive = held.directive
            if directive.signer == signer:
                used[directive.number] = min(
                    DirectiveId(named), used.get(directive.number, DirectiveId(named))
                )
        revocations = (held.revocation for _, held in self._of(DocumentKind.REVOCATION))
        return used, max((one.all_before for one in revocations if one.series == signer), default=0)

    def next_number(self, signer: bytes) -> int:
        """Above every number of the key's directives held, and every one that was taken back in advance."""
        used, taken_back = self.numbers(signer)
        return max(taken_back, *used, 0) + 1

    def linked(self, standings: Mapping[SubjectRef, Standing | None]) -> dict[SubjectRef, int]:
        """Linked pseudonym → how many of the two sides vouch for the link (0, 1 or 2)."""
        vouched: dict[SubjectRef, set[SubjectRef]] = {}
        for _, held in self._of(DocumentKind.LINK):
            link = _read_link(held.text)
            other = link.second if link.first == self.subject else link.first
            for side in (link.first, link.second):
                if any(_vouches(standings.get(side), link, one) for one in held.carriers):
                    vouched.setdefault(other, set()).add(side)
        return {other: len(sides) for other, sides in vouched.items()}

    def fields(self) -> list[Any]:
        """For the digest: everything held, in an order of its own."""
        return [
            self.subject,
            [
                [kind, named, [[*_place(one), one.author, one.chain, one.seq, one.hlc, one.verdict] for one in held.carriers]]
                for (kind, named), held in sorted(self._held.items(), key=lambda item: item[0])
            ],
        ]  # fmt: skip


def _place(carrier: Carrier) -> tuple[bytes, int]:
    return carrier.op_id, carrier.index


def _is_final(carrier: Carrier, final: Mapping[ChainId, int]) -> bool:
    return carrier.seq < final.get(carrier.chain, 0)


def _read_link(payload: bytes) -> Link:
    """A link that was verified when it came."""
    _, network, context, first, second, signer, signature = unpack(payload)
    return Link(
        network=network, context=context, first=first, second=second, signer=signer, signature=signature
    )


def _vouches(record: Standing | None, link: Link, carrier: Carrier) -> bool:
    """A side vouches by a patient key of its record, or by one of its custodians in an effective operation."""
    if record is None:
        return False
    if link.signer:
        return link.signer in record.patient_keys
    return carrier.verdict.effective and carrier.author in record.custodians
