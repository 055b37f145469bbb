"""What members say about rewards, in labels that stay for good: terms, reports of a period, proofs of a false report.

Every member reads them alike, erased or not, and nobody learns from them whom an access was about (decision 15). What
follows from them is reward_book.py's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from medsync_protocol.application import Draft, Label
from medsync_protocol.codec import want_array, want_bytes, want_int
from medsync_protocol.crypto import blake2b
from medsync_protocol.errors import Malformed
from medsync_protocol.ids import MemberId
from medsync_protocol.kinds import EntryKind
from medsync_protocol.poseidon import felt_bytes, felt_of, want_felt, want_uint

TOKEN_BYTES: Final = 16
MAX_ROWS: Final = 128  # members named on either side of one report; who dealt with more writes several
MAX_TOKENS: Final = 4_096  # in one report: 64 KiB of a label, a quarter of an operation
MAX_DAYS: Final = 366
MAX_POINTS: Final = 2**32 - 1  # bound of cap and least, so that no product leaves 64 bits
DAY_MS: Final = 86_400_000
_TERMS, _REPORT, _PROOF = 1, 2, 3

Rows = tuple[tuple[MemberId, frozenset[bytes]], ...]
"""(the other member, tokens), members ascending."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardTerms:
    """What a context's rewards are: the pool by its contract, token, window (seconds) and salt; how much a point is worth.

    A period has `days`; `first` is the first that is paid. `cap` points at most come from one requester in a period, which
    are shared by at least `least` relations: each is worth one point while there are no more than that.
    """

    contract: int
    token: int
    window: int
    salt: int
    per_point: int
    days: int
    cap: int
    least: int
    first: int

    def __post_init__(self) -> None:
        for felt in (self.contract, self.token, self.salt):
            want_felt(felt)
        want_uint(self.window, 32)
        want_uint(self.per_point, 63)
        if not (self.per_point and 1 <= self.days <= MAX_DAYS and 1 <= self.cap <= self.least <= MAX_POINTS):
            raise Malformed("a point is worth something, a period has 1 to 366 days, and 1 ≤ cap ≤ least")
        want_uint(self.first, 32)

    @property
    def length(self) -> int:
        """Of a period, in milliseconds."""
        return self.days * DAY_MS

    def period_of(self, time: int) -> int:
        """The number of the period in which an instant (ms) lies."""
        return time // self.length

    def fields(self) -> list[Any]:
        """In wire order."""
        return [
            felt_bytes(self.contract), felt_bytes(self.token), self.window, felt_bytes(self.salt),
            self.per_point, self.days, self.cap, self.least, self.first,
        ]  # fmt: skip


def want_terms(value: Any) -> RewardTerms:
    """Terms in wire order. Raises Malformed."""
    contract, token, window, salt, per_point, days, cap, least, first = want_array(value, 9)
    return RewardTerms(
        contract=felt_of(want_bytes(contract, 32)), token=felt_of(want_bytes(token, 32)),
        window=want_int(window), salt=felt_of(want_bytes(salt, 32)), per_point=want_int(per_point),
        days=want_int(days), cap=want_int(cap), least=want_int(least), first=want_int(first),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What its author found in the settled log of a period: `given` as custodian, by requester; `asked` as requester, by
    custodian. Several reports of one author about one period add up."""

    period: int
    given: Rows = ()
    asked: Rows = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FalseReport:
    """Shows that a receipt, by its text and its signer's signature, whose token was reported does not say PERMIT."""

    period: int
    text: bytes
    signature: bytes


def relation_token(receipt_id: bytes, purpose: str, period: int) -> bytes:
    """What stands for a relation in a report: only who holds the receipt can compute it, or tell it from noise."""
    place = period.to_bytes(8, "big")
    return blake2b(b"medsync/relation/1", receipt_id, place, purpose.encode(), size=TOKEN_BYTES)


def terms_draft(terms: RewardTerms) -> Draft:
    """This member wants these terms."""
    return _draft((_TERMS, tuple(terms.fields())))


def proof_draft(proof: FalseReport) -> Draft:
    """Show a false report to everyone; it shows the pseudonym in the receipt, not the request."""
    return _draft((_PROOF, proof.period, proof.text, proof.signature))


def report_drafts(report: Report) -> list[Draft]:
    """A report as entries, at least one: who has nothing to report says so."""
    parts: list[tuple[list[tuple[MemberId, bytes]], list[tuple[MemberId, bytes]]]] = [([], [])]
    left = MAX_TOKENS
    for side, rows in enumerate((report.given, report.asked)):
        for member, tokens in rows:
            waiting = sorted(tokens)
            while waiting:
                if not left or len(parts[-1][side]) == MAX_ROWS:
                    parts.append(([], []))
                    left = MAX_TOKENS
                taken, waiting = waiting[:left], waiting[left:]
                left -= len(taken)
                parts[-1][side].append((member, b"".join(taken)))
    return [_draft((_REPORT, report.period, tuple(given), tuple(asked))) for given, asked in parts]


def _draft(public: tuple[Any, ...]) -> Draft:
    return Draft(kind=EntryKind.REWARD_ROOT, payload=b"", public=public)


def read_reward_label(label: Label) -> RewardTerms | Report | FalseReport | None:
    """What a label says of rewards; None for other kinds and for what is malformed (it counts for nothing)."""
    if label.kind != EntryKind.REWARD_ROOT or not label.public:
        return None
    what, *rest = label.public
    try:
        if what == _TERMS:
            return want_terms(*want_array(tuple(rest), 1))
        if what == _REPORT:
            period, given, asked = want_array(tuple(rest), 3)
            return Report(period=want_int(period), given=_rows(given), asked=_rows(asked))
        if what == _PROOF:
            period, text, signature = want_array(tuple(rest), 3)
            return FalseReport(
                period=want_int(period), text=want_bytes(text), signature=want_bytes(signature, 64)
            )
    except Malformed:
        return None
    return None


def _rows(value: Any) -> Rows:
    found: dict[MemberId, frozenset[bytes]] = {}
    for row in want_array(value, at_most=MAX_ROWS):
        member, tokens = want_array(row, 2)
        joined = want_bytes(tokens, at_most=MAX_TOKENS * TOKEN_BYTES)
        if len(joined) % TOKEN_BYTES:
            raise Malformed("tokens have 16 bytes each")
        cut = {joined[at : at + TOKEN_BYTES] for at in range(0, len(joined), TOKEN_BYTES)}
        named = MemberId(want_bytes(member, 32))
        found[named] = found.get(named, frozenset()) | cut
    return tuple(sorted(found.items()))
