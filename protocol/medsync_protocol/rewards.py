"""The pay tree: what each payee has earned so far, as a Merkle tree of sums; its proofs and the root that stands in a
statement (STARKNET §3).

Who earned what is a reward policy's to say; what a pool pays is `reward_pool.py`'s. The Cairo twin is
`contracts/src/pay_tree.cairo`; `vectors/rewards.json` decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from medsync_protocol.errors import Malformed
from medsync_protocol.poseidon import Felt, tagged_hash, want_felt, want_uint
from medsync_protocol.stark import is_public_key

MAX_DEPTH: Final = 32  # four thousand million payees, as the contract
AMOUNT_BITS: Final = 128  # of every amount and of every sum


@dataclass(frozen=True, slots=True)
class Subtree:
    """Hash of a subtree and the sum of its leaves; an empty place is (0, 0)."""

    hash: int
    sum: int


EMPTY: Final = Subtree(0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PayProof:
    """That a payee has `cumulative` at `index`; siblings from the leaf up."""

    payee: int
    cumulative: int
    index: int
    path: tuple[Subtree, ...]


def pay_leaf(payee: int, cumulative: int) -> Subtree:
    """One payee's place. Raises Malformed unless `payee` is a felt and `cumulative` an amount."""
    want_felt(payee)
    want_uint(cumulative, AMOUNT_BITS)
    return Subtree(tagged_hash("MEDSYNC_PAY_LEAF_1", [payee, cumulative]), cumulative)


def pay_node(left: Subtree, right: Subtree) -> Subtree:
    """What stands above two subtrees. Raises Malformed when the sum is no amount any more."""
    total = want_uint(left.sum + right.sum, AMOUNT_BITS)
    return Subtree(
        tagged_hash("MEDSYNC_PAY_NODE_1", [left.hash, left.sum, right.hash, right.sum]), total
    )  # fmt: skip


def pool_hash(*, chain_id: int, contract: int, context: int, token: int, window: int, salt: int) -> Felt:
    """A pool's name: its place and all its settings. `window` in seconds, below 2³². Raises Malformed."""
    want_uint(window, 32)
    return tagged_hash("MEDSYNC_POOL_1", [chain_id, contract, context, token, window, salt])


def reward_root(pool: int, root: Subtree) -> Felt:
    """`Statement.reward_root`: this tree is what this pool owes."""
    return tagged_hash("MEDSYNC_PAY_ROOT_1", [pool, root.hash, root.sum])


class PayTree:
    """What every payee has earned since the pool began, ordered by key: equal amounts give equal roots."""

    def __init__(self, earned: Mapping[int, int]) -> None:
        """`earned`: Stark key → cumulative amount. Raises Malformed: no key of the curve, no amount, sum too large."""
        if not all(is_public_key(payee) for payee in earned):
            raise Malformed("a payee is no public key of the STARK curve and could never claim")
        self.payees: Final = tuple(sorted(earned))
        self._earned = dict(earned)
        leaves = [pay_leaf(payee, earned[payee]) for payee in self.payees]
        depth = max(len(leaves) - 1, 0).bit_length()
        self._levels = [leaves + [EMPTY] * ((1 << depth) - len(leaves))]
        while len(self._levels[-1]) > 1:
            below = self._levels[-1]
            self._levels.append([pay_node(*below[at : at + 2]) for at in range(0, len(below), 2)])

    @property
    def root(self) -> Subtree:
        """Hash and sum of the whole; (0, 0) when nobody earned anything."""
        return self._levels[-1][0]

    def prove(self, payee: int) -> PayProof:
        """The payee's proof. Raises Malformed for a payee that is not in the tree."""
        if payee not in self._earned:
            raise Malformed("this key has earned nothing in this pool")
        index = at = self.payees.index(payee)
        path = []
        for level in self._levels[:-1]:
            path.append(level[at ^ 1])
            at >>= 1
        return PayProof(payee=payee, cumulative=self._earned[payee], index=index, path=tuple(path))


def climb(payee: int, cumulative: int, index: int, path: Sequence[Subtree]) -> tuple[Subtree, int]:
    """(the root that the path leads to, what is left of the index: 0 when the path is as long as it needs).

    Raises Malformed for a path that is too long or a sum that is no amount.
    """
    if len(path) > MAX_DEPTH:
        raise Malformed(f"a path has at most {MAX_DEPTH} steps")
    found = pay_leaf(payee, cumulative)
    for sibling in path:
        found = pay_node(sibling, found) if index & 1 else pay_node(found, sibling)
        index >>= 1
    return found, index
