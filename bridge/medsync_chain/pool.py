"""Transactions that are not in a block yet: which replaces which, which is next, which has waited too long.

Whether one may come in at all is `admission.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from medsync_chain.errors import Code, Unacceptable
from medsync_chain.transactions import Transaction

__all__ = ["Pool", "Waiting"]

MAX_WAITING = 10_000  # transactions; memory
RAISE_PERCENT = 10  # by which tip and price must both be above those of the one replaced
LIFETIME = 300  # seconds; public mempools forget sooner or later too


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A transaction and when it came, in seconds."""

    transaction: Transaction
    since: int


@dataclass(slots=True)
class Pool:
    """By sender and nonce: at most one transaction each, the oldest first."""

    lifetime: int = LIFETIME
    _waiting: dict[tuple[int, int], Waiting] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._waiting)

    def find(self, transaction_hash: int) -> Transaction | None:
        """By its hash."""
        for waiting in self._waiting.values():
            if waiting.transaction.hash == transaction_hash:
                return waiting.transaction
        return None

    def at(self, sender: int, nonce: int) -> Transaction | None:
        """The transaction of a sender with this nonce."""
        waiting = self._waiting.get((sender, nonce))
        return None if waiting is None else waiting.transaction

    def check(self, transaction: Transaction) -> None:
        """Raises Unacceptable: 59 for one that is here, 64 for one that bids too little to replace another."""
        present = self.at(transaction.sender, transaction.nonce)
        if present is not None:
            if present.hash == transaction.hash:
                raise Unacceptable(Code.DUPLICATE_TX)
            _require_raise(present, transaction)
        elif len(self._waiting) >= MAX_WAITING:
            raise Unacceptable(Code.UNEXPECTED_ERROR, "the mempool is full")

    def put(self, transaction: Transaction, now: int) -> None:
        """Adds it, in place of the one with its nonce."""
        place = (transaction.sender, transaction.nonce)
        self._waiting.pop(place, None)
        self._waiting[place] = Waiting(transaction=transaction, since=now)

    def drop(self, transaction: Transaction) -> None:
        """Removes it."""
        self._waiting.pop((transaction.sender, transaction.nonce), None)

    def next(self, nonce_of: Callable[[int], int]) -> Transaction | None:
        """The oldest whose nonce is its sender's turn."""
        for (sender, nonce), waiting in self._waiting.items():
            if nonce_of(sender) == nonce:
                return waiting.transaction
        return None

    def forget(self, now: int, nonce_of: Callable[[int], int]) -> None:
        """Drops what waited too long and what can never come any more."""
        for place, waiting in list(self._waiting.items()):
            if now - waiting.since > self.lifetime or nonce_of(place[0]) > place[1]:
                del self._waiting[place]


def _require_raise(present: Transaction, new: Transaction) -> None:
    old_price, new_price = present.bounds.l2_gas.price, new.bounds.l2_gas.price
    for name, old, offered in (("tip", present.tip, new.tip), ("L2 gas price", old_price, new_price)):
        least = -(-old * (100 + RAISE_PERCENT) // 100)
        if offered < least:
            raise Unacceptable(
                Code.REPLACEMENT_TRANSACTION_UNDERPRICED, f"{name} {offered}; at least {least} is needed"
            )
