"""What a member does at its own copy of a context's consent record: writes that make sense, decisions, checks.

A composition: signing is `directive.py`'s and `receipt.py`'s, what counts `authority.py`'s, the answer
`decision.py`'s. Every write returns its result and the drafts to submit; nothing is written here. Raises Refused
and NotPermitted with a code and an advice, never with patient data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from medsync_protocol.access import (
    AccessEntry,
    Answer,
    Half,
    Request,
    encode_request,
    half_of,
    request_hash,
)
from medsync_protocol.application import Draft
from medsync_protocol.breaking import Breaking
from medsync_protocol.carrying import (
    check_grant,
    check_logged,
    check_revocation,
    read_signed_directive,
    read_signed_revocation,
)
from medsync_protocol.consent import MedSyncApplication
from medsync_protocol.crypto import Entropy
from medsync_protocol.decision import DecisionView, decide
from medsync_protocol.directive import (
    NO_SERIES,
    SALT_BYTES,
    Basis,
    Directive,
    Revocation,
    Signed,
    directive_id,
    revocation_id,
    sign_directive,
    sign_revocation,
)
from medsync_protocol.drafts import (
    access_draft,
    directive_draft,
    link_draft,
    receipt_draft,
    revocation_draft,
    subject_draft,
)
from medsync_protocol.erasure import (
    MAX_REASON, NOTHING, EraseOrder, LegalHold, checked_order, hold_draft, order_draft, parse_order, sign_order,
)  # fmt: skip
from medsync_protocol.errors import BadSignature, Invalid, Malformed, NotPermitted, Refused
from medsync_protocol.explaining import Explanation, explain
from medsync_protocol.heartbeat import HeartbeatBook
from medsync_protocol.ids import ChainId, DirectiveId, Instant, MemberId, OpId, SubjectRef
from medsync_protocol.kinds import Role
from medsync_protocol.receipt import (
    Receipt,
    ReceiptEntry,
    Recomputed,
    ViewRecord,
    encode_view,
    issue,
    verify_receipt,
)
from medsync_protocol.replica import Replica
from medsync_protocol.reviewing import Review
from medsync_protocol.rule import Actor, ActorKind, Effect, Rule
from medsync_protocol.subject import (
    Link,
    Standing,
    SubjectRecord,
    encode_link,
    encode_record,
    make_link,
    open_link,
    record_id,
)
from medsync_protocol.verification import Verification, verification

_Sortable = TypeVar("_Sortable", bound=bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A document on its way into the record. `held` names the effective operation that carries it already:
    then there is nothing to submit."""

    id: bytes
    subject: SubjectRef
    number: int | None = None
    held: OpId | None = None


class Desk:
    """See the module. `readable`: chain → next seq of what this replica holds, could open and has judged."""

    def __init__(
        self, replica: Replica, book: HeartbeatBook, readable: Mapping[ChainId, int], entropy: Entropy
    ) -> None:
        if not isinstance(replica.application, MedSyncApplication):
            raise Refused(
                "this context keeps no consents",
                code="no_consents",
                advice="use a context of application medsync",
            )
        self.application = replica.application
        self._replica, self._book, self._readable, self._entropy = replica, book, readable, entropy
        self._me = replica.member
        self.review = Review(replica, replica.application, readable)
        self.glass = Breaking(replica, replica.application, lambda now, request: self._view(now, request)[0])

    # -- subjects ---------------------------------------------------------------------------------------------

    def enrol(
        self, now: Instant, *, custodians: Iterable[MemberId] = (), homes: Iterable[MemberId] = (),
        patient_keys: Iterable[bytes] = (), delegate_keys: Iterable[bytes] = (),
    ) -> tuple[SubjectRef, list[Draft]]:  # fmt: skip
        """A new subject with a random pseudonym. This member is a custodian, and the home when none is named."""
        record = SubjectRecord(
            salt=self._entropy("subject salt", 16), founder=self._me, subject_key=self._entropy("subject key", 32),
            custodians=_ascending((self._me, *custodians)), homes=_ascending(homes) or (self._me,),
            patient_keys=_ascending(patient_keys), delegate_keys=_ascending(delegate_keys),
        )  # fmt: skip
        self._writers((*record.custodians, *record.homes))
        return record.pseudonym(self._replica.network, self._replica.context), [subject_draft(record)]

    def link(
        self, now: Instant, subjects: tuple[SubjectRef, SubjectRef], *, signer: bytes = b"", signature: bytes = b""
    ) -> tuple[Link, list[Draft]]:  # fmt: skip
        """Say that two pseudonyms are one patient's: as a custodian of either, or with the patient's signature.

        Grants reach across only where both sides vouch, by a custodian or a patient key each.
        """
        records = [self.application.subject(one) for one in subjects]
        link = make_link(self._replica.network, self._replica.context, subjects)
        if signer:
            link = replace(link, signer=signer, signature=signature)
            try:
                open_link(encode_link(link), self._replica.network, self._replica.context)
            except Invalid as error:
                raise Refused(
                    "the link's signature does not verify", code="bad_signature",
                    advice="sign the link for this network and context by the patient's key",
                ) from error  # fmt: skip
            if not any(signer in record.patient_keys for record in records):
                raise NotPermitted(
                    "the signing key is in neither record", code="unknown_signer",
                    advice="sign by a patient key of one of them",
                )  # fmt: skip
        elif not any(self._me in record.custodians for record in records):
            raise _not_custodian("only a custodian of either pseudonym, or the patient, links them")
        return link, [link_draft(link)]

    def change_keys(
        self, now: Instant, subject: SubjectRef, *, add_patient: Iterable[bytes] = (),
        add_delegate: Iterable[bytes] = (), drop: Iterable[bytes] = (),
    ) -> tuple[int, list[Draft]]:  # fmt: skip
        """A new revision with other keys; returns its number. Denials by a dropped key stay, its grants end."""
        record = self.application.subject(subject)
        gone = set(drop)
        unknown = gone - record.patient_keys - record.delegate_keys
        if unknown:
            raise Refused(
                "a key to be dropped is not in the record", code="unknown_key", advice="see `subject show`"
            )
        patient = _ascending((record.patient_keys | set(add_patient)) - gone)
        delegate = _ascending((record.delegate_keys | set(add_delegate)) - gone)
        return self._revise(subject, patient_keys=patient, delegate_keys=delegate)

    def change_members(
        self, now: Instant, subject: SubjectRef, *, custodians: Iterable[MemberId], homes: Iterable[MemberId]
    ) -> tuple[int, list[Draft]]:
        """A new revision with these custodians and homes, all of them. Other homes take force when it is final."""
        named = _ascending(custodians), _ascending(homes)
        self._writers((*named[0], *named[1]))
        return self._revise(subject, custodians=named[0], homes=named[1])

    def _revise(self, subject: SubjectRef, **changed: tuple[bytes, ...]) -> tuple[int, list[Draft]]:
        """One draft on each revision that stands, so that concurrent ones are joined."""
        standing = self.application.subject(subject)
        if self._me not in standing.custodians:
            raise _not_custodian("only a custodian changes a subject's record")
        now_standing = {
            "custodians": _ascending(standing.custodians), "patient_keys": _ascending(standing.patient_keys),
            "delegate_keys": _ascending(standing.delegate_keys),
        }  # fmt: skip
        drafts = []
        revision = 0
        for before in self.application.records(subject).values():
            fields = {**now_standing, **changed, "previous": record_id(encode_record(before))}
            following = replace(before, revision=before.revision + 1, **fields)  # type: ignore[arg-type]
            revision = max(revision, following.revision)
            drafts.append(subject_draft(following))
        return revision, drafts

    def _writers(self, members: Iterable[MemberId]) -> None:
        held = self._replica.membership.members
        for member in members:
            if member not in held:
                raise Refused(
                    "a custodian or home is no member of this context", code="unknown_member",
                    advice="see `medsync context show`",
                )  # fmt: skip
            if held[member].role < Role.MEMBER:
                raise Refused(
                    "a reader can be neither custodian nor home: it may not write", code="reader",
                    advice="name members or admins",
                )  # fmt: skip

    # -- consents ---------------------------------------------------------------------------------------------

    def grant_signed(self, now: Instant, document: bytes, signature: bytes) -> tuple[Written, list[Draft]]:
        """Carry a directive that a key of the record signed elsewhere. The same one again changes nothing."""
        signed = Signed(document, signature)
        directive = read_signed_directive(signed, self.application)
        return self._carry_directive(now, directive, signed)

    def grant_attested(
        self, now: Instant, subject: SubjectRef, *, base: Effect | None = None, rules: Sequence[Rule] = (),
        valid_from: Instant | None = None, until: Instant | None = None, supersedes: Iterable[DirectiveId] = (),
        evidence: str | None = None,
    ) -> tuple[Written, list[Draft]]:  # fmt: skip
        """Sign a directive as this member: a grant as a custodian, a denial as any member. `valid_from`: else now."""
        self.application.subject(subject)
        directive = Directive(
            network=self._replica.network, context=self._replica.context, subject=subject, signer=self._me,
            number=self.application.next_number(subject, self._me), base=base, rules=tuple(rules),
            valid_from=now if valid_from is None else valid_from, until=until,
            supersedes=_ascending(supersedes), evidence=evidence, basis=Basis.ATTESTED, signed_at=now,
            salt=self._entropy("directive salt", SALT_BYTES),
        )  # fmt: skip
        return self._carry_directive(now, directive, sign_directive(directive, self._seed))

    def _carry_directive(
        self, now: Instant, directive: Directive, signed: Signed
    ) -> tuple[Written, list[Draft]]:
        check_grant(directive, signed.document, self.application, self._me, now)
        named = directive_id(signed.document)
        held = self.application.carried_by(directive.subject, named)
        written = Written(id=named, subject=directive.subject, number=directive.number, held=held)
        return written, [] if held else [directive_draft(signed, self._subject_key(directive.subject))]

    def revoke_signed(self, now: Instant, document: bytes, signature: bytes) -> tuple[Written, list[Draft]]:
        """Carry a revocation that a key of the record signed elsewhere. The same one again changes nothing."""
        signed = Signed(document, signature)
        return self._carry_revocation(read_signed_revocation(signed, self.application), signed)

    def revoke_attested(
        self, now: Instant, subject: SubjectRef, *, targets: Iterable[DirectiveId] = (), series: bytes = NO_SERIES,
        all_before: int = 0,
    ) -> tuple[Written, list[Draft]]:  # fmt: skip
        """Take directives back as this member. What a patient's key denied stays denied (`authority.py`)."""
        self.application.subject(subject)
        named = _ascending(targets)
        for target in named:
            self.application.subject_of(target)
        revocation = Revocation(
            network=self._replica.network, context=self._replica.context, subject=subject, signer=self._me,
            targets=named, series=series, all_before=all_before, signed_at=now,
            salt=self._entropy("revocation salt", SALT_BYTES),
        )  # fmt: skip
        return self._carry_revocation(revocation, sign_revocation(revocation, self._seed))

    def _carry_revocation(self, revocation: Revocation, signed: Signed) -> tuple[Written, list[Draft]]:
        check_revocation(revocation, self.application, self._me)
        named = revocation_id(signed.document)
        held = self.application.carried_by(revocation.subject, named)
        written = Written(id=named, subject=revocation.subject, held=held)
        return written, [] if held else [revocation_draft(signed, self._subject_key(revocation.subject))]

    def verify_consent(self, now: Instant, named: DirectiveId) -> Verification:
        """Every check of a directive by name, from what is held here. Raises Refused when it is not held."""
        return verification(self.application, named, self._book, now)

    # -- erasure ----------------------------------------------------------------------------------------------

    def erase_signed(self, document: bytes, signature: bytes) -> tuple[SubjectRef, list[Draft]]:
        """Carry an order to erase that a key of the record, or another custodian, signed elsewhere."""
        signed = Signed(document, signature)
        order = checked_order(
            signed, self._replica.network, self._replica.context, self._standing(signed.document)
        )
        return order.subject, [order_draft(signed)]

    def _standing(self, document: bytes) -> Standing:
        try:
            return self.application.subject(parse_order(document).subject)
        except Malformed as error:
            raise Refused("this is no order to erase", code="malformed", advice="sign one first") from error

    def erase_attested(self, now: Instant, subject: SubjectRef) -> tuple[SubjectRef, list[Draft]]:
        """Order the erasure as a custodian: it counts once a second custodian orders it too."""
        if self._me not in self.application.subject(subject).custodians:
            raise _not_custodian("only a custodian orders an erasure, or a key of the record")
        order = EraseOrder(
            network=self._replica.network, context=self._replica.context, subject=subject, signer=self._me,
            signed_at=now, salt=self._entropy("order salt", SALT_BYTES),
        )  # fmt: skip
        return subject, [order_draft(sign_order(order, self._seed))]

    def hold(self, subject: SubjectRef, reason: str, releases: OpId = NOTHING) -> tuple[SubjectRef, list[Draft]]:
        """Hold a record back from erasure as a custodian, or end a hold of this member's."""
        standing = self.application.standing(subject) or self.application.subject(subject)
        if self._me not in standing.custodians:
            raise _not_custodian("only a custodian holds a record back")
        if len(reason) > MAX_REASON:
            raise Refused("the reason is too long", code="too_many", advice=f"{MAX_REASON} characters suffice")
        if releases and self.application.erasure.holds(subject, standing).get(releases, (None,))[0] != self._me:
            raise Refused("no such hold of this member", code="unknown_hold", advice="name the operation that made it")
        return subject, [hold_draft(LegalHold(subject=subject, reason=reason, releases=releases))]

    # -- decisions --------------------------------------------------------------------------------------------

    def decide(
        self, now: Instant, request: Request, groups: Iterable[Actor] = ()
    ) -> tuple[ReceiptEntry, list[Draft]]:
        """Answer a request as a custodian of its subject: a receipt, and the custodian's half of the log.

        `groups`: those that were attested to this custodian. Only what this returns releases data, and only after
        the drafts are durable. Raises UnknownSubject, NotPermitted, Refused.
        """
        standing = self.application.standing(request.subject) or self.application.subject(request.subject)
        if self._me not in standing.custodians:
            raise _not_custodian("only a custodian of the subject decides")
        self._check_request(request, frozenset(groups))
        view, record = self._view(now, request)
        receipt = issue(view, record, request, now, signer=self._me, seed=self._seed)
        entry = ReceiptEntry(receipt, encode_request(request), encode_view(record))
        answer = receipt.decision.answer
        half = half_of(
            request, Half.DISCLOSED if answer is Answer.PERMIT else Half.REFUSED, self._me, answer,
            receipt=receipt.id, time=now,
        )  # fmt: skip
        return entry, [
            receipt_draft(entry, request.requester, standing.homes), access_draft(half, standing.homes),
        ]  # fmt: skip

    def _check_request(self, request: Request, groups: frozenset[Actor]) -> None:
        if (request.network, request.context) != (self._replica.network, self._replica.context):
            raise Refused(
                "the request is for another network or context",
                code="wrong_context",
                advice="ask in this one",
            )
        member = self._replica.membership.members.get(request.requester)
        if member is None or member.role < Role.MEMBER:
            raise NotPermitted(
                "the requester may not write its half into the log here", code="not_permitted",
                advice="an admin admits it as a member",
            )  # fmt: skip
        if any(actor.kind is ActorKind.GROUP and actor not in groups for actor in request.actors):
            raise NotPermitted(
                "a group was named that nobody attested to this custodian", code="group_not_attested",
                advice="ask without it, or let the custodian see the attestation first",
            )  # fmt: skip

    def _view(self, now: Instant, request: Request) -> tuple[DecisionView, ViewRecord]:
        """The inputs to decide on, and their record.

        Where something held can't be read yet, a PERMIT stands on what lies below it alone: others re-compute that.
        """
        held = {chain: count for chain, count in self._readable.items() if count}
        view, used = self.application.view(request.subject, now=now, held=held, book=self._book)
        record = self.application.record_view(
            view, used, held=held, heads=self._heads(held), k=self._replica.seen[0]
        )
        behind = any(count > held.get(chain, 0) for chain, count in self._replica.vector.items())
        if behind and decide(view, request, now).answer is Answer.PERMIT:
            below = self.application.view_at(request.subject, record, self.review.devices())
            return below, replace(record, home_sets=below.home_sets)
        return view, record

    def _heads(self, counts: Mapping[ChainId, int]) -> dict[ChainId, bytes]:
        chains = self._replica.chains
        return {chain: chains.slot(chain, count - 1).op_id for chain, count in counts.items()}

    def requested(
        self, now: Instant, request: Request, entry: ReceiptEntry
    ) -> tuple[AccessEntry, list[Draft]]:
        """The requester's half, once a custodian answered. Raises Refused for a receipt that doesn't hold."""
        receipt = entry.receipt
        if request.requester != self._me:
            raise NotPermitted(
                "another member asked this", code="not_permitted", advice="only the requester logs its half"
            )
        self.check_receipt(receipt, request)
        half = half_of(
            request, Half.REQUESTED, receipt.signer, receipt.decision.answer, receipt=receipt.id, time=now
        )
        return half, [access_draft(half, self.application.subject(request.subject).homes)]

    def check_receipt(self, receipt: Receipt, request: Request) -> None:
        """Raises Refused unless a custodian of the subject signed this very answer to this very request."""
        try:
            verify_receipt(receipt)
        except BadSignature as error:
            raise _bad_receipt("its signature does not verify") from error
        if receipt.signer not in self.application.subject(request.subject).custodians:
            raise _bad_receipt("its signer is no custodian of the subject")
        place = (receipt.network, receipt.context, receipt.subject, receipt.request_hash)
        asked = request_hash(encode_request(request))
        if place != (request.network, request.context, request.subject, asked):
            raise _bad_receipt("it answers another request")

    def recompute(self, entry: ReceiptEntry) -> Recomputed:
        """Decide again on the inputs that a receipt names, as far as they are held here."""
        return self.review.recompute(entry)

    def explain(
        self, now: Instant, request: Request, at: Instant | None = None, heard: ReceiptEntry | None = None
    ) -> Explanation:
        """Why a request would be answered as it would: now, or by what was written until `at`, as it is judged today.

        Of the past the answer is what the directives say; that a view was fresh then is known where a receipt of that time,
        `heard`, holds the heartbeats.
        """
        self.application.subject(request.subject)
        if at is not None:
            return explain(self.review.view_until(request.subject, at, heard), request, at, heard=False)
        view, _ = self._view(now, request)
        return explain(view, request, now, decide(view, request, now))

    # -- the log ----------------------------------------------------------------------------------------------

    def logged(self, now: Instant, entries: Sequence[AccessEntry]) -> tuple[int, list[Draft]]:
        """Halves of accesses that took place outside, in bulk. All or none: raises for the first that may not stand."""
        drafts = [self.logged_one(entry) for entry in entries]
        return len(drafts), drafts

    def logged_one(self, entry: AccessEntry) -> Draft:
        """One half of an access that took place outside. Raises NotPermitted, Refused and UnknownSubject."""
        standing = self.application.subject(entry.subject)
        check_logged(entry, standing, self._me)
        return access_draft(entry, standing.homes)

    @property
    def _seed(self) -> bytes:
        return self._replica.identity.signing_seed

    def _subject_key(self, subject: SubjectRef) -> bytes:
        return self.application.subject_keys()[subject]


def _ascending(items: Iterable[_Sortable]) -> tuple[_Sortable, ...]:
    return tuple(sorted(set(items)))


def _not_custodian(message: str) -> NotPermitted:
    return NotPermitted(message, code="not_custodian", advice="ask one of the subject's custodians")


def _bad_receipt(message: str) -> Refused:
    return Refused(
        f"the receipt does not hold: {message}", code="bad_receipt", advice="release nothing; ask again"
    )
