"""Random histories under every policy: one result in any order, and the one that judging everything at once gives (S1).

The fold judges only what came after common ground; `Plain` here judges every set from nothing. 100,000 histories are the
long suite's.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from medsync_node.policy_trial import Op, history
from medsync_protocol.ids import OpId
from medsync_protocol.kinds import Verdict
from medsync_protocol.membership import MembershipFold, _View
from medsync_protocol.membership_judging import Judging, Snapshot
from medsync_protocol.policy import SHIPPED, Policies, Policy

HISTORIES = 200  # per policy: 2,000 in all
LONG = 10_000
POLICIES = Policies()
NEVER_CONTRADICT = {"both_out", "forward_only", "founder"}  # no removal voids another: what is final changes no past
ROOTS = tuple(bytes([k]) * 32 for k in range(5))


class Plain(MembershipFold):
    """The rule without its short cuts: every set is judged as a whole, every time."""

    def _snapshot(self, heads: tuple[int, ...], view: _View) -> Snapshot:
        if not heads:
            return self._empty
        chosen = 0
        for i in heads:
            chosen |= self._nodes[i].past | 1 << i
        given = self._given(chosen, view.k)
        return Judging(self._nodes, self._index, self._empty, chosen, given, view.forks).judged()


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
        one.freeze(1, bytes(32), settled)
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


def finals_of(policy: Policy, ops: list[Op], rng: random.Random) -> list[dict[OpId, Verdict]]:
    """Three checkpoints, each over a larger closed set, with the verdicts that a node gave on the ones before.

    Where there are operations that what came beside them voids, the chain saw one of them first.
    """
    fold = folded(Plain(policy, POLICIES), ops, asking=False)
    finals: list[dict[OpId, Verdict]] = []
    below: set[OpId] = set()
    whole = fold.state().verdicts
    overtaken = [
        op for op in ops
        if not whole[op.op_id].effective and fold.state_of([op.op_id]).verdicts[op.op_id].effective
    ]  # fmt: skip
    for k in (1, 2, 3):
        below |= set(fold.closure([rng.choice(overtaken or ops).op_id]))
        given = {op_id: fold.state_of(below).verdicts[op_id] for op_id in below}
        finals.append({op_id: verdict for op_id, verdict in given.items() if not any(op_id in f for f in finals)})
        fold.freeze(k, ROOTS[k], finals[-1])
    return finals


def taken(fold: MembershipFold, ops: list[Op], finals: list[dict[OpId, Verdict]], rng: random.Random) -> MembershipFold:
    """The operations in this order; each checkpoint is learnt of at some moment after all that it is about."""
    here: set[OpId] = set()
    k = 1
    for op in ops:
        k_seen = op.op_id[0] % 5
        fold.add(op.op_id, op.chain, op.heads, op.action, (k_seen, ROOTS[k_seen]), 0)
        here.add(op.op_id)
        while k <= len(finals) and here.issuperset(finals[k - 1]) and rng.random() < 0.4:
            fold.freeze(k, ROOTS[k], finals[k - 1])
            k += 1
        if rng.random() < 0.5:
            fold.state()
    for later in range(k, len(finals) + 1):
        fold.freeze(later, ROOTS[later], finals[later - 1])
    return fold


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_what_is_final_reaches_into_the_pasts_of_those_who_knew_it_whenever_we_learn_it(name: str) -> None:
    """Decision 13: verdicts follow from operations and checkpoints, in whatever order they come (S1)."""
    policy = POLICIES.make(name)
    reached = 0
    for seed in range(HISTORIES // 2):
        ops, rng = history(policy, POLICIES, seed), random.Random(seed)
        finals = finals_of(policy, ops, rng)
        expected = taken(Plain(policy, POLICIES), ops, finals, rng).state()
        for _ in range(2):
            fold = taken(MembershipFold(policy, POLICIES), shuffled(ops, rng), finals, rng)
            assert dict(fold.state().verdicts) == dict(expected.verdicts), f"{name}, seed {seed}"
            assert fold.state().root() == expected.root(), f"{name}, seed {seed}"
            fold.thaw(2)
            fold.freeze(2, ROOTS[0], finals[1])  # another block took its place: who cites the old one knew only the first
            fold.thaw(1)
            unfrozen = taken(Plain(policy, POLICIES), ops, [], rng).state()
            assert fold.state().root() == unfrozen.root(), f"{name}, seed {seed}"
        reached += ignoring(policy, ops, finals) != expected.root()
    more = range(HISTORIES // 2, 2 * HISTORIES)  # where it is rare
    assert reached or name in NEVER_CONTRADICT or any(_reaches(policy, seed) for seed in more), "the test shows nothing"


def ignoring(policy: Policy, ops: list[Op], finals: list[dict[OpId, Verdict]]) -> bytes:
    """The root where no operation says which checkpoint it knew."""
    fold = MembershipFold(policy, POLICIES)
    for op in ops:
        fold.add(op.op_id, op.chain, op.heads, op.action, (0, ROOTS[0]), 0)
    for k in (1, 2, 3):
        fold.freeze(k, ROOTS[k], finals[k - 1])
    return fold.state().root()


def _reaches(policy: Policy, seed: int) -> bool:
    ops, rng = history(policy, POLICIES, seed), random.Random(seed)
    finals = finals_of(policy, ops, rng)
    return ignoring(policy, ops, finals) != taken(Plain(policy, POLICIES), ops, finals, rng).state().root()


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
                fold.add(op.op_id, op.chain, op.heads, op.action, (op.seen, bytes(32)), 0)
            if not first:
                fold.fork(victim.chain, 0)
            roots.add(fold.state().root())
            assert fold.state().verdicts[victim.op_id] is Verdict.VOID_FORK
        assert len(roots) == 1, f"{name}, seed {seed}"
