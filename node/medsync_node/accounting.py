"""From rows of the access log to an accounting of disclosures, and to halves without their counterpart. Pure.

Source of `hipaa528`: 45 CFR 164.528 (a)(1), (a)(2) and (b)(3): what is accounted for, suspension, and repeats in one line.
Exempt are treatment, payment and operations; the patient's own authorisations are authorised.py's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from medsync_client.accesses import AccessRow
from medsync_client.accounting import AccountingLine, Mismatch, Mode, Unmatched
from medsync_protocol.purposes import contains

EXEMPT: Final = ("TREAT", "HPAYMT", "HOPERAT")
_PAIRED: Final = {"requested": 0, "disclosed": 1, "refused": 1}


def accounted(row: AccessRow, mode: Mode) -> bool:
    """Whether a row belongs into an accounting."""
    if mode == "all":
        return True
    if not row.effective or row.half not in ("disclosed", "break-glass"):
        return False
    return row.half == "break-glass" or not all(any(contains(code, purpose) for code in EXEMPT) for purpose in row.purposes)


def summarise(rows: Iterable[AccessRow]) -> tuple[AccountingLine, ...]:
    """Lines by time of the first; rows that differ in their time only are one line."""
    found: dict[tuple[object, ...], list[AccessRow]] = {}
    for row in rows:
        key = (row.half, row.outcome, row.requester, row.custodian, row.purposes, row.action, row.types)
        found.setdefault(key, []).append(row)
    lines = []
    for alike in found.values():
        one, times = alike[0], [row.time for row in alike]
        lines.append(
            AccountingLine(
                half=one.half, outcome=one.outcome, requester=one.requester, requester_name=one.requester_name,
                custodian=one.custodian, custodian_name=one.custodian_name, purposes=one.purposes, action=one.action,
                types=one.types, first=min(times), last=max(times), count=len(alike),
            )
        )  # fmt: skip
    return tuple(sorted(lines, key=_order))


def _order(line: AccountingLine) -> tuple[object, ...]:
    return line.first, line.requester, line.custodian, line.half, line.purposes, line.types or (), line.action, line.outcome


@dataclass(frozen=True, slots=True)
class Totals:
    """What the lines of an accounting come to, the most first; each of the lists sums to their total. Times in ms."""

    by_recipient: tuple[tuple[str, int], ...]
    by_purposes: tuple[tuple[tuple[str, ...], int], ...]
    first: int
    last: int


def total(lines: Sequence[AccountingLine]) -> Totals:
    """Of at least one line. Members of one name are told apart by their ids."""
    names: dict[str, set[str]] = {}
    for line in lines:
        names.setdefault(line.requester_name, set()).add(line.requester)
    recipients: Counter[str] = Counter()
    purposes: Counter[tuple[str, ...]] = Counter()
    for line in lines:
        plain = line.requester_name and len(names[line.requester_name]) == 1
        recipients[line.requester_name if plain else f"{line.requester_name} {line.requester[:12]}".strip()] += line.count
        purposes[line.purposes] += line.count
    return Totals(
        tuple(sorted(recipients.items(), key=lambda one: (-one[1], one[0]))),
        tuple(sorted(purposes.items(), key=lambda one: (-one[1], one[0]))),
        min(line.first for line in lines), max(line.last for line in lines),
    )  # fmt: skip


def reconcile(rows: Iterable[AccessRow]) -> tuple[int, tuple[Unmatched, ...]]:
    """(pairs that agree, halves that have no partner or another than they tell), newest first.

    A requester's half has a custodian's with the same match; both name the same subject, parties, purposes and outcome.
    Broken glass is nobody's to answer: a release on it has it as its counterpart, it needs none.
    """
    rows = list(rows)
    released = {row.match for row in rows if row.half == "disclosed" and row.effective}
    pairs: dict[str, tuple[list[AccessRow], list[AccessRow]]] = {}
    for row in rows:
        side = 0 if row.half == "break-glass" and row.match in released else _PAIRED.get(row.half)
        if side is not None and row.effective:
            pairs.setdefault(row.match, ([], []))[side].append(row)
    matched, found = 0, []
    for asked, given in pairs.values():
        if len(asked) == len(given) == 1 and _told(asked[0]) == _told(given[0]):
            matched += 1
        elif len(asked) == len(given) == 1:
            found += [_unmatched(row, "the counterpart differs") for row in (*asked, *given)]
        elif len(asked) > 1 or len(given) > 1:
            found += [_unmatched(row, "told twice") for row in (*asked, *given)]
        else:
            found += [_unmatched(row, "no counterpart") for row in (*asked, *given)]
    return matched, tuple(sorted(found, key=lambda one: (-one.time, one.op, one.index)))


def _told(row: AccessRow) -> tuple[object, ...]:
    return row.subject, row.requester, row.custodian, row.purposes, row.action, row.outcome


def _unmatched(row: AccessRow, problem: Mismatch) -> Unmatched:
    fields = row.model_dump(include={
        "op", "index", "half", "outcome", "match", "subject", "requester", "requester_name", "custodian", "custodian_name", "time",
    })  # fmt: skip
    return Unmatched(**fields, problem=problem)
