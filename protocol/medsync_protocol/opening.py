"""Opens the entries of operations with the keys held; notes what waits for a key, and what should be ours to read.

Keys are sealing.py's; what the entries say is the application's.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass

from medsync_protocol.access import decode_access
from medsync_protocol.application import Label, OpenedEntry
from medsync_protocol.errors import Malformed
from medsync_protocol.ids import ChainId, KeyId, MemberId, SubjectRef, Place
from medsync_protocol.kinds import Audience, EntryKind
from medsync_protocol.membership import MembershipState
from medsync_protocol.operation import Body, Header, Operation, label_of, sealing_context
from medsync_protocol.retention import RetentionBook
from medsync_protocol.sealing import KeyRing, split_tags



@dataclass(frozen=True, slots=True)
class Opened:
    """The entries of one operation, None where pruned or unreadable; the labels with a public part, by index.

    `waits`: a key or a ciphertext that should be ours has yet to come. `buried`: one is about a subject that was erased.
    """

    entries: tuple[OpenedEntry | None, ...]
    labels: tuple[tuple[int, Label], ...]
    waits: bool = False
    buried: bool = False


class Opener:
    """One replica's reading. `wanted`: pruned operations that should be ours to read, with their author.

    `blank`: those that came with entries for all pruned, among which may be a denial. `without_epoch`: operations that
    wait for an epoch key.
    """

    def __init__(self, ring: KeyRing, me: MemberId, auditors: tuple[MemberId, ...]) -> None:
        self._ring = ring
        self._me = me
        self._reads_all = me in auditors
        self._unopened: dict[bytes, set[Place]] = {}
        self.without_epoch: dict[Place, KeyId] = {}
        self.wanted: dict[Place, MemberId] = {}
        self.blank: dict[Place, MemberId] = {}
        self._told_gone: dict[Place, set[MemberId]] = {}
        self._told_lacking: dict[Place, set[MemberId]] = {}
        self.gone: set[Place] = set()  # operations whose pruned entries were erased: not to be asked for
        self.months: RetentionBook | None = None
        self.closed: Container[bytes] = frozenset()  # subjects whose keys were destroyed: no key of theirs is waited for

    def open(self, operation: Operation, author: MemberId, state: MembershipState) -> Opened:
        """What the keys held allow. `state` gives the author's sealing key, for the tags of its parties."""
        header, body = operation.header, operation.body
        place = sealing_context(header)
        entries: list[OpenedEntry | None] = []
        labels: list[tuple[int, Label]] = []
        missing: set[bytes] = set()
        blank = buried = False
        for index, entry in enumerate(body.entries):
            label = label_of(entry)
            if label is None:
                entries.append(None)
                continue
            if label.public:
                labels.append((index, label))
            if entry.ciphertext is None:
                blank = blank or label.audience is Audience.ALL
                self._want(header, body, index, label, author, state)
                entries.append(None)
                continue
            got = self._try(entry.ciphertext, index, header, body, place)
            if isinstance(got, bytes) and got in self.closed:
                buried = True
            elif isinstance(got, bytes):
                missing.add(got)
            if got is None or isinstance(got, bytes):
                entries.append(None)
                continue
            subject, kept_by = self._whose(label.kind, *got)
            entries.append(
                OpenedEntry(
                    op_id=operation.op_id, index=index, kind=label.kind, payload=got[1], subject=subject,
                    author=author, chain=header.chain, seq=header.seq, hlc=header.hlc, kept_by=kept_by,
                )
            )  # fmt: skip
        at = (header.chain, header.seq)
        self._note_missing(at, missing)
        if blank and at not in self.gone:
            self.blank[at] = author
        elif self.blank:
            self.blank.pop(at, None)
        waits = bool(missing) or at in self.wanted or at in self.blank
        return Opened(tuple(entries), tuple(labels), waits, buried)

    def _whose(
        self, kind: int, named: SubjectRef | None, payload: bytes
    ) -> tuple[SubjectRef | None, SubjectRef | None]:
        """(subject, month) of an opened entry: a row that a month's key keeps names its subject itself."""
        if named is None or self.months is None or named not in self.months.held():
            return named, None
        try:
            return (decode_access(payload).subject if kind == EntryKind.ACCESS else None), named
        except Malformed:
            return None, named

    def _try(
        self, ciphertext: bytes, index: int, header: Header, body: Body, place: bytes
    ) -> tuple[SubjectRef | None, bytes] | bytes | None:
        """(subject, payload); the id of the missing key; or None where the right keys don't open it."""
        try:
            got = self._ring.open_entry(
                ciphertext, index, key_id=header.key_id, nonce=body.nonce, place=place
            )
        except Malformed:
            return None
        if got is None:
            return header.key_id
        subject, payload = got
        if payload is None:
            assert subject is not None, "only a subject's key can be missing beside the epoch's"
            return subject
        return subject, payload

    def _note_missing(self, place: Place, missing: set[bytes]) -> None:
        for key in missing:
            self._unopened.setdefault(key, set()).add(place)
        epoch = next((key for key in missing if len(key) == 32), None)
        if epoch is not None:
            self.without_epoch[place] = KeyId(epoch)
        elif self.without_epoch:
            self.without_epoch.pop(place, None)

    def _want(
        self, header: Header, body: Body, index: int, label: Label, author: MemberId, state: MembershipState
    ) -> None:
        if label.audience is not Audience.PARTIES or (header.chain, header.seq) in self.gone:
            return
        if not self._reads_all:
            keys = state.sealing_keys(author)
            if not label.tags or not keys:
                return
            mine = self._ring.tags(keys, body.nonce, index.to_bytes(4, "big"))
            if set(split_tags(label.tags)).isdisjoint(mine):
                return
        self.wanted[header.chain, header.seq] = author

    def drop(self, place: Place) -> None:
        """Another operation takes this place."""
        self.wanted.pop(place, None)
        self.blank.pop(place, None)
        self.without_epoch.pop(place, None)
        self.gone.discard(place)
        for waiting in self._unopened.values():
            waiting.discard(place)

    def told_gone(self, place: Place) -> set[MemberId]:
        """Members that said of this operation, which we lack entries of, that they destroyed them."""
        return self._told_gone.setdefault(place, set()) if place in self.blank or place in self.wanted else set()

    def told_lacking(self, place: Place) -> set[MemberId]:
        """Members that said that they lack them, too."""
        return self._told_lacking.setdefault(place, set()) if place in self.blank else set()

    def give_up(self, place: Place) -> None:
        """What is lacking of it was destroyed everywhere."""
        self.gone.add(place)
        for waiting in (self.wanted, self.blank, self._told_gone, self._told_lacking):
            waiting.pop(place, None)

    def waiting_for(self, missing: bytes) -> list[Place]:
        """Operations that waited for this key; asked once, they are to be read again."""
        return sorted(self._unopened.pop(missing, ()))

    def missing_epochs(self) -> Iterator[KeyId]:
        """Epoch keys that held operations need and this replica lacks."""
        return (KeyId(key) for key in self._unopened if len(key) == 32)

    def missing_subjects(self, known: Mapping[SubjectRef, bytes]) -> list[SubjectRef]:
        """Subjects whose operations waited for a key that is known now."""
        return [SubjectRef(key) for key in self._unopened if len(key) == 16 and key in known]

    def first_unreadable(self, known: Container[KeyId]) -> Mapping[ChainId, int]:
        """Chain → its first operation that waits for one of these epoch keys: no view may count what comes after.

        An entry about a subject that is unknown here can't bear on a known one, and blocks nothing.
        """
        first: dict[ChainId, int] = {}
        for (chain, seq), key_id in self.without_epoch.items():
            if key_id in known:
                first[chain] = min(seq, first.get(chain, seq))
        return first
