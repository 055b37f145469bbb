"""What the chain knows at one moment: cells, contracts, nonces, declared classes; and changes on top of it.

`State` is an overlay with an undo journal over anything that can be read; what is kept for good, per block, is
`ledger.py`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["Reader", "State", "StateDiff"]


class Reader(Protocol):
    """A state that can be read. What was never written is 0."""

    def storage(self, address: int, key: int) -> int:
        """A contract's cell."""
        ...

    def class_at(self, address: int) -> int:
        """The class hash of a contract."""
        ...

    def nonce(self, address: int) -> int:
        """A contract's nonce."""
        ...

    def compiled_class_hash(self, class_hash: int) -> int:
        """A declared class's compiled class hash."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StateDiff:
    """What changed. `storage` is by contract, then key."""

    storage: Mapping[int, Mapping[int, int]] = field(default_factory=dict)
    deployed: Mapping[int, int] = field(default_factory=dict)  # address → class hash
    replaced: Mapping[int, int] = field(default_factory=dict)
    declared: Mapping[int, int] = field(default_factory=dict)  # class hash → compiled class hash
    nonces: Mapping[int, int] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """Starknet's state diff length: one per changed value."""
        cells = sum(len(changes) for changes in self.storage.values())
        others = (self.deployed, self.replaced, self.declared, self.nonces)
        return cells + sum(len(changes) for changes in others)


_Undo = tuple[dict[int, int] | dict[tuple[int, int], int], int | tuple[int, int], int | None]


class State:
    """An overlay over a Reader. Everything set after a `mark` can be undone."""

    def __init__(self, base: Reader) -> None:
        self.base = base
        self._storage: dict[tuple[int, int], int] = {}
        self._classes: dict[int, int] = {}
        self._nonces: dict[int, int] = {}
        self._declared: dict[int, int] = {}
        self._journal: list[_Undo] = []

    def storage(self, address: int, key: int) -> int:
        """A contract's cell."""
        value = self._storage.get((address, key))
        return self.base.storage(address, key) if value is None else value

    def class_at(self, address: int) -> int:
        """The class hash of a contract, 0 when there is none."""
        value = self._classes.get(address)
        return self.base.class_at(address) if value is None else value

    def nonce(self, address: int) -> int:
        """A contract's nonce."""
        value = self._nonces.get(address)
        return self.base.nonce(address) if value is None else value

    def compiled_class_hash(self, class_hash: int) -> int:
        """A declared class's compiled class hash, 0 when it is not declared."""
        value = self._declared.get(class_hash)
        return self.base.compiled_class_hash(class_hash) if value is None else value

    def set_storage(self, address: int, key: int, value: int) -> None:
        """Writes a cell."""
        place = (address, key)
        self._journal.append((self._storage, place, self._storage.get(place)))
        self._storage[place] = value

    def set_class(self, address: int, class_hash: int) -> None:
        """Deploys a contract or replaces its class."""
        self._set(self._classes, address, class_hash)

    def set_nonce(self, address: int, nonce: int) -> None:
        """Sets a contract's nonce."""
        self._set(self._nonces, address, nonce)

    def declare(self, class_hash: int, compiled: int) -> None:
        """Makes a class known."""
        self._set(self._declared, class_hash, compiled)

    def mark(self) -> int:
        """A place to go back to."""
        return len(self._journal)

    def undo(self, mark: int) -> None:
        """Takes back everything since the mark."""
        while len(self._journal) > mark:
            table, key, old = self._journal.pop()
            if old is None:
                del table[key]  # type: ignore[arg-type]
            else:
                table[key] = old  # type: ignore[index]

    def merge(self) -> None:
        """Writes everything into the base, which must be a State too; it cannot be undone there."""
        assert isinstance(self.base, State)
        self.base._storage.update(self._storage)
        self.base._classes.update(self._classes)
        self.base._nonces.update(self._nonces)
        self.base._declared.update(self._declared)
        self.base._journal.clear()

    def diff(self) -> StateDiff:
        """What differs from the base."""
        storage: dict[int, dict[int, int]] = {}
        for (address, key), value in sorted(self._storage.items()):
            if value != self.base.storage(address, key):
                storage.setdefault(address, {})[key] = value
        deployed: dict[int, int] = {}
        replaced: dict[int, int] = {}
        for address, class_hash in sorted(self._classes.items()):
            before = self.base.class_at(address)
            if before != class_hash:
                (replaced if before else deployed)[address] = class_hash
        return StateDiff(
            storage=storage,
            deployed=deployed,
            replaced=replaced,
            declared=dict(sorted(self._declared.items())),
            nonces={a: n for a, n in sorted(self._nonces.items()) if n != self.base.nonce(a)},
        )

    def _set(self, table: dict[int, int], key: int, value: int) -> None:
        self._journal.append((table, key, table.get(key)))
        table[key] = value
