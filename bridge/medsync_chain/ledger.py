"""The state after every block, in memory: each value with the blocks that set it. Keeping it on disk is `store.py`'s."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from medsync_chain.state import StateDiff

__all__ = ["Ledger", "StateAt"]

_Versions = list[tuple[int, int]]  # (block, value), ascending
_by_block = itemgetter(0)


@dataclass(slots=True)
class Ledger:
    """Applied block by block; the newest can be taken back."""

    cells: dict[tuple[int, int], _Versions] = field(default_factory=dict)
    classes: dict[int, _Versions] = field(default_factory=dict)
    nonces: dict[int, _Versions] = field(default_factory=dict)
    declared: dict[int, _Versions] = field(default_factory=dict)

    def apply(self, block: int, diff: StateDiff) -> None:
        """Adds what a block changed."""
        for table, key, value in self._changes(diff):
            table.setdefault(key, []).append((block, value))

    def take_back(self, block: int, diff: StateDiff) -> None:
        """Removes what the newest block changed."""
        for table, key, _ in self._changes(diff):
            versions = table[key]
            assert versions[-1][0] == block, "only the newest block can be taken back"
            versions.pop()
            if not versions:
                del table[key]

    def at(self, block: int | None = None) -> StateAt:
        """The state after a block, the newest for None."""
        return StateAt(self, block)

    def everything(self) -> StateDiff:
        """The newest state as one change from nothing."""
        storage: dict[int, dict[int, int]] = {}
        for (address, key), versions in self.cells.items():
            storage.setdefault(address, {})[key] = versions[-1][1]
        return StateDiff(
            storage=storage,
            deployed=_newest(self.classes),
            nonces=_newest(self.nonces),
            declared=_newest(self.declared),
        )

    def _changes(self, diff: StateDiff) -> Iterator[tuple[dict[Any, _Versions], Hashable, int]]:
        for address, changes in diff.storage.items():
            for key, value in changes.items():
                yield self.cells, (address, key), value
        for table, values in (
            (self.classes, diff.deployed),
            (self.classes, diff.replaced),
            (self.nonces, diff.nonces),
            (self.declared, diff.declared),
        ):
            for place, value in values.items():
                yield table, place, value


def _newest(table: dict[int, _Versions]) -> dict[int, int]:
    return {key: versions[-1][1] for key, versions in table.items()}


@dataclass(frozen=True, slots=True)
class StateAt:
    """A Reader of the ledger after one block; the newest for None."""

    ledger: Ledger
    block: int | None

    def storage(self, address: int, key: int) -> int:
        """A contract's cell."""
        return self._value(self.ledger.cells.get((address, key)))

    def storage_updated(self, address: int, key: int) -> int:
        """The block that last wrote the cell, 0 when none did."""
        found = self._version(self.ledger.cells.get((address, key)))
        return 0 if found is None else found[0]

    def class_at(self, address: int) -> int:
        """The class hash of a contract, 0 when there is none."""
        return self._value(self.ledger.classes.get(address))

    def nonce(self, address: int) -> int:
        """A contract's nonce."""
        return self._value(self.ledger.nonces.get(address))

    def compiled_class_hash(self, class_hash: int) -> int:
        """A declared class's compiled class hash, 0 when it is not declared."""
        return self._value(self.ledger.declared.get(class_hash))

    def _value(self, versions: _Versions | None) -> int:
        found = self._version(versions)
        return 0 if found is None else found[1]

    def _version(self, versions: _Versions | None) -> tuple[int, int] | None:
        if not versions:
            return None
        if self.block is None:
            return versions[-1]
        place = bisect_right(versions, self.block, key=_by_block)
        return versions[place - 1] if place else None
