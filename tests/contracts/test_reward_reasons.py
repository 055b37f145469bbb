"""Every reason for which the reward pool reverts, by the smallest thing that brings it about on the compiled contract."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path

import pytest

from medsync_protocol import stark
from medsync_protocol.reward_pool import PoolReason
from medsync_protocol.rewards import EMPTY, Subtree, pay_leaf, reward_root
from medsync_protocol.stark import CURVE_ORDER
from tests.contracts.anchored import Committee
from tests.contracts.pooled import FAR, ODD, PAYEES, POOLS, SECRETS, WINDOW, Pooled, pooled, tree_of
from tests.contracts.stage import Reverted

SOURCES = Path(__file__).parents[2] / "contracts" / "src"
COVERED: set[PoolReason] = set()
Fault = Callable[[Pooled], object]


def refuses(reason: PoolReason) -> Callable[[Fault], Callable[[], None]]:
    """The test commits one fault on a pool of 100 with A owed 30 and B owed 12: `reason`, and the pool is unchanged."""
    COVERED.add(reason)

    def decorate(fault: Fault) -> Callable[[], None]:
        @wraps(fault)
        def test() -> None:
            pool = pooled(100)
            pool.run({"A": 30, "B": 12})
            with pytest.raises(Reverted) as refusal:
                fault(pool)
            assert refusal.value.reason == reason
            pool.compare()

        del test.__wrapped__  # pytest reads the parameters of what it wraps
        return test

    return decorate


OWED = tree_of({"A": 30, "B": 12})


def test_every_reason_of_the_contract_has_its_test_and_its_name_in_python() -> None:
    text = "".join((SOURCES / f"{name}.cairo").read_text() for name in ("reward_pool", "pay_tree", "claim"))
    own = set(re.findall(r"(?:assert\([^;]*?,|expect\()\s*'([A-Z_]+)'\s*,?\s*\)", text, flags=re.DOTALL))
    of_votes = {"UNKNOWN_SIGNER", "VOTES_NOT_ASCENDING", "SIGNATURE_OUT_OF_RANGE", "BAD_SIGNATURE"}
    assert own | of_votes == {str(reason) for reason in PoolReason} == {str(reason) for reason in COVERED}


# -- pools and deposits -------------------------------------------------------------------------------------------


@refuses(PoolReason.UNKNOWN_POOL)
def test_a_pool_without_a_token_is_none(pool: Pooled) -> None:
    pool.call("create_pool", [pool.anchored.context, 0, WINDOW, 0])


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("deposit", [5, 1]), ("propose", [5, *[0] * 11, 0, 0]), ("veto", [5, 0, 0]), ("activate", [5]),
        ("claim", [5, 1, 0, 1, 0, 9, FAR, 1, 1]), ("sweep", [5, 9, 1, *[0] * 11, 0, 0]),
    ],
)  # fmt: skip
def test_nothing_happens_to_a_pool_that_nobody_made(function: str, arguments: list[int]) -> None:
    with pytest.raises(Reverted, match="UNKNOWN_POOL"):
        pooled().call(function, arguments)


@refuses(PoolReason.TRANSFER_FAILED)
def test_a_deposit_that_the_token_refuses_is_no_deposit(pool: Pooled) -> None:
    odd = pooled(anchored=pool.anchored, token=ODD)
    odd.anchored.stage.call(ODD, "set", [0, 0, 1, 0, 0])
    odd.call("deposit", [odd.id, 5])


@refuses(PoolReason.TRANSFER_FAILED)
def test_a_deposit_of_which_nothing_arrives_is_none(pool: Pooled) -> None:
    pool.deposit(0)


@refuses(PoolReason.TRANSFER_FAILED)
def test_a_claim_that_the_token_refuses_pays_nothing(pool: Pooled) -> None:
    odd = pooled(50, anchored=pool.anchored, token=ODD)
    tree = odd.run({"A": 5})
    odd.anchored.stage.call(ODD, "set", [0, 0, 1, 0, 0])
    signed = odd.model.claim_of(tree.prove(PAYEES["A"]), recipient=9, deadline=FAR).sign(SECRETS["A"])
    odd.call("claim", [odd.id, PAYEES["A"], 0, 5, 0, 9, FAR, *signed])


# -- roots ----------------------------------------------------------------------------------------------------------


@refuses(PoolReason.NOT_ANCHORED)
def test_a_statement_that_was_not_accepted_proposes_nothing(pool: Pooled) -> None:
    pool.propose(replace(pool.anchored.head, detail=1), OWED.root)


@refuses(PoolReason.NOT_ANCHORED)
def test_another_contexts_statement_proposes_nothing(pool: Pooled) -> None:
    pool.propose(replace(pool.anchored.head, context=1), OWED.root)


@refuses(PoolReason.NOT_ANCHORED)
def test_a_statement_beyond_the_head_proposes_nothing(pool: Pooled) -> None:
    pool.propose(replace(pool.anchored.head, k=9), OWED.root)


@refuses(PoolReason.WRONG_REWARD_ROOT)
def test_a_tree_that_the_statement_does_not_name_is_refused(pool: Pooled) -> None:
    pool.propose(pool.anchor_root(OWED.root), tree_of({"A": 31, "B": 12}).root)


@refuses(PoolReason.WRONG_REWARD_ROOT)
def test_another_sum_over_the_same_tree_is_refused(pool: Pooled) -> None:
    pool.propose(pool.anchor_root(OWED.root), Subtree(OWED.root.hash, 99))


@refuses(PoolReason.WRONG_REWARD_ROOT)
def test_another_pools_root_is_refused(pool: Pooled) -> None:
    another = pooled(anchored=pool.anchored, salt=1)
    pool.propose(another.anchor_root(OWED.root), OWED.root)


@refuses(PoolReason.NOT_NEWER)
def test_the_root_of_the_same_checkpoint_is_proposed_once(pool: Pooled) -> None:
    pool.propose(pool.anchored.head, OWED.root)


@refuses(PoolReason.NOT_NEWER)
def test_a_vetoed_root_is_not_proposed_again(pool: Pooled) -> None:
    statement = pool.anchor_root(OWED.root)
    pool.propose(statement, OWED.root)
    pool.veto()
    pool.propose(statement, OWED.root)


@refuses(PoolReason.PENDING)
def test_a_second_root_waits_for_the_first(pool: Pooled) -> None:
    pool.propose(pool.anchor_root(OWED.root), OWED.root)
    pool.propose(pool.anchor_root(OWED.root), OWED.root)


@refuses(PoolReason.PENDING)
def test_a_root_that_can_be_activated_is_not_pushed_aside(pool: Pooled) -> None:
    pool.propose(pool.anchor_root(OWED.root), OWED.root)
    pool.pass_time()
    pool.propose(pool.anchor_root(OWED.root), OWED.root)


@refuses(PoolReason.PENDING)
def test_an_unpayable_root_is_not_pushed_aside_inside_its_window(pool: Pooled) -> None:
    dear = tree_of({"A": 10**6}).root
    pool.propose(pool.anchor_root(dear), dear)
    pool.pass_time(WINDOW - 1)
    pool.propose(pool.anchor_root(OWED.root), OWED.root)


@refuses(PoolReason.SUM_SHRANK)
def test_what_was_promised_is_not_taken_back(pool: Pooled) -> None:
    less = tree_of({"A": 30, "B": 11}).root
    pool.propose(pool.anchor_root(less), less)


@refuses(PoolReason.NO_PENDING)
def test_nothing_is_activated_where_nothing_is_pending(pool: Pooled) -> None:
    pool.activate()


@refuses(PoolReason.NO_PENDING)
def test_nothing_is_vetoed_where_nothing_is_pending(pool: Pooled) -> None:
    pool.veto()


@refuses(PoolReason.WINDOW_OPEN)
def test_a_root_is_not_active_before_its_window_has_passed(pool: Pooled) -> None:
    pool.propose(pool.anchor_root(OWED.root), OWED.root)
    pool.pass_time(WINDOW - 1)
    pool.activate()


@refuses(PoolReason.UNDERFUNDED)
def test_a_root_above_the_deposit_is_not_activated(pool: Pooled) -> None:
    pool.run({"A": 101})


# -- vetoes ---------------------------------------------------------------------------------------------------------


def proposed(pool: Pooled) -> Pooled:
    pool.propose(pool.anchor_root(OWED.root), OWED.root)
    return pool


@refuses(PoolReason.WINDOW_CLOSED)
def test_a_veto_after_the_window_is_too_late(pool: Pooled) -> None:
    proposed(pool).pass_time()
    pool.veto()


@refuses(PoolReason.BELOW_QUORUM)
def test_a_third_of_the_members_is_not_enough_for_a_veto(pool: Pooled) -> None:
    proposed(pool).veto([0])


@refuses(PoolReason.WRONG_MEMBERS)
def test_only_those_who_signed_the_statement_veto_its_root(pool: Pooled) -> None:
    proposed(pool).veto(members=Committee(5).keys)


@refuses(PoolReason.VOTES_NOT_ASCENDING)
def test_nobody_vetoes_twice(pool: Pooled) -> None:
    proposed(pool).veto([1, 1])


@refuses(PoolReason.UNKNOWN_SIGNER)
def test_a_veto_from_beyond_the_list_is_refused(pool: Pooled) -> None:
    votes = proposed(pool).anchored.committee.sign(pool.model.veto_digest(), [0, 1])
    pool.veto_with([votes[0], replace(votes[1], index=4)])


@refuses(PoolReason.BAD_SIGNATURE)
def test_a_veto_of_another_root_stops_nothing(pool: Pooled) -> None:
    votes = proposed(pool).anchored.committee.sign(pool.model.veto_digest(), [0, 1])
    pool.veto_with(votes)
    proposed(pool).veto_with(votes)


@refuses(PoolReason.SIGNATURE_OUT_OF_RANGE)
def test_a_veto_with_a_broken_signature_is_refused(pool: Pooled) -> None:
    votes = proposed(pool).anchored.committee.sign(pool.model.veto_digest(), [0, 1])
    pool.veto_with([votes[0], replace(votes[1], s=CURVE_ORDER + 1)])


# -- claims ---------------------------------------------------------------------------------------------------------


@refuses(PoolReason.EXPIRED)
def test_a_claim_after_its_deadline_is_refused(pool: Pooled) -> None:
    pool.claim(OWED.prove(PAYEES["A"]), deadline=pool.now - 1)


@refuses(PoolReason.BAD_SIGNATURE)
def test_only_the_payee_signs_a_claim(pool: Pooled) -> None:
    pool.claim(OWED.prove(PAYEES["A"]), secret=SECRETS["B"])


@pytest.mark.parametrize(
    "spoilt", [{"chain_id": 1}, {"contract": POOLS + 1}, {"pool": 1}, {"recipient": 0xBAD}, {"cumulative": 29},
               {"deadline": FAR - 1}]
)  # fmt: skip
def test_a_claim_signed_for_anything_else_is_refused(spoilt: dict[str, int]) -> None:
    pool = pooled(100)
    proof = pool.run({"A": 30, "B": 12}).prove(PAYEES["A"])
    signed = replace(pool.model.claim_of(proof, recipient=0x5EE1, deadline=FAR), **spoilt).sign(SECRETS["A"])
    with pytest.raises(Reverted, match="BAD_SIGNATURE"):
        pool.claim(proof, signature=signed)


@refuses(PoolReason.SIGNATURE_OUT_OF_RANGE)
def test_a_signature_beyond_the_order_is_refused(pool: Pooled) -> None:
    proof = OWED.prove(PAYEES["A"])
    r, s = pool.model.claim_of(proof, recipient=0x5EE1, deadline=FAR).sign(SECRETS["A"])
    pool.claim(proof, signature=(r, s + CURVE_ORDER if s + CURVE_ORDER < stark.FIELD_PRIME else 0))


@refuses(PoolReason.BAD_PROOF)
def test_a_larger_amount_than_the_trees_is_refused(pool: Pooled) -> None:
    pool.claim(replace(OWED.prove(PAYEES["A"]), cumulative=31))


@refuses(PoolReason.BAD_PROOF)
def test_a_path_of_another_payee_is_refused(pool: Pooled) -> None:
    pool.claim(replace(OWED.prove(PAYEES["A"]), path=OWED.prove(PAYEES["B"]).path))


@refuses(PoolReason.BAD_PROOF)
def test_a_path_beyond_the_deepest_tree_is_refused(pool: Pooled) -> None:
    pool.claim(replace(OWED.prove(PAYEES["A"]), path=(EMPTY,) * 33))


@refuses(PoolReason.BAD_PROOF)
def test_a_path_whose_sum_overflows_is_refused(pool: Pooled) -> None:
    pool.claim(replace(OWED.prove(PAYEES["A"]), path=(Subtree(1, 2**128 - 1),)))


@refuses(PoolReason.BAD_PROOF)
def test_nothing_is_claimed_before_a_root_is_active(pool: Pooled) -> None:
    fresh = pooled(10, anchored=pool.anchored, salt=1)
    fresh.claim(OWED.prove(PAYEES["A"]))


@refuses(PoolReason.BAD_INDEX)
def test_an_index_beyond_the_path_is_refused(pool: Pooled) -> None:
    proof = OWED.prove(PAYEES["A"])
    pool.claim(replace(proof, index=proof.index + 2))


@refuses(PoolReason.NOTHING_TO_CLAIM)
def test_the_same_amount_is_paid_once(pool: Pooled) -> None:
    pool.claim(OWED.prove(PAYEES["A"]))
    pool.claim(OWED.prove(PAYEES["A"]), recipient=0xB)


@refuses(PoolReason.OVER_ACTIVE_SUM)
def test_what_one_drew_is_not_paid_to_another_by_a_later_root(pool: Pooled) -> None:
    """Root 1 pays A 30 and B 12; root 2 has the same sum and moves A's 30 to B, whom it would pay 42 after A's 30."""
    pool.claim(OWED.prove(PAYEES["A"]))
    moved = pool.run({"B": 42})
    pool.claim(moved.prove(PAYEES["B"]))


# -- sweeps ---------------------------------------------------------------------------------------------------------


@refuses(PoolReason.NOT_SWEEPABLE)
def test_what_is_promised_is_not_swept(pool: Pooled) -> None:
    pool.sweep(59)


@refuses(PoolReason.NOT_SWEEPABLE)
def test_nothing_is_swept_while_a_root_is_pending(pool: Pooled) -> None:
    proposed(pool).sweep(1)


@refuses(PoolReason.NOT_SWEEPABLE)
def test_a_sweep_of_nothing_is_refused(pool: Pooled) -> None:
    pool.sweep(0)


@refuses(PoolReason.BELOW_QUORUM)
def test_a_sweep_takes_a_quorum(pool: Pooled) -> None:
    pool.sweep(5, votes=pool.anchored.committee.sign(pool.model.sweep_digest(0x5EE1, 5), [0, 1]))


@refuses(PoolReason.BAD_SIGNATURE)
def test_a_sweep_is_not_repeated(pool: Pooled) -> None:
    votes = pool.anchored.committee.sign(pool.model.sweep_digest(0x5EE1, 5), [0, 1, 2])
    pool.sweep(5, votes=votes)
    pool.sweep(5, votes=votes)


@refuses(PoolReason.WRONG_MEMBERS)
def test_a_former_list_sweeps_nothing(pool: Pooled) -> None:
    former = pool.anchored.committee
    pool.anchored.advance([1], Committee(4, first=20))
    votes = former.sign(pool.model.sweep_digest(0x5EE1, 5), [0, 1, 2])
    pool.sweep(5, votes=votes, members_shown=former.keys)


@refuses(PoolReason.NOT_ANCHORED)
def test_a_statement_that_is_not_the_head_sweeps_nothing(pool: Pooled) -> None:
    pool.sweep(5, detail=1)


@refuses(PoolReason.NOT_ANCHORED)
def test_another_contexts_head_sweeps_nothing(pool: Pooled) -> None:
    pool.sweep(5, context=1)


def test_a_leaf_made_of_a_node_is_refused_at_every_place() -> None:
    """Second preimages: what stands inside the tree is not taken for a payee."""
    pool = pooled(1_000)
    tree = pool.run({name: 10 + number for number, name in enumerate("ABCDEFGH")})
    for payee in tree.payees:
        proof = tree.prove(payee)
        for depth in range(1, len(proof.path) + 1):
            shorter = replace(proof, path=proof.path[depth:], index=proof.index >> depth)
            with pytest.raises(Reverted, match="BAD_PROOF"):
                pool.claim(shorter)
            forged = replace(proof, path=(*proof.path[: depth - 1], Subtree(5, 5), *proof.path[depth:]))
            with pytest.raises(Reverted, match="BAD_PROOF"):
                pool.claim(forged)
    assert pay_leaf(1, 2) != pay_leaf(2, 1)
    assert reward_root(1, tree.root) != reward_root(2, tree.root)
