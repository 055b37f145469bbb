"""Random histories under every policy: one result in any order, and the one that judging everything at once gives (S1).

The fold judges only what came after common ground; `Plain` here judges every set from nothing. 100,000 histories are the
long suite's.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from medsync_node.policy_trial import Op, history
from medsync_protocol.kinds import Verdict
from medsync_protocol.membership import MembershipFold
from medsync_protocol.membership_judging import Judging, Snapshot
from medsync_protocol.policy import SHIPPED, Policies

HISTORIES = 200  # per policy: 2,000 in all
LONG = 10_000
POLICIES = Policies()


class Plain(MembershipFold):
    """The rule without its short cuts: every set is judged as a whole, every time."""

    def _snapshot(self, heads: tuple[int, ...], *, final: bool) -> Snapshot:
        if not heads:
            return self._empty
        chosen = 0
        for i in heads:
            chosen |= self._nodes[i].past | 1 << i
        given = self._frozen if final else {}
        forked = self._forked_mask if final else 0
        return Judging(self._nodes, self._index, self._empty, chosen, given, forked).judged()


def folded(fold: MembershipFold, ops: Iterable[Op], *, asking: bool) -> MembershipFold:
    """All operations in this order; asked after each, as a replica asks."""
    for op in ops:
        op.add_to(fold)
        if asking:
            fold.state()
    return fold


def shuffled(ops: list[Op], rng: random.Random) -> list[Op]:
    """Another order that respects causality."""
    waiting, done, order = list(ops), set[bytes](), list[Op]()
    while waiting:
        op = rng.choice([op for op in waiting if done.issuperset(op.heads)])
        waiting.remove(op)
        order.append(op)
        done.add(op.op_id)
    return order


def check(name: str, seed: int, length: int = 20) -> None:
    """One history: three orders, with and without short cuts, and with some of it final."""
    policy = POLICIES.make(name)
    ops = history(policy, POLICIES, seed, length)
    rng = random.Random(seed)
    expected = folded(Plain(policy, POLICIES), ops, asking=False).state()
    fold = folded(MembershipFold(policy, POLICIES), shuffled(ops, rng), asking=True)
    other = folded(MembershipFold(policy, POLICIES), shuffled(ops, rng), asking=False)
    for state in (fold.state(), other.state()):
        assert state.root() == expected.root(), f"{name}, seed {seed}"
        assert dict(state.verdicts) == dict(expected.verdicts), f"{name}, seed {seed}"
        assert (state.proposals, state.k, state.policy) == (expected.proposals, expected.k, expected.policy)
    assert expected.admins(), f"{name}, seed {seed}: nobody is admin (S9)"
    below = fold.closure([rng.choice(ops).op_id])
    settled = {op_id: fold.state_of(below).verdicts[op_id] for op_id in below}
    for one in (fold, other):
        one.freeze(settled)
        assert {op_id: one.state().verdicts[op_id] for op_id in below} == settled, f"{name}, seed {seed} (S4)"
    assert fold.state().root() == other.state().root(), f"{name}, seed {seed}"


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_every_order_gives_what_judging_everything_at_once_gives(name: str) -> None:
    for seed in range(HISTORIES):
        check(name, seed)


@pytest.mark.long
@pytest.mark.parametrize("block", range(10))
@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_so_do_a_hundred_thousand(name: str, block: int) -> None:
    for seed in range(HISTORIES + block * LONG // 10, HISTORIES + (block + 1) * LONG // 10):
        check(name, seed, length=16)


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_a_fork_voids_from_its_place_on_in_any_order(name: str) -> None:
    for seed in range(20):
        policy = POLICIES.make(name)
        ops = history(policy, POLICIES, seed)
        rng = random.Random(seed)
        victim = rng.choice(ops[1:])
        roots = set()
        for first in (True, False):
            fold = MembershipFold(policy, POLICIES)
            if first:
                fold.fork(victim.chain, 0)
            for op in shuffled(ops, rng):
                fold.add(op.op_id, op.chain, op.heads, op.action, op.seen, 0)
            if not first:
                fold.fork(victim.chain, 0)
            roots.add(fold.state().root())
            assert fold.state().verdicts[victim.op_id] is Verdict.VOID_FORK
        assert len(roots) == 1, f"{name}, seed {seed}"
