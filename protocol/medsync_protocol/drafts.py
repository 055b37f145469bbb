"""Entries before sealing: what each kind of consent document becomes on its way into an operation (PROTOCOL §2).

Signing is `directive.py`'s and `receipt.py`'s; sealing is `sealing.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterable

from medsync_protocol.access import AccessEntry, encode_access
from medsync_protocol.application import Draft
from medsync_protocol.directive import (
    Signed,
    decode_directive,
    decode_revocation,
    directive_label,
    revocation_label,
)
from medsync_protocol.ids import MemberId
from medsync_protocol.kinds import Audience, EntryKind
from medsync_protocol.receipt import ReceiptEntry, encode_receipt
from medsync_protocol.subject import Link, SubjectRecord, encode_link, encode_record, validate_record


def subject_draft(record: SubjectRecord) -> Draft:
    """A subject record, sealed under the epoch key alone: it carries the subject key. Raises Refused for its form."""
    validate_record(record)
    return Draft(kind=EntryKind.SUBJECT, payload=encode_record(record))


def link_draft(link: Link) -> Draft:
    """A link between two pseudonyms, sealed under the first one's key."""
    return Draft(kind=EntryKind.SUBJECT_LINK, payload=encode_link(link), subject=link.first)


def directive_draft(signed: Signed, subject_key: bytes) -> Draft:
    """A signed directive, with the label from which every member computes its commitment."""
    return Draft(
        kind=EntryKind.DIRECTIVE, payload=signed.payload, subject=decode_directive(signed.document).subject,
        public=directive_label(signed, subject_key),
    )  # fmt: skip


def revocation_draft(signed: Signed, subject_key: bytes) -> Draft:
    """A signed revocation, with its label."""
    return Draft(
        kind=EntryKind.REVOCATION, payload=signed.payload, subject=decode_revocation(signed.document).subject,
        public=revocation_label(signed, subject_key),
    )  # fmt: skip


def access_draft(entry: AccessEntry, homes: Iterable[MemberId]) -> Draft:
    """A half of an access, for requester, custodian and homes."""
    return Draft(
        kind=EntryKind.ACCESS, payload=encode_access(entry), subject=entry.subject, audience=Audience.PARTIES,
        parties=tuple(sorted({entry.requester, entry.custodian, *homes})),
    )  # fmt: skip


def receipt_draft(entry: ReceiptEntry, requester: MemberId, homes: Iterable[MemberId]) -> Draft:
    """A receipt, for requester, signer and homes."""
    return Draft(
        kind=EntryKind.RECEIPT, payload=encode_receipt(entry), subject=entry.receipt.subject,
        audience=Audience.PARTIES, parties=tuple(sorted({requester, entry.receipt.signer, *homes})),
    )  # fmt: skip
