"""The application `medsync`: folds subjects, links, directives and revocations, and makes views for decisions.

Access entries and receipts are not held here: the journal indexes them by subject. Labels and the consent map
are `commitments.py`'s; who may write what `authority.py`'s; the answer `decision.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from medsync_protocol.access import access_parties
from medsync_protocol.application import Announces, FollowsFinality, OpenedEntry
from medsync_protocol.authority import Carrier, Counted
from medsync_protocol.codec import digest, pack
from medsync_protocol.decision import ConsentSettings, DecisionView
from medsync_protocol.directive import Signed, decode_signed
from medsync_protocol.errors import Invalid, Refused, UnknownSubject
from medsync_protocol.heartbeat import Heartbeat, HeartbeatBook, encode_heartbeat, open_heartbeat, pulse_of
from medsync_protocol.erasure import KINDS, ErasureBook, Erases
from medsync_protocol.glass import KINDS as GLASS_KINDS, NOTICES, broken_parties, review_parties
from medsync_protocol.glass_book import GlassBook
from medsync_protocol.ids import (
    ChainId, ContextId, DeviceId, DirectiveId, Instant, MemberId, NetworkId, OpId, SubjectRef,
)  # fmt: skip
from medsync_protocol.kinds import EntryKind, Verdict
from medsync_protocol.receipt import ViewRecord, decode_receipt, request_of
from medsync_protocol.settled_cuts import SettledCuts
from medsync_protocol.subject import Standing, SubjectRecord, decode_record
from medsync_protocol.subject_file import DocumentKind, SubjectFile, read_document

MAX_CACHED_VIEWS: Final = 65_536  # subjects whose counted directives are kept between decisions
MAX_LINKED: Final = 64  # pseudonyms of one patient; a larger closure is answered by UNKNOWN_SUBJECT
_FOLDED: Final[Mapping[int, DocumentKind]] = {
    EntryKind.SUBJECT: DocumentKind.RECORD,
    EntryKind.SUBJECT_LINK: DocumentKind.LINK,
    EntryKind.DIRECTIVE: DocumentKind.DIRECTIVE,
    EntryKind.REVOCATION: DocumentKind.REVOCATION,
}


@dataclass(frozen=True, slots=True)
class _Static:
    """What of a view changes only when entries do."""

    linked: tuple[SubjectRef, ...]
    known: bool
    directives: tuple[Counted, ...]
    home_sets: tuple[tuple[MemberId, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectiveStatus:
    """A directive as people ask for it. `level`: recorded until a majority of the homes hold it, then effective."""

    counted: Counted | None
    level: str
    carriers: tuple[Carrier, ...]


class MedSyncApplication(Announces, Erases, FollowsFinality):
    """State of one context's consent: a function of the set of (entry, verdict), in any order, with repeats."""

    name = "medsync"
    indexed = frozenset({int(EntryKind.ACCESS), int(EntryKind.RECEIPT)})
    notices = NOTICES

    def __init__(
        self, network: NetworkId, context: ContextId, settings: ConsentSettings | None = None
    ) -> None:
        self.network, self.context = network, context
        self.settings = settings or ConsentSettings()
        self._files: dict[SubjectRef, SubjectFile] = {}
        self._links: dict[SubjectRef, set[SubjectRef]] = {}
        self._keys: dict[SubjectRef, bytes] = {}
        self._place_of: dict[DirectiveId, SubjectRef] = {}
        self._views: dict[SubjectRef, _Static] = {}
        self._standings: dict[SubjectRef, Standing | None] = {}
        self._final: dict[ChainId, int] = {}
        self._homes: set[MemberId] = set()
        self.erasure = ErasureBook(network, context)
        self.glass = GlassBook(network, context)
        self._closed: set[SubjectRef] = set()
        self.cuts: SettledCuts | None = None
        self.unreadable = 0  # entries that decoded to nothing, repeats counted: for status only

    # -- folding ----------------------------------------------------------------------------------------------

    def fold(self, entry: OpenedEntry, verdict: Verdict) -> None:
        """Take an entry under its verdict; the last verdict of an entry counts. Malformed ones are passed over."""
        if entry.kind in KINDS:
            self._fold_erasure(entry, verdict)
            return
        if entry.kind in GLASS_KINDS:
            self._fold_glass(entry, verdict)
            return
        kind = _FOLDED.get(entry.kind)
        if kind is None:
            return
        try:
            document = read_document(kind, entry, self.network, self.context, self._files)
        except Invalid:
            self.unreadable += 1
            return
        carrier = Carrier(entry.op_id, entry.index, entry.author, entry.chain, entry.seq, entry.hlc, verdict)
        if not self._closed.isdisjoint(document.subjects):
            return
        for subject in document.subjects:
            self._file(subject).hold(document, carrier)
            self._changed(subject)
        if kind is DocumentKind.RECORD:
            self._keys[document.subjects[0]] = document.subject_key
            self._homes.update(decode_record(document.text).homes)
        elif kind is DocumentKind.LINK:
            first, second = document.subjects
            self._links.setdefault(first, set()).add(second)
            self._links.setdefault(second, set()).add(first)
            self._changed(first)
        elif kind is DocumentKind.DIRECTIVE:
            self._place_of[DirectiveId(document.id)] = document.subjects[0]

    def _fold_erasure(self, entry: OpenedEntry, verdict: Verdict) -> None:
        try:
            self._changed(self.erasure.take(entry, verdict))
        except Invalid:
            self.unreadable += 1

    def _fold_glass(self, entry: OpenedEntry, verdict: Verdict) -> None:
        if entry.subject is not None and entry.subject in self._closed:
            return
        try:
            self.glass.take(entry, verdict)
        except Invalid:
            self.unreadable += 1

    def _file(self, subject: SubjectRef) -> SubjectFile:
        held = self._files.get(subject)
        if held is None:
            held = self._files[subject] = SubjectFile(subject)
        return held

    def _changed(self, subject: SubjectRef) -> None:
        if subject in self._links:
            for linked in self._closure(subject):
                self._views.pop(linked, None)
        self._views.pop(subject, None)
        self._standings.pop(subject, None)

    def set_final(self, cut: Mapping[ChainId, int]) -> None:
        """Operations below `cut` (chain → next seq) are final: changes of homes among them take force."""
        self._final = dict(cut)
        self._views.clear()
        self._standings.clear()

    def subject_keys(self) -> Mapping[SubjectRef, bytes]:
        """Subject keys by pseudonym. A record proves its key (the pseudonym is its hash), whatever its verdict."""
        return self._keys

    # -- erasure ----------------------------------------------------------------------------------------------

    def hidden(self, subject: SubjectRef) -> bool:
        """Whether the subject was erased, or its erasure is ordered: an order hides it at once."""
        return subject in self._closed or self.order(subject) is not None

    def order(self, subject: SubjectRef, final: Mapping[ChainId, int] | None = None) -> OpId | None:
        """The operation that orders the subject's erasure; None for none, or of whom nothing is held."""
        held = self._files.get(subject)
        if held is None or not self.erasure.mentions(subject):
            return None
        return self.erasure.order(
            subject, lambda chain, seq: held.judged_by(chain, seq, self._final, self.cuts), final
        )

    def erasable(self) -> Mapping[SubjectRef, OpId]:
        """Subjects whose order is final and held up by no legal hold, with the order."""
        found: dict[SubjectRef, OpId] = {}
        for subject in self._orderable():
            standing = self.standing(subject)
            order = self.order(subject, self._final)
            if standing is not None and order is not None and not self.erasure.holds(subject, standing, self._final):
                found[subject] = order
        return found

    def carried_out(self) -> Mapping[SubjectRef, Mapping[OpId, set[MemberId]]]:
        """Subjects held here by whose final order members said that they destroyed them, with order and members."""
        found = {subject: self.erasure.carried_out(subject, self._final) for subject in self._orderable()}
        return {subject: told for subject, told in found.items() if told}

    def _orderable(self) -> list[SubjectRef]:
        return [subject for subject in self.erasure.subjects() if subject not in self._closed]

    def close(self, subject: SubjectRef) -> Iterable[tuple[tuple[ChainId, int], int]]:
        """Forget a subject for good; where the entries about it stood."""
        self._closed.add(subject)
        self._changed(subject)
        self._keys.pop(subject, None)
        self._place_of = {named: about for named, about in self._place_of.items() if about != subject}
        for linked in self._links.pop(subject, set()):
            self._links.get(linked, set()).discard(subject)
        held = self._files.pop(subject, None)
        return [*self.glass.close(subject), *(() if held is None else held.places())]

    def about(self, entry: OpenedEntry) -> tuple[SubjectRef, ...]:
        """Whom an entry is about; nobody for what is malformed, or says something about an erasure."""
        if entry.subject is not None:
            return (entry.subject,)
        if entry.kind != EntryKind.SUBJECT:
            return ()
        try:
            return (decode_record(entry.payload).pseudonym(self.network, self.context),)
        except Invalid:
            return ()

    # -- reading ----------------------------------------------------------------------------------------------

    def is_home(self, member: MemberId) -> bool:
        """Whether any revision of any record names the member as a home: then its heartbeats are waited for."""
        return member in self._homes

    def subjects(self) -> list[SubjectRef]:
        """Pseudonyms with an effective enrolment, ascending."""
        return [subject for subject in self.filed() if self.listed(subject)]

    def filed(self, after: bytes = b"") -> list[SubjectRef]:
        """Every pseudonym greater than `after` that anything is held of, ascending; `listed` says which are shown."""
        return sorted(subject for subject in self._files if subject > after)

    def listed(self, subject: SubjectRef) -> bool:
        """Whether it has an effective enrolment and was not erased."""
        return self.standing(subject) is not None and not self.hidden(subject)

    def standing(self, subject: SubjectRef) -> Standing | None:
        """The subject's record as its effective revisions have it; None when there is none."""
        if subject not in self._standings:
            held = self._files.get(subject)
            if held is None:
                return None
            if len(self._standings) >= MAX_CACHED_VIEWS:
                self._standings.clear()
            self._standings[subject] = held.standing(self._final)
        return self._standings[subject]

    def records(self, subject: SubjectRef) -> dict[bytes, SubjectRecord]:
        """The revisions that stand, by id: one, or several written concurrently. Raises UnknownSubject."""
        texts = {
            named: self._files[subject].text(DocumentKind.RECORD, named)
            for named in self.subject(subject).heads
        }
        return {named: decode_record(text) for named, text in texts.items() if text is not None}

    def subject(self, subject: SubjectRef) -> Standing:
        """As `standing`. Raises UnknownSubject."""
        if self.hidden(subject):
            raise Refused(
                "this subject was erased", code="erased", advice="nothing can be written or read about it any more"
            )
        found = self.standing(subject)
        if found is None:
            raise UnknownSubject(
                "no such subject here", code="unknown_subject", advice="enrol or link it first"
            )
        return found

    def directives(self, subject: SubjectRef) -> tuple[Counted, ...]:
        """What counts for a subject, linked pseudonyms included, ascending by id. Raises UnknownSubject."""
        self.subject(subject)
        return self._static(subject).directives

    def linked(self, subject: SubjectRef) -> tuple[SubjectRef, ...]:
        """Pseudonyms that decisions on this one look at too, ascending. Raises UnknownSubject."""
        self.subject(subject)
        return self._static(subject).linked

    def vouching(self, subject: SubjectRef) -> frozenset[bytes]:
        """Keys of the patient's side and of custodians, of this record and of those linked to it from both sides."""
        standings = {one: self.standing(one) for one in self._closure(subject)}
        trusted, _ = _reach(subject, {one: self._file_at(one, None) for one in standings}, standings)
        records = [held for one in (subject, *trusted) if (held := standings[one]) is not None]
        return frozenset().union(*(s.patient_keys | s.delegate_keys | s.former_keys | s.custodians for s in records))

    def directive(self, named: DirectiveId, book: HeartbeatBook | None = None) -> DirectiveStatus:
        """One directive with its level. Raises Refused when it is not held."""
        subject = self.subject_of(named)
        held = self._files[subject]
        carriers = held.carriers(DocumentKind.DIRECTIVE, named)
        counted = next((one for one in held.counted(self._final) if one.id == named), None)
        return DirectiveStatus(counted=counted, level=self._level(subject, carriers, book), carriers=carriers)

    def revocation_level(self, subject: SubjectRef, named: bytes, book: HeartbeatBook) -> str:
        """ "recorded" until ⌊h/2⌋+1 of the homes said that they hold the revocation, then "effective"."""
        self.subject(subject)
        carriers = self._files[subject].carriers(DocumentKind.REVOCATION, named)
        return self._level(subject, carriers, book)

    def _level(self, subject: SubjectRef, carriers: Iterable[Carrier], book: HeartbeatBook | None) -> str:
        standing = self.standing(subject)
        if standing is None or book is None:
            return "recorded"
        held = all(
            any(book.holders(homes, one.chain, one.seq) >= len(homes) // 2 + 1 for one in carriers)
            for homes in standing.home_sets
        )
        return "effective" if held else "recorded"

    def subject_of(self, named: DirectiveId) -> SubjectRef:
        """The pseudonym that a directive is about. Raises Refused when it is not held."""
        subject = self._place_of.get(named)
        if subject is None:
            raise Refused(
                "no such directive here", code="unknown_directive", advice="check its id, or sync first"
            )
        return subject

    def signed(self, named: DirectiveId) -> Signed:
        """A directive as it was signed. Raises Refused when it is not held."""
        text = self._files[self.subject_of(named)].text(DocumentKind.DIRECTIVE, named)
        assert text is not None, "subject_of found it"
        return decode_signed(text)

    def carried_by(self, subject: SubjectRef, document: bytes) -> OpId | None:
        """An effective operation that carries a directive or revocation already, by the document's id."""
        held = self._files.get(subject)
        if held is None:
            return None
        kinds = (DocumentKind.DIRECTIVE, DocumentKind.REVOCATION)
        carriers = [one for kind in kinds for one in held.carriers(kind, document)]
        return min((one.op_id for one in carriers if one.verdict.effective), default=None)

    def numbers(self, subject: SubjectRef, signer: bytes) -> tuple[dict[int, DirectiveId], int]:
        """(number → directive of a key, as held; the highest number that the key's series was taken back to)."""
        held = self._files.get(subject)
        return ({}, 0) if held is None else held.numbers(signer)

    def next_number(self, subject: SubjectRef, signer: bytes) -> int:
        """The number a key's next directive should bear: above every one held and every one it took back."""
        held = self._files.get(subject)
        return 1 if held is None else held.next_number(signer)

    def parties(self, entry: OpenedEntry) -> Iterable[MemberId]:
        """Requester, custodian and homes of an access entry or receipt; of broken glass and reviews every custodian too.

        Nobody for one that is malformed.
        """
        try:
            named = _PARTIES[entry.kind](entry.payload)
        except (KeyError, Invalid):
            return ()
        standing = self.standing(entry.subject) if entry.subject is not None else None
        if standing is None:
            return set(named)
        return {*named, *standing.homes, *(standing.custodians if entry.kind in GLASS_KINDS else ())}

    # -- views ------------------------------------------------------------------------------------------------

    def view(
        self, subject: SubjectRef, *, now: Instant, held: Mapping[ChainId, int], book: HeartbeatBook
    ) -> tuple[DecisionView, tuple[Heartbeat, ...]]:
        """The inputs of a decision, and the heartbeats used. `held`: chain → next seq held, readable and judged."""
        static = self._static(subject)
        homes = {home for homes in static.home_sets for home in homes}
        used = book.usable(homes, held, now + self.settings.skew)
        return self._view(subject, static, used, book.clock_offset()), used

    def record_view(
        self, view: DecisionView, used: Iterable[Heartbeat], *, held: Mapping[ChainId, int],
        heads: Mapping[ChainId, bytes], k: int,
    ) -> ViewRecord:  # fmt: skip
        """What a receipt records of a view; `heads` are the ids of each chain's last operation below `held`."""
        return ViewRecord(
            vector=tuple((chain, count, heads[chain]) for chain, count in sorted(held.items()) if count),
            k=k, heartbeats=tuple(map(encode_heartbeat, used)), home_sets=view.home_sets,
            clock_offset=view.clock_offset,
        )  # fmt: skip

    def view_at(
        self, subject: SubjectRef, record: ViewRecord, devices: Mapping[DeviceId, MemberId]
    ) -> DecisionView:
        """The view that a receipt recorded, from what is held here: entries beyond its vector don't count.

        The recorded homes are taken if they can have been asked then: those that stand once all is final, and of those
        that were replaced any, for a change may not have been final yet where it was decided. Raises Invalid when a heartbeat in the record doesn't hold. Verdicts are today's: where a removal has
        since voided an entry, the digest differs and re-computation says so.
        """
        below = {chain: count for chain, count, _ in record.vector}
        used = [open_heartbeat(one, self.network, self.context, devices) for one in record.heartbeats]
        static = self._make_static(subject, below, self._final)
        ever = self._make_static(subject, below, {}).home_sets
        if set(static.home_sets) <= set(record.home_sets) <= set(ever):
            static = replace(static, home_sets=record.home_sets)
        return self._view(subject, static, used, record.clock_offset)

    def _view(
        self, subject: SubjectRef, static: _Static, used: Iterable[Heartbeat], offset: int | None
    ) -> DecisionView:
        return DecisionView(
            subject=subject, linked=static.linked, known=static.known, erased=self.hidden(subject),
            directives=static.directives, home_sets=static.home_sets, pulses=tuple(map(pulse_of, used)),
            clock_offset=offset, settings=self.settings,
        )  # fmt: skip

    def _static(self, subject: SubjectRef) -> _Static:
        static = self._views.get(subject)
        if static is None:
            if len(self._views) >= MAX_CACHED_VIEWS:
                self._views.clear()
            static = self._views[subject] = self._make_static(subject, None, self._final)
        return static

    def _make_static(
        self, subject: SubjectRef, below: Mapping[ChainId, int] | None, final: Mapping[ChainId, int]
    ) -> _Static:
        """Own directives as they count; of linked pseudonyms what they deny, and grants where both sides linked."""
        files = {one: self._file_at(one, below) for one in self._closure(subject)}
        standings = {one: held.standing(final) for one, held in files.items()}
        if standings[subject] is None:
            return _Static((), False, (), ())
        trusted, linked = _reach(subject, files, standings)
        found = {one.id: one for one in files[subject].counted(final)}
        for other in linked:
            for one in files[other].counted(final):
                found[one.id] = one if other in trusted else _denials_of(one)
        homes = {
            homes for one in (subject, *linked) if (s := standings[one]) is not None for homes in s.home_sets
        }
        return _Static(tuple(linked), len(linked) <= MAX_LINKED, tuple(found[i] for i in sorted(found)), tuple(sorted(homes)))  # fmt: skip

    def _file_at(self, subject: SubjectRef, below: Mapping[ChainId, int] | None) -> SubjectFile:
        held = self._files.get(subject)
        if held is None:
            return SubjectFile(subject)
        return held if below is None else held.below(below)

    def _closure(self, subject: SubjectRef) -> set[SubjectRef]:
        found, waiting = {subject}, [subject]
        while waiting:
            for other in self._links.get(waiting.pop(), ()):
                if other not in found:
                    found.add(other)
                    waiting.append(other)
        return found

    # -- questions --------------------------------------------------------------------------------------------

    def query(self, method: str, arguments: tuple[Any, ...]) -> Any:
        """`subjects()`, `subject(ref)`, `directives(ref)`, `directive(id)`, `next_number(ref, key)`.

        Raises Refused for an unknown method or argument, UnknownSubject for an unknown subject.
        """
        methods: dict[str, Callable[..., Any]] = {
            "subjects": self.subjects, "subject": self.subject, "directives": self.directives,
            "directive": self.directive, "next_number": self.next_number,
        }  # fmt: skip
        if method not in methods:
            raise Refused(
                f"no question {method!r}", code="unknown_method", advice=f"one of {sorted(methods)}"
            )
        try:
            return methods[method](*arguments)
        except TypeError as error:
            raise Refused(f"{method} takes other arguments", code="arguments", advice=str(methods[method].__doc__)) from error  # fmt: skip

    def state_digest(self) -> bytes:
        """32 bytes over everything folded: equal for equal sets of (entry, verdict), whatever the order."""
        return digest(pack([self._files[subject].fields() for subject in sorted(self._files)]))


def _receipt_parties(payload: bytes) -> tuple[MemberId, ...]:
    entry = decode_receipt(payload)
    request = request_of(entry)
    return (entry.receipt.signer,) if request is None else (entry.receipt.signer, request.requester)


_PARTIES: Final[Mapping[int, Callable[[bytes], tuple[MemberId, ...]]]] = {
    EntryKind.ACCESS: access_parties,
    EntryKind.RECEIPT: _receipt_parties,
    EntryKind.BREAK_GLASS: broken_parties,
    EntryKind.REVIEW: review_parties,
}


def _reach(
    subject: SubjectRef, files: Mapping[SubjectRef, SubjectFile], standings: Mapping[SubjectRef, Standing | None]
) -> tuple[set[SubjectRef], list[SubjectRef]]:  # fmt: skip
    """(pseudonyms linked from both sides all the way, all that are linked), without the subject itself."""
    reached: dict[bool, set[SubjectRef]] = {True: {subject}, False: {subject}}
    for both, found in reached.items():
        waiting = [subject]
        while waiting:
            at = waiting.pop()
            for other, sides in files[at].linked(standings).items():
                if other in files and other not in found and (sides == 2 if both else sides):
                    found.add(other)
                    waiting.append(other)
    return reached[True] - {subject}, sorted(reached[False] - {subject})


def _denials_of(counted: Counted) -> Counted:
    return replace(counted, permits=False, reason=counted.reason or "the link between the pseudonyms is one-sided")
