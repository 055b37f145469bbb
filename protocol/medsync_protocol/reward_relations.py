"""From one member's opened access entries and receipts to what it reports of a reward period (PROTOCOL §9).

Which entries the period's log holds, and reading them, is the caller's; re-computing a receipt is the desk's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from medsync_protocol.access import AccessEntry, Answer, Half, decode_access, match_id
from medsync_protocol.application import OpenedEntry
from medsync_protocol.desk import Desk
from medsync_protocol.errors import Malformed, Refused
from medsync_protocol.ids import MemberId, SubjectRef
from medsync_protocol.kinds import EntryKind
from medsync_protocol.receipt import ReceiptEntry, Recomputed, decode_receipt, request_of
from medsync_protocol.reward_labels import FalseReport, Report, RewardTerms, Rows, relation_token
from medsync_protocol.reward_violations import false_report, is_rewarded


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """One compliant relation of a period, with the receipt that stands for it: of several, the one with the least id."""

    subject: SubjectRef
    requester: MemberId
    custodian: MemberId
    purpose: str
    receipt: bytes
    token: bytes


@dataclass(slots=True)
class _Found:
    receipts: dict[bytes, ReceiptEntry] = field(default_factory=dict)
    worthless: dict[bytes, ReceiptEntry] = field(default_factory=dict)
    halves: dict[Half, dict[bytes, AccessEntry]] = field(
        default_factory=lambda: {Half.REQUESTED: {}, Half.DISCLOSED: {}}
    )


class RelationFinder:
    """Takes the effective entries of a settled log, in any order, with repeats; gives the relations of one period."""

    def __init__(self, period: int, terms: RewardTerms) -> None:
        self._period, self._terms = period, terms
        self._found = _Found()

    def take(self, entry: OpenedEntry) -> None:
        """An access entry or receipt; what is malformed, or not its author's to say, earns nothing."""
        try:
            if entry.kind == EntryKind.RECEIPT:
                self._take_receipt(entry.author, decode_receipt(entry.payload))
            elif entry.kind == EntryKind.ACCESS:
                self._take_half(entry.author, decode_access(entry.payload))
        except Malformed:
            return

    def _take_receipt(self, author: MemberId, entry: ReceiptEntry) -> None:
        receipt = entry.receipt
        if receipt.signer != author or self._terms.period_of(receipt.time) != self._period:
            return
        permits = receipt.decision.answer is Answer.PERMIT
        kept = self._found.receipts if permits else self._found.worthless
        kept.setdefault(receipt.id, entry)

    def _take_half(self, author: MemberId, entry: AccessEntry) -> None:
        teller = {Half.REQUESTED: entry.requester, Half.DISCLOSED: entry.custodian}.get(entry.half)
        if teller == author and entry.outcome is Answer.PERMIT and all(map(is_rewarded, entry.purposes)):
            self._found.halves[entry.half].setdefault(entry.receipt, entry)

    def relations(self, holds: Callable[[ReceiptEntry], bool]) -> list[Relation]:
        """In the order of their tokens. `holds`: the receipt is a custodian's, and re-computes to what it says."""
        best: dict[tuple[SubjectRef, MemberId, MemberId, str], bytes] = {}
        for named, entry in sorted(self._found.receipts.items()):
            half = self._matched(named, entry)
            if half is None or not holds(entry):
                continue
            for purpose in half.purposes:
                best.setdefault((half.subject, half.requester, half.custodian, purpose), named)
        found = [
            Relation(
                subject=subject, requester=requester, custodian=custodian, purpose=purpose, receipt=named,
                token=relation_token(named, purpose, self._period),
            )
            for (subject, requester, custodian, purpose), named in best.items()
        ]  # fmt: skip
        return sorted(found, key=lambda relation: relation.token)

    def worthless(self) -> dict[bytes, FalseReport]:
        """By token, what to show of each custodian that reports one all the same: it refused, or must not earn by it."""
        found = {}
        for named, entry in (*self._found.worthless.items(), *self._found.receipts.items()):
            request = request_of(entry)
            for purpose in () if request is None else request.purposes:
                if named in self._found.worthless or not is_rewarded(purpose):
                    found[relation_token(named, purpose, self._period)] = false_report(self._period, entry.receipt)
        return found

    def _matched(self, named: bytes, entry: ReceiptEntry) -> AccessEntry | None:
        """The custodian's half of an access whose two halves tell the same of the same receipt."""
        asked = self._found.halves[Half.REQUESTED].get(named)
        given = self._found.halves[Half.DISCLOSED].get(named)
        receipt = entry.receipt
        if asked is None or given is None or given.requester == given.custodian:
            return None
        told = {
            (half.subject, half.requester, half.custodian, half.purposes, half.match) for half in (asked, given)
        }
        signed = (receipt.subject, receipt.signer, match_id(receipt.request_hash))
        return given if len(told) == 1 and (given.subject, given.custodian, given.match) == signed else None


def stands(desk: Desk, entry: ReceiptEntry) -> bool:
    """Whether a custodian of the subject signed the receipt, and the inputs held here give the same answer again."""
    try:
        custodians = desk.application.subject(entry.receipt.subject).custodians
    except Refused:
        return False
    return entry.receipt.signer in custodians and desk.recompute(entry) is Recomputed.MATCHES


def report_of(me: MemberId, period: int, relations: Iterable[Relation]) -> Report:
    """What `me` reports: its own sides of these relations."""
    given: dict[MemberId, set[bytes]] = {}
    asked: dict[MemberId, set[bytes]] = {}
    for relation in relations:
        if relation.custodian == me:
            given.setdefault(relation.requester, set()).add(relation.token)
        elif relation.requester == me:
            asked.setdefault(relation.custodian, set()).add(relation.token)
    return Report(period=period, given=_rows(given), asked=_rows(asked))


def _rows(tokens: dict[MemberId, set[bytes]]) -> Rows:
    return tuple((member, frozenset(held)) for member, held in sorted(tokens.items()))
