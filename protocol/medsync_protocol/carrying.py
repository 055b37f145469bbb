"""Whether a document may be carried into the record by this member: refused here, with advice, before it is written.

The fold counts what the record holds by `authority.py`, whoever wrote it; these checks keep honest members from
writing what would count for nothing.
"""

from __future__ import annotations

from typing import TypeVar

from medsync_protocol.access import AccessEntry, Half
from medsync_protocol.authority import MAX_CARRY_MS, MAX_EARLY_MS, Source, only_recipient
from medsync_protocol.consent import MedSyncApplication
from medsync_protocol.directive import (
    Basis,
    Directive,
    Revocation,
    Signed,
    check_signed,
    directive_id,
    parse_directive,
    parse_revocation,
    validate,
)
from medsync_protocol.errors import BadSignature, Malformed, NotPermitted, Refused
from medsync_protocol.ids import DirectiveId, Instant, MemberId
from medsync_protocol.purposes import is_known
from medsync_protocol.rule import ACTIONS
from medsync_protocol.subject import Standing

_Document = TypeVar("_Document", Directive, Revocation)


def read_signed_directive(signed: Signed, application: MedSyncApplication) -> Directive:
    """The directive in a signed document, its form, place and signature checked. Raises Refused."""
    try:
        return _checked(parse_directive(signed.document), signed, application)
    except Malformed as error:
        raise _unreadable() from error


def read_signed_revocation(signed: Signed, application: MedSyncApplication) -> Revocation:
    """The revocation in a signed document, its form, place and signature checked. Raises Refused."""
    try:
        return _checked(parse_revocation(signed.document), signed, application)
    except Malformed as error:
        raise _unreadable() from error


def _unreadable() -> Refused:
    return Refused(
        "the document is not one that this version reads", code="malformed",
        advice="make it by `medsync consent grant --key` or the client library, and hand it over unchanged",
    )  # fmt: skip


def _checked(document: _Document, signed: Signed, application: MedSyncApplication) -> _Document:
    if (document.network, document.context) != (application.network, application.context):
        raise Refused(
            "the document was signed for another network or context", code="wrong_context",
            advice="sign a document for this one: `subject show` names network and context",
        )  # fmt: skip
    validate(document)
    try:
        check_signed(document, signed)
    except BadSignature as error:
        raise Refused(
            "the signature does not verify under the key that the document names", code="bad_signature",
            advice="sign the very bytes that are handed over, by the document's signer",
        ) from error  # fmt: skip
    return document


def source_by(record: Standing, signer: bytes, me: MemberId) -> Source:
    """In what quality a document by `signer` would stand when `me` carries it."""
    if signer in record.patient_keys:
        return Source.PATIENT
    if signer in record.delegate_keys:
        return Source.DELEGATE
    if signer == me:
        return Source.CUSTODIAN if me in record.custodians else Source.MEMBER
    return Source.FORMER if signer in record.former_keys else Source.NOBODY


def check_grant(
    directive: Directive, document: bytes, application: MedSyncApplication, me: MemberId, now: Instant
) -> None:
    """Raises Refused or NotPermitted for a directive that would not count as its signer means it."""
    record = application.subject(directive.subject)
    source = source_by(record, directive.signer, me)
    if source is Source.NOBODY:
        raise NotPermitted(
            "the signing key is not in the subject's record", code="unknown_signer",
            advice="a custodian adds it with `medsync subject key`",
        )  # fmt: skip
    of_patient = source in (Source.PATIENT, Source.DELEGATE, Source.FORMER)
    if (directive.basis is Basis.PATIENT_SIGNED) != of_patient:
        raise Refused(
            "the basis does not fit the key: patient-signed is by a key of the record, attested by a custodian",
            code="basis", advice="sign with the basis that fits",
        )  # fmt: skip
    _check_number(directive, document, application)
    if directive.permits:
        _check_permit(directive, source, now)
    for named in directive.supersedes:
        _check_same_subject(named, directive.subject, application)


def _check_number(directive: Directive, document: bytes, application: MedSyncApplication) -> None:
    used, taken_back = application.numbers(directive.subject, directive.signer)
    free = application.next_number(directive.subject, directive.signer)
    other = used.get(directive.number)
    if other is not None and other != directive_id(document):
        raise Refused(
            f"number {directive.number} is used by another directive of this key", code="number_used",
            advice=f"sign it again with number {free}",
        )  # fmt: skip
    if directive.number <= taken_back:
        raise Refused(
            f"this key's directives up to number {taken_back} were taken back, seen or not",
            code="number_taken_back", advice=f"sign it again with number {free}",
        )  # fmt: skip


def _check_permit(directive: Directive, source: Source, now: Instant) -> None:
    if source is Source.FORMER:
        raise NotPermitted(
            "the record no longer names the signing key: it may deny and take back, not grant",
            code="former_key", advice="sign by a key that the record names",
        )  # fmt: skip
    if source is Source.MEMBER:
        raise NotPermitted(
            "only a custodian attests a grant", code="not_custodian",
            advice="ask one of the subject's custodians, or let the patient sign",
        )  # fmt: skip
    if source is Source.CUSTODIAN and only_recipient(directive) == directive.signer:
        raise NotPermitted(
            "a member can't attest a grant whose only recipient is itself", code="self_attested",
            advice="let the patient sign it, or another custodian attest it",
        )  # fmt: skip
    if now - directive.signed_at > MAX_CARRY_MS:
        raise Refused(
            "a grant is carried within 30 days of signing",
            code="carried_late",
            advice="let it be signed anew",
        )
    if directive.signed_at - now > MAX_EARLY_MS:
        raise Refused(
            "the grant was signed in the future", code="signed_early",
            advice="check the clock where it was signed, and here",
        )  # fmt: skip


def _check_same_subject(named: DirectiveId, subject: bytes, application: MedSyncApplication) -> None:
    try:
        about = application.subject_of(named)
    except Refused:
        return  # not seen here yet: it counts when it comes
    if about != subject:
        raise Refused(
            "it names a directive of another pseudonym", code="other_subject",
            advice="write it under the pseudonym that the directive is about",
        )  # fmt: skip


def check_revocation(revocation: Revocation, application: MedSyncApplication, me: MemberId) -> None:
    """Raises Refused or NotPermitted for a revocation that would take nothing back."""
    record = application.subject(revocation.subject)
    if source_by(record, revocation.signer, me) is Source.NOBODY:
        raise NotPermitted(
            "the signing key is not in the subject's record", code="unknown_signer",
            advice="a custodian adds it with `medsync subject key`, or revokes by its own authority",
        )  # fmt: skip
    for named in revocation.targets:
        _check_same_subject(named, revocation.subject, application)


def check_logged(entry: AccessEntry, record: Standing, me: MemberId) -> None:
    """Raises NotPermitted for a half of an access that isn't this member's to log."""
    if entry.half is Half.BREAK_GLASS:
        raise Refused(
            "breaking glass is a call of its own: it wants a reason and leaves a review to be done", code="break_glass",
            advice="use `medsync access break-glass`",
        )  # fmt: skip
    mine = {
        Half.DISCLOSED: entry.custodian, Half.REFUSED: entry.custodian, Half.REQUESTED: entry.requester,
        Half.LOG_READ: entry.requester,
    }[entry.half]  # fmt: skip
    if mine != me:
        raise NotPermitted(
            "this half of an access is another member's to log", code="other_half",
            advice="the requester logs `requested`, the custodian `disclosed` or `refused`",
        )  # fmt: skip
    if entry.custodian not in record.custodians:
        raise NotPermitted(
            "the member named as custodian is none of the subject's", code="not_custodian",
            advice="see `medsync subject show`",
        )  # fmt: skip
    for code in entry.purposes:
        if not is_known(code):
            raise Refused(
                f"{code!r} is no purpose of use",
                code="unknown_purpose",
                advice="use a code of HL7's PurposeOfUse",
            )
    if entry.action not in ACTIONS:
        raise Refused(
            f"{entry.action!r} is no action", code="unknown_action", advice=f"use one of {sorted(ACTIONS)}"
        )
