"""From labels of effective operations to the consent map's entries: status and validity of each directive.

A pure function of the set of labels, so that a member that erased or never held the text computes the same
(PROTOCOL §5; decisions/0001-directive-commitment.md). What a directive says, and whether it counts in a
decision, is `authority.py`'s: a status here says what was written about a directive, by anyone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from medsync_protocol.application import Label
from medsync_protocol.codec import want_array, want_bytes, want_int
from medsync_protocol.consent_map import ABSENT, Status, directive_key, pack_value
from medsync_protocol.errors import Malformed
from medsync_protocol.ids import DirectiveId, Instant, OpId
from medsync_protocol.kinds import EntryKind
from medsync_protocol.poseidon import Felt

MAX_NAMED: Final = 64  # as in a directive or revocation


@dataclass(frozen=True, slots=True)
class DirectiveLabel:
    """What a directive's entry shows to every member."""

    id: DirectiveId
    valid_from: Instant
    until: Instant | None
    series: bytes
    number: int
    supersedes: tuple[DirectiveId, ...]


@dataclass(frozen=True, slots=True)
class RevocationLabel:
    """What a revocation's entry shows to every member."""

    targets: tuple[DirectiveId, ...]
    series: bytes
    all_before: int


def read_label(label: Label) -> DirectiveLabel | RevocationLabel | None:
    """The typed public part of a label; None for other kinds and for what is malformed (it counts for nothing)."""
    try:
        if label.kind == EntryKind.DIRECTIVE:
            return _directive_label(label.public)
        if label.kind == EntryKind.REVOCATION:
            targets, series, all_before = want_array(label.public, 3)
            return RevocationLabel(_ids(targets), want_bytes(series, at_most=16), want_int(all_before))
    except Malformed:
        return None
    return None


def _directive_label(public: tuple[Any, ...]) -> DirectiveLabel:
    named, valid_from, until, series, number, supersedes = want_array(public, 6)
    end = want_int(until)
    return DirectiveLabel(
        DirectiveId(want_bytes(named, 32)), Instant(want_int(valid_from)), Instant(end) if end else None,
        want_bytes(series, 16), want_int(number), _ids(supersedes),
    )  # fmt: skip


def _ids(value: Any) -> tuple[DirectiveId, ...]:
    return tuple(DirectiveId(want_bytes(one, 32)) for one in want_array(value, at_most=MAX_NAMED))


@dataclass(slots=True)
class _Named:
    """One directive: labels that carry it, and what else names it. Each by the operation it stands in."""

    carried: set[tuple[OpId, DirectiveLabel]] = field(default_factory=set)
    revoked: set[tuple[OpId, RevocationLabel]] = field(default_factory=set)
    superseded: set[tuple[OpId, DirectiveLabel]] = field(default_factory=set)


class Commitments:
    """Status by directive, kept up as verdicts come and go."""

    def __init__(self) -> None:
        self._named: dict[DirectiveId, _Named] = {}
        self._series: dict[bytes, set[DirectiveId]] = {}
        self._swept: dict[bytes, set[tuple[OpId, int]]] = {}
        self._values: dict[DirectiveId, Felt] = {}
        self._keys: dict[DirectiveId, Felt] = {}
        self._dirty: set[DirectiveId] = set()

    def fold(self, label: Label, op_id: OpId, effective: bool) -> None:
        """Take a label under its operation's verdict; repeats do nothing, a changed verdict undoes the first."""
        read = read_label(label)
        if isinstance(read, DirectiveLabel):
            self._fold_directive(read, op_id, effective)
        elif read is not None:
            self._fold_revocation(read, op_id, effective)

    def _fold_directive(self, label: DirectiveLabel, op_id: OpId, effective: bool) -> None:
        _toggle(self._of(label.id).carried, (op_id, label), effective)
        self._series.setdefault(label.series, set()).add(label.id)
        self._dirty.add(label.id)
        for target in label.supersedes:
            _toggle(self._of(target).superseded, (op_id, label), effective)
            self._dirty.add(target)

    def _fold_revocation(self, label: RevocationLabel, op_id: OpId, effective: bool) -> None:
        for target in label.targets:
            _toggle(self._of(target).revoked, (op_id, label), effective)
            self._dirty.add(target)
        if label.series:
            _toggle(self._swept.setdefault(label.series, set()), (op_id, label.all_before), effective)
            self._dirty |= self._series.get(label.series, set())

    def _of(self, named: DirectiveId) -> _Named:
        held = self._named.get(named)
        if held is None:
            held = self._named[named] = _Named()
        return held

    def entry(self, named: DirectiveId) -> Felt:
        """The packed status and validity of a directive; ABSENT when no effective operation carries it.

        Where labels differ about one directive (one of them lies), the narrowest validity counts.
        """
        held = self._named.get(named)
        if held is None or not held.carried:
            return ABSENT
        labels = [label for _, label in held.carried]
        ends = [label.until for label in labels if label.until is not None]
        valid_from = max(label.valid_from for label in labels)
        return pack_value(self._status(held), valid_from, min(ends) if ends else None)

    def _status(self, held: _Named) -> Status:
        if held.revoked or any(self._is_swept(label) for _, label in held.carried):
            return Status.REVOKED
        return Status.SUPERSEDED if held.superseded else Status.ACTIVE

    def _is_swept(self, label: DirectiveLabel) -> bool:
        return any(label.number <= before for _, before in self._swept.get(label.series, ()))

    def key(self, named: DirectiveId) -> Felt:
        """The map's key of a directive, computed once."""
        key = self._keys.get(named)
        if key is None:
            key = self._keys[named] = directive_key(named)
        return key

    def changes(self) -> dict[Felt, Felt]:
        """Key → value of what changed since the last call, ABSENT for what fell out: for `ConsentMap.put_many`."""
        changed: dict[Felt, Felt] = {}
        for named in sorted(self._dirty):
            value = self.entry(named)
            if value != self._values.get(named, ABSENT):
                changed[self.key(named)] = value
                if value == ABSENT:
                    del self._values[named]
                else:
                    self._values[named] = value
        self._dirty.clear()
        return changed

    def entries(self) -> dict[Felt, Felt]:
        """All of the map's entries."""
        return {self.key(named): value for named, value in self._items()}

    def _items(self) -> Iterator[tuple[DirectiveId, Felt]]:
        for named in self._named:
            value = self.entry(named)
            if value != ABSENT:
                yield named, value


def _toggle(held: set[Any], item: Any, present: bool) -> None:
    if present:
        held.add(item)
    else:
        held.discard(item)
