"""The state's tries and the root over them (Starknet's documentation, "State commitment"). Tries themselves: `patricia.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from medsync_chain.felts import short
from medsync_chain.hashes import poseidon_many, poseidon_pair
from medsync_chain.patricia import Trie
from medsync_chain.state import Reader, StateDiff
from medsync_chain.vm.pedersen import pedersen

__all__ = ["HEIGHT", "StateTries"]

HEIGHT = 251
_CLASS_LEAF = short("CONTRACT_CLASS_LEAF_V0")
_STATE = short("STARKNET_STATE_V0")
_EMPTY, _NO_CLASSES = Trie(HEIGHT, pedersen), Trie(HEIGHT, poseidon_pair)


@dataclass(frozen=True, slots=True, kw_only=True)
class StateTries:
    """One version of all tries; versions share what did not change."""

    contracts: Trie = _EMPTY
    classes: Trie = _NO_CLASSES
    storage: Mapping[int, Trie] = field(default_factory=dict)  # by contract

    def updated(self, diff: StateDiff, after: Reader) -> StateTries:
        """With a block's changes; `after` is the state that they lead to."""
        storage = dict(self.storage)
        for address, changes in diff.storage.items():
            storage[address] = storage.get(address, _EMPTY).updated(changes.items())
        touched = sorted({*diff.storage, *diff.deployed, *diff.replaced, *diff.nonces})
        leaves = [(address, contract_leaf(after, address, storage)) for address in touched]
        classes = [(class_hash, class_leaf(compiled)) for class_hash, compiled in diff.declared.items()]
        return replace(
            self,
            contracts=self.contracts.updated(leaves),
            classes=self.classes.updated(classes),
            storage=storage,
        )

    @property
    def root(self) -> int:
        """The state's root, as a block header has it."""
        contracts, classes = self.contracts.root, self.classes.root
        return contracts if classes == 0 else poseidon_many([_STATE, contracts, classes])


def contract_leaf(state: Reader, address: int, storage: Mapping[int, Trie]) -> int:
    """What stands for a contract in the contracts' trie."""
    cells = storage.get(address, _EMPTY).root
    return pedersen(pedersen(pedersen(state.class_at(address), cells), state.nonce(address)), 0)


def class_leaf(compiled_class_hash: int) -> int:
    """What stands for a class in the classes' trie."""
    return poseidon_pair(_CLASS_LEAF, compiled_class_hash)
