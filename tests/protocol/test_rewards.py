"""Pay trees: roots and proofs as the vectors say, and what no tree holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starknet_py.utils.typed_data import TypedData

from medsync_protocol import claims, rewards, stark
from medsync_protocol.errors import Malformed
from medsync_protocol.rewards import PayTree, Subtree, climb, pay_leaf, pay_node

VECTORS: Any = json.loads(
    (Path(__file__).parents[2] / "protocol" / "vectors" / "rewards.json").read_text("utf-8")
)
KEYS = [stark.public_key(secret) for secret in range(1, 10)]


@pytest.mark.parametrize("case", VECTORS["trees"])
def test_trees_have_their_roots_and_proofs(case: Any) -> None:
    tree = PayTree({int(key, 16): int(amount) for key, amount in case["earned"]})
    assert (hex(tree.root.hash), str(tree.root.sum)) == (case["hash"], case["sum"])
    assert hex(rewards.reward_root(7, tree.root)) == case["reward_root"]
    for proof in case["proofs"]:
        path = [Subtree(int(hashed, 16), int(total)) for hashed, total in proof["path"]]
        payee, cumulative = int(proof["payee"], 16), int(proof["cumulative"])
        assert tree.prove(payee).path == tuple(path)
        assert climb(payee, cumulative, proof["index"], path) == (tree.root, 0)


def test_a_pool_has_its_name_and_a_claim_its_digest() -> None:
    terms = {name: int(value, 16) for name, value in VECTORS["pool"]["of"].items()}
    assert hex(rewards.pool_hash(**terms)) == VECTORS["pool"]["name"]
    claim = VECTORS["claim"]
    digest, account = int(claim["digest"], 16), int(claim["account"], 16)
    assert TypedData.from_dict(claim["typed_data"]).message_hash(account) == digest
    r, s = (int(part, 16) for part in claim["signature"])
    stark.verify(digest, account, r, s)


@settings(max_examples=30, deadline=None)
@given(earned=st.dictionaries(st.sampled_from(KEYS), st.integers(0, 10**9), min_size=1))
def test_every_payee_has_a_proof_and_no_other_amount_has(earned: dict[int, int]) -> None:
    tree = PayTree(earned)
    assert tree.root.sum == sum(earned.values())
    assert PayTree(dict(reversed(earned.items()))).root == tree.root
    for payee, amount in earned.items():
        proof = tree.prove(payee)
        assert climb(payee, amount, proof.index, proof.path) == (tree.root, 0)
        assert climb(payee, amount + 1, proof.index, proof.path)[0] != tree.root


def test_a_sum_beyond_128_bits_is_no_sum() -> None:
    with pytest.raises(Malformed):
        pay_node(pay_leaf(1, 2**127), pay_leaf(2, 2**127))
    with pytest.raises(Malformed):
        PayTree({KEYS[0]: 2**127, KEYS[1]: 2**127})
    with pytest.raises(Malformed):
        PayTree({KEYS[0]: -1})


def test_who_has_no_key_of_the_curve_earns_nothing() -> None:
    off = next(x for x in range(1, 99) if not stark.is_public_key(x))
    with pytest.raises(Malformed):
        PayTree({off: 1})
    with pytest.raises(Malformed):
        PayTree({KEYS[0]: 1}).prove(KEYS[1])


def test_a_claim_beyond_its_widths_is_not_signed() -> None:
    proper = {"chain_id": 1, "contract": 2, "pool": 3, "payee": KEYS[0], "recipient": 4}
    for cumulative, deadline in ((2**128, 1), (1, 2**64), (-1, 1)):
        with pytest.raises(Malformed):
            claims.Claim(**proper, cumulative=cumulative, deadline=deadline).sign(1)
