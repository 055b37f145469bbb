"""The sealed blocks: on disk whole, in memory what is asked for all the time. Making them is `chain.py`'s."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache

from medsync_chain.blocks import Block, Header, Outline
from medsync_chain.classes import ContractClass, SierraClass
from medsync_chain.block_documents import block_document, parse_block, parse_outline
from medsync_chain.ledger import Ledger
from medsync_chain.store import Store
from medsync_chain.tries import StateTries

__all__ = ["History"]

KEPT_BLOCKS = 512  # parsed; 20 to 500 KB each, the rest is read from disk again
KEPT_CLASSES = 64  # parsed, with their translated code; a few MB each


class History:
    """Grows block by block; the newest can be taken back."""

    def __init__(self, store: Store, chain_id: int) -> None:
        """Reads what the store holds."""
        self.ledger = Ledger()
        self.headers: list[Header] = []
        self._store = store
        self._numbers: dict[int, int] = {}  # by hash
        self._places: dict[int, tuple[int, int]] = {}  # transaction hash → block, index
        self._emitters: dict[int, list[int]] = {}  # contract → blocks with its events, ascending
        self._tries: StateTries | None = None
        self._accepted_on_l1 = int(store.fact("accepted_on_l1") or -1)

        def read(number: int) -> Block:
            return parse_block(store.block(number), chain_id)

        def read_class(class_hash: int) -> ContractClass:
            sierra, casm = store.contract_class(class_hash)
            return ContractClass.of(SierraClass.parse(sierra), casm)

        self._read: Callable[[int], Block] = lru_cache(KEPT_BLOCKS)(read)
        self._read_class: Callable[[int], ContractClass] = lru_cache(KEPT_CLASSES)(read_class)
        for document in store.blocks():
            self._index(parse_outline(document))

    def __len__(self) -> int:
        return len(self.headers)

    @property
    def latest(self) -> Header:
        """Of the newest block."""
        return self.headers[-1]

    @property
    def accepted_on_l1(self) -> int:
        """The newest block that counts as final; -1 for none."""
        return self._accepted_on_l1

    @property
    def tries(self) -> StateTries:
        """The state's tries after the newest block; built when first needed, which takes time after a restart."""
        if self._tries is None:
            state = self.ledger.at()
            self._tries = StateTries().updated(self.ledger.everything(), state)
            assert not self.headers or self._tries.root == self.latest.root, (
                "the state on disk is another one"
            )
        return self._tries

    def block(self, number: int) -> Block:
        """A whole block."""
        return self._read(number)

    def number_of(self, block_hash: int) -> int | None:
        """Of the block with this hash."""
        return self._numbers.get(block_hash)

    def place_of(self, transaction_hash: int) -> tuple[int, int] | None:
        """Block and index of a transaction."""
        return self._places.get(transaction_hash)

    def contract_class(self, class_hash: int) -> ContractClass:
        """A class that some block declared. Raises KeyError."""
        return self._read_class(class_hash)

    def blocks_with_events(self, emitters: frozenset[int], first: int, last: int) -> Iterator[int]:
        """Blocks in a range that hold events of any of these contracts, of any contract for an empty set."""
        if not emitters:
            return (n for n in range(first, min(last + 1, len(self))) if self.headers[n].event_count)
        found = {n for emitter in emitters for n in self._emitters.get(emitter, ()) if first <= n <= last}
        return iter(sorted(found))

    def append(self, block: Block, tries: StateTries, declared: Mapping[int, ContractClass]) -> None:
        """Durable when it returns. `tries` belong to the state after it, `declared` are the classes it declares."""
        documents = {
            class_hash: (known.sierra.document, known.casm_document) for class_hash, known in declared.items()
        }
        self._store.append(block.number, block_document(block), documents)
        self._index(Outline.of(block))
        self._tries = tries

    def truncate(self, first: int) -> list[Header]:
        """Takes back the blocks from this one on; their headers, newest first."""
        taken = []
        outlines = [Outline.of(self.block(number)) for number in range(first, len(self))]
        self._store.truncate(first)
        for outline in reversed(outlines):
            self._forget(outline)
            taken.append(self.headers.pop())
        self._tries = None
        self._read.cache_clear()  # type: ignore[attr-defined]
        return taken

    def accept_on_l1(self, number: int) -> list[Header]:
        """Marks this block and all below it as final; those newly so, newest first."""
        newly = self.headers[self._accepted_on_l1 + 1 : number + 1]
        if newly:
            self._accepted_on_l1 = number
            self._store.set_fact("accepted_on_l1", str(number))
        return newly[::-1]

    def _index(self, outline: Outline) -> None:
        number = outline.header.number
        self.ledger.apply(number, outline.diff)
        self.headers.append(outline.header)
        self._numbers[outline.header.hash] = number
        for index, transaction_hash in enumerate(outline.transactions):
            self._places[transaction_hash] = (number, index)
        for emitter in outline.emitters:
            self._emitters.setdefault(emitter, []).append(number)

    def _forget(self, outline: Outline) -> None:
        self.ledger.take_back(outline.header.number, outline.diff)
        del self._numbers[outline.header.hash]
        for transaction_hash in outline.transactions:
            del self._places[transaction_hash]
        for emitter in outline.emitters:
            self._emitters[emitter].pop()
