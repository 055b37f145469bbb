"""What the reward pool does when all is well, and that it agrees with its model on random traces."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from starknet_py.utils.typed_data import TypedData

from medsync_protocol import reward_calldata
from medsync_protocol.errors import Malformed
from medsync_protocol.poseidon import short_string
from medsync_protocol.rewards import PayTree
from medsync_protocol.statement import Statement
from tests.contracts.anchored import Committee
from tests.contracts.pooled import ODD, PAYEES, POOLS, RECIPIENT, Pooled, pooled, tree_of
from tests.contracts.stage import Reverted


def test_a_period_ends_in_a_paid_claim_through_anyone() -> None:
    pool = pooled(100)
    tree = pool.run({"A": 30, "B": 12})
    assert pool.claim(tree.prove(PAYEES["A"]), caller=0xABCD).data == [30]
    assert pool.balance_of(RECIPIENT) == 30
    assert pool.balance_of(POOLS) == pool.model.balance == 70


def test_a_later_root_pays_the_difference_in_any_order() -> None:
    pool = pooled(100)
    pool.claim(pool.run({"A": 30, "B": 12}).prove(PAYEES["A"]))
    tree = pool.run({"A": 35, "B": 20, "C": 1})
    assert [pool.claim(tree.prove(PAYEES[name])).data for name in "CAB"] == [[1], [5], [20]]
    assert pool.model.claimed_total == tree.root.sum == 56


def test_a_pool_is_made_once_and_made_again_by_nobody() -> None:
    pool = pooled(100)
    events = len(pool.anchored.stage.events)
    pool.create()
    assert len(pool.anchored.stage.events) == events
    assert pool.model.deposited == 100


def test_a_veto_drops_the_root_and_the_next_may_come() -> None:
    pool = pooled(100)
    tree = tree_of({"A": 30})
    pool.propose(pool.anchor_root(tree.root), tree.root)
    pool.veto()
    assert pool.run({"A": 20}).root.sum == 20


def test_a_root_that_cannot_be_paid_gives_way_after_its_window() -> None:
    pool = pooled(100)
    dear, fair = tree_of({"A": 10**6}).root, tree_of({"A": 10}).root
    pool.propose(pool.anchor_root(dear), dear)
    pool.pass_time()
    pool.propose(pool.anchor_root(fair), fair)
    pool.pass_time()
    pool.activate()
    assert pool.model.active == fair


def test_those_who_signed_the_statement_veto_after_the_list_has_changed() -> None:
    pool = pooled(100)
    signers, tree = pool.anchored.committee, tree_of({"A": 30})
    statement = pool.anchored.propose([7], Committee(4, first=20), reward_root=0).following
    assert statement.members == signers.hash
    pool.propose(pool.anchor_root(tree.root), tree.root)
    votes = signers.sign(pool.model.veto_digest(), [2, 3])
    pool.anchored.advance([8], Committee(4, first=20))
    pool.veto_with(votes, signers.keys)


def test_a_sweep_takes_what_nobody_was_promised() -> None:
    pool = pooled(100)
    tree = pool.run({"A": 30})
    pool.sweep(70)
    assert pool.claim(tree.prove(PAYEES["A"])).data == [30]
    assert pool.balance_of(POOLS) == 0


def test_only_what_arrives_is_credited() -> None:
    pool = pooled(token=ODD)
    pool.anchored.stage.call(ODD, "set", [3, 0, 0, 0, 0])
    assert pool.deposit(10, arrives=7).data == [7]


def test_a_token_that_calls_back_is_credited_once() -> None:
    outer = pooled(token=ODD)
    inner = pooled(anchored=outer.anchored, token=ODD, salt=1)
    outer.anchored.stage.call(ODD, "set", [0, 0, 0, inner.id, 40])
    assert outer.deposit(10).data == [10]
    inner.model = inner.model.deposit(40)
    inner.compare()
    assert outer.anchored.stage.call(ODD, "balance_of", [POOLS]).data == [50, 0]


def test_pools_of_one_token_do_not_touch_each_other() -> None:
    one = pooled(100)
    other = pooled(5, anchored=one.anchored, salt=1)
    one.claim(one.run({"A": 90}).prove(PAYEES["A"]))
    tree = other.run({"A": 5})
    assert other.claim(tree.prove(PAYEES["A"])).data == [5]
    assert one.balance_of(POOLS) == one.model.balance + other.model.balance == 10


def test_a_wallet_hashes_the_claim_as_the_contract_does() -> None:
    pool = pooled(100)
    claim = pool.model.claim_of(tree_of({"A": 30}).prove(PAYEES["A"]), recipient=RECIPIENT, deadline=2**33)
    for chain in ("MEDSYNC_TEST", "SN_SEPOLIA"):
        named = replace(claim, chain_id=short_string(chain))
        document: Any = named.typed_data()
        assert TypedData.from_dict(document).message_hash(claim.payee) == named.digest()


NAMES = st.sampled_from("ABCD")
AMOUNTS = st.integers(1, 60) | st.integers(1, 2**128 - 1)
STEP = st.one_of(
    st.tuples(st.just("deposit"), st.integers(0, 50)),
    st.tuples(st.just("root"), st.dictionaries(NAMES, st.integers(1, 60), max_size=4)),
    st.tuples(st.just("root"), st.dictionaries(NAMES, AMOUNTS, max_size=2)),
    st.tuples(st.just("propose"), st.integers(0, 3)),
    st.tuples(st.just("period"), st.integers(0, 1)),
    st.tuples(st.just("veto"), st.just(None)),
    st.tuples(st.just("time"), st.sampled_from([1, 86_400, 3 * 86_400])),
    st.tuples(st.just("activate"), st.just(None)),
    st.tuples(st.just("claim"), st.tuples(NAMES, st.integers(0, 3), st.integers(0, 3), st.integers(0, 1))),
    st.tuples(st.just("sweep"), st.integers(0, 60)),
)


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(STEP, min_size=5, max_size=40))
def test_the_contract_and_its_model_agree_on_any_trace(steps: list[tuple[str, object]]) -> None:
    """Step for step the same answer or the same reason, the same cells; and what holds of pools holds after each."""
    pool = pooled(40)
    bystander = pooled(5, anchored=pool.anchored, salt=1)
    trees, statements = [tree_of({"A": 20, "B": 5})], []
    statements.append(pool.anchor_root(trees[0].root))
    for kind, given_ in steps:
        with suppress(Reverted):
            step(pool, trees, statements, kind, given_)
        model = pool.model
        assert 0 <= model.claimed_total <= model.active.sum <= model.deposited
        assert sum(paid for _, paid in model.claimed) == model.claimed_total
        assert pool.balance_of(POOLS) == model.balance + bystander.model.balance
        bystander.compare()
    pool.compare()


def step(pool: Pooled, trees: list[PayTree], statements: list[Statement], kind: str, given_: object) -> None:
    match kind, given_:
        case "deposit", int(amount):
            pool.deposit(amount)
        case "root", dict(earned):
            with suppress(Malformed):  # a sum beyond 2¹²⁸ is no tree
                trees.append(tree_of(earned))
                statements.append(pool.anchor_root(trees[-1].root))
        case "propose", int(back):
            at = max(len(trees) - 1 - back, 0)
            pool.propose(statements[at], trees[at].root)
        case "period", int(back):
            at = max(len(trees) - 1 - back, 0)
            pool.propose(statements[at], trees[at].root)
            pool.pass_time()
            pool.activate()
        case "veto", None:
            pool.veto()
        case "time", int(seconds):
            pool.pass_time(seconds)
        case "activate", None:
            pool.activate()
        case "claim", (str(name), int(back), int(lift), int(shift)):
            tree = trees[max(len(trees) - 1 - back, 0)]
            if PAYEES[name] in tree.payees:
                proof = tree.prove(PAYEES[name])
                pool.claim(
                    replace(proof, cumulative=proof.cumulative + lift * shift, index=proof.index + shift)
                )
        case "sweep", int(amount):
            pool.sweep(amount)
        case _:
            raise AssertionError((kind, given_))


def test_views_of_an_unknown_pool_are_empty() -> None:
    pool = Pooled()
    view = reward_calldata.read_pool(pool.call("pool", [5]).data)
    assert (view.token, view.deposited, view.last_k) == (0, 0, 0)
