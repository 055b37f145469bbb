"""Accountings of disclosures, and halves of accesses that have no counterpart."""

from __future__ import annotations

from typing import Literal

from medsync_client.accesses import AnswerName, HalfName
from medsync_client.calls import PATIENT, Call, path
from medsync_client.wire import Hex16, Hex32, Millis, View

Mode = Literal["hipaa528", "all"]
Mismatch = Literal["no counterpart", "the counterpart differs", "told twice"]


class AccountingLine(View):
    """Accesses of one kind by one recipient, repeats in one line: the first, the last, and how many."""

    half: HalfName
    outcome: AnswerName
    requester: Hex32
    requester_name: str
    custodian: Hex32
    custodian_name: str
    purposes: tuple[str, ...]
    action: str
    types: tuple[str, ...] | None
    first: Millis
    last: Millis
    count: int


class Accounting(View):
    """Who was given what of a subject, linked pseudonyms included, as far as this member is party to it.

    `hipaa528` (45 CFR 164.528): releases by a custodian and uses of emergency access, save those for treatment, payment and
    operations only, and those that the patient authorised by a signature of her own; how many of these is in `authorised`.
    `suspended`: members whose lines an agency had withheld; then a patient's copy is not complete.
    """

    subject: Hex16
    subjects: tuple[Hex16, ...]
    mode: Mode
    since: Millis | None
    until: Millis | None
    lines: tuple[AccountingLine, ...]
    total: int
    authorised: int = 0
    suspended: tuple[Hex32, ...] = ()
    complete: bool


class Unmatched(View):
    """A half of an access whose counterpart is not held, or says something else."""

    op: Hex32
    index: int
    half: HalfName
    outcome: AnswerName
    match: Hex16
    subject: Hex16
    requester: Hex32
    requester_name: str
    custodian: Hex32
    custodian_name: str
    time: Millis
    problem: Mismatch


class Reconciliation(View):
    """Pairs of halves that agree, and halves that don't. Halves of others, which this member may not read, are not counted."""

    matched: int
    unmatched: tuple[Unmatched, ...]
    complete: bool


def accounting(
    context: str, subject: str, *, mode: Mode = "hipaa528", since: int | None = None, until: int | None = None,
    suspend: str | None = None,
) -> Call[Accounting]:  # fmt: skip
    """An accounting of disclosures. `suspend`: members to leave out, by commas. Reading is logged."""
    query = {"mode": mode, "since": since, "until": until, "suspend": suspend}
    return Call(path=path("contexts", context, "subjects", subject, "accounting"), query=query, answer=Accounting, timeout=PATIENT)


def reconcile(context: str, *, since: int | None = None, until: int | None = None) -> Call[Reconciliation]:
    """Halves of accesses without their counterpart."""
    query = {"since": since, "until": until}
    return Call(path=path("contexts", context, "audit:reconcile"), query=query, answer=Reconciliation, timeout=PATIENT)
