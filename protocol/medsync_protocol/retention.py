"""Monthly retention keys: what a month's halves of the log are sealed under, and when that key ends (PROTOCOL §8).

Rows say which organisation did what, for which purpose, when, about which pseudonym: they outlive the subject's own key and
end with the month's. Destroying it is erasing.py's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from medsync_protocol.application import Draft, OpenedEntry
from medsync_protocol.codec import pack, unpack, want_array, want_bytes, want_int
from medsync_protocol.crypto import Entropy, blake2b
from medsync_protocol.erasure import MAX_REASON, NOTHING, ErasureBook, LegalHold, hold_draft
from medsync_protocol.errors import Malformed, Refused
from medsync_protocol.ids import ChainId, ContextId, MemberId, NetworkId, OpId, SubjectRef
from medsync_protocol.journal import IndexRow
from medsync_protocol.kinds import EntryKind

if TYPE_CHECKING:
    from medsync_protocol.replica import Replica

SETTING: Final = "retention.months"  # in the genesis; 0 or none: rows are sealed under their subject's key and go with it
MAX_MONTHS: Final = 1_200  # a hundred years: longer than any law asks
MONTH_ENDED: Final = OpId(bytes(32))  # in place of an order, where a month's end destroyed
_VERSION: Final = 1
_DOMAIN: Final = b"medsync/month/1"


def month_of(ms: int) -> int:
    """Months since year 0, UTC."""
    at = datetime.fromtimestamp(ms // 1000, UTC)
    return at.year * 12 + at.month - 1


def month_text(month: int) -> str:
    """As people write it."""
    return f"{month // 12:04}-{month % 12 + 1:02}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthKey:
    """One member's key of one month. Several of a member's nodes may make one each: all count."""

    member: MemberId
    month: int
    key: bytes

    def ref(self, network: NetworkId, context: ContextId) -> SubjectRef:
        """16 bytes that stand where a pseudonym does: what rows sealed under this key show to who holds the epoch key."""
        sealed = blake2b(self.key)
        named = blake2b(_DOMAIN, network, context, self.member, self.month.to_bytes(4, "big"), sealed, size=16)
        return SubjectRef(named)

    def encode(self) -> bytes:
        """Canonical bytes: the payload of a MONTH_KEY entry, which is sealed under the epoch key alone."""
        return pack([_VERSION, self.member, self.month, self.key])


def decode_month_key(payload: bytes) -> MonthKey:
    """Raises Malformed."""
    version, member, month, key = want_array(unpack(payload), 4)
    want_int(version, _VERSION, _VERSION)
    return MonthKey(member=MemberId(want_bytes(member, 32)), month=want_int(month, 0, 2**32 - 1), key=want_bytes(key, 32))


class RetentionBook:
    """The month keys that one replica holds. Mutable; a function of the set of entries. `months`: how long rows are kept."""

    def __init__(self, network: NetworkId, context: ContextId, months: int) -> None:
        self._network, self._context = network, context
        self.months = months
        self._held: dict[SubjectRef, MonthKey] = {}
        self._places: dict[SubjectRef, set[tuple[tuple[ChainId, int], int]]] = {}
        self._closed: set[SubjectRef] = set()

    def take(self, entry: OpenedEntry) -> None:
        """Take a MONTH_KEY entry; what is malformed, another member's or closed is passed over."""
        try:
            made = decode_month_key(entry.payload)
        except Malformed:
            return
        ref = made.ref(self._network, self._context)
        if made.member != entry.author or ref in self._closed:
            return
        self._held[ref] = made
        self._places.setdefault(ref, set()).add(((entry.chain, entry.seq), entry.index))

    def about(self, entry: OpenedEntry) -> tuple[SubjectRef, ...]:
        """The month whose key a MONTH_KEY entry brings; nothing for what is malformed."""
        try:
            return (decode_month_key(entry.payload).ref(self._network, self._context),)
        except Malformed:
            return ()

    def held(self) -> Mapping[SubjectRef, MonthKey]:
        """Keys by what stands for them."""
        return self._held

    def keys(self) -> dict[SubjectRef, bytes]:
        """As the key ring takes them."""
        return {ref: made.key for ref, made in self._held.items()}

    def mine(self, member: MemberId, month: int) -> SubjectRef | None:
        """A key of this member for this month, the least of several; None before there is one."""
        return min((r for r, made in self._held.items() if (made.member, made.month) == (member, month)), default=None)

    def ends(self, month: int) -> int:
        """The first instant, in seconds, at which a month's key ends."""
        return _begin(month + 1 + self.months)

    def ended(self, now: int) -> list[SubjectRef]:
        """Keys held that a settled checkpoint of this time (seconds) ends, ascending."""
        return sorted(ref for ref, made in self._held.items() if self.ends(made.month) <= now)

    def close(self, ref: SubjectRef) -> Iterable[tuple[tuple[ChainId, int], int]]:
        """Forget a key for good; where the entries that brought it stood."""
        self._closed.add(ref)
        self._held.pop(ref, None)
        return self._places.pop(ref, set())


def _begin(month: int) -> int:
    return int(datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC).timestamp())


def book_of(network: NetworkId, context: ContextId, months: int) -> RetentionBook | None:
    """The book of a context whose genesis sets this; None for one that keeps no rows beyond their subject."""
    return RetentionBook(network, context, months) if 1 <= months <= MAX_MONTHS else None


def keys_of(replica: Replica) -> Mapping[SubjectRef, bytes]:
    """All that entries can be sealed under beside the epoch key."""
    subjects = {} if replica.application is None else replica.application.subject_keys()
    return subjects if replica.retention is None else {**subjects, **replica.retention.keys()}


def index_rows(replica: Replica, entry: OpenedEntry) -> list[IndexRow]:
    """Under which subject the journal finds an entry, and under which month, so that its end finds it too."""
    found = [IndexRow(entry.index, entry.kind, 0 if entry.subject is None else replica.subject_tag(entry.subject))]
    if entry.kept_by is not None:
        found.append(IndexRow(entry.index, EntryKind.MONTH_KEY, replica.subject_tag(entry.kept_by)))
    return found


def learn(replica: Replica, entries: Iterable[OpenedEntry]) -> None:
    """Take the month keys among these."""
    for entry in entries:
        if entry.kind == EntryKind.MONTH_KEY and replica.retention is not None:
            replica.retention.take(entry)


def hold_month(
    replica: Replica, erasure: ErasureBook, ref: SubjectRef, reason: str, releases: OpId = NOTHING
) -> tuple[SubjectRef, list[Draft]]:
    """Hold a month's rows back from their end as any member that writes, or end a hold of this member's. Raises Refused."""
    if replica.retention is None or ref not in replica.retention.held():
        raise Refused("no such month is kept here", code="unknown_month", advice="see `medsync context retention`")
    if len(reason) > MAX_REASON:
        raise Refused("the reason is too long", code="too_many", advice=f"{MAX_REASON} characters suffice")
    if releases and erasure.holding(ref).get(releases, (None,))[0] != replica.member:
        raise Refused("no such hold of this member", code="unknown_hold", advice="name the operation that made it")
    return ref, [hold_draft(LegalHold(subject=ref, reason=reason, releases=releases))]


def filed(replica: Replica, entropy: Entropy, now: int, drafts: Sequence[Draft]) -> Sequence[Draft]:
    """Drafts with the log's halves kept by this month's key; the first time in a month it goes along, last of all."""
    book = replica.retention
    if book is None or all(draft.kind != EntryKind.ACCESS for draft in drafts):
        return drafts
    month = month_of(now)
    ref, brought = book.mine(replica.member, month), []
    if ref is None:
        made = MonthKey(member=replica.member, month=month, key=entropy("month key", 32))
        ref = made.ref(replica.network, replica.context)
        brought.append(Draft(kind=EntryKind.MONTH_KEY, payload=made.encode()))
        replica.ring.set_subjects({**keys_of(replica), ref: made.key})
    kept = [replace(draft, kept_by=ref) if draft.kind == EntryKind.ACCESS else draft for draft in drafts]
    return [*kept, *brought]
