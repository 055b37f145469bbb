"""Pay trees, pools' names and claims."""

from __future__ import annotations

from typing import Any

from medsync_protocol import claims, stark
from medsync_protocol import rewards as pay
from scripts.vector_files.cast import vector


@vector
def rewards() -> Any:
    """Pay trees with their roots and proofs, and a claim with its digest and signature."""
    keys = [stark.public_key(secret) for secret in range(1, 7)]
    trees = []
    for size in (0, 1, 2, 3, 6):
        earned = {key: 10 * (number + 1) for number, key in enumerate(keys[:size])}
        tree = pay.PayTree(earned)
        proofs = [tree.prove(payee) for payee in tree.payees]
        trees.append({
            "earned": [[hex(key), str(amount)] for key, amount in earned.items()],
            "hash": hex(tree.root.hash), "sum": str(tree.root.sum), "reward_root": hex(pay.reward_root(7, tree.root)),
            "proofs": [
                {"payee": hex(proof.payee), "cumulative": str(proof.cumulative), "index": proof.index,
                 "path": [[hex(step.hash), str(step.sum)] for step in proof.path]}
                for proof in proofs
            ],
        })  # fmt: skip
    terms = {
        "chain_id": stark.short_string("SN_SEPOLIA"),
        "contract": 2,
        "context": 3,
        "token": 4,
        "window": 5,
        "salt": 6,
    }
    claim = claims.Claim(
        chain_id=terms["chain_id"], contract=2, pool=7, payee=keys[0], recipient=8, cumulative=10, deadline=1_900_000_000
    )  # fmt: skip
    return {
        "pool_of_the_reward_roots": hex(7), "trees": trees,
        "pool": {"of": {name: hex(value) for name, value in terms.items()}, "name": hex(pay.pool_hash(**terms))},
        "claim": {"typed_data": claim.typed_data(), "account": hex(claim.payee), "secret": hex(1),
                  "digest": hex(claim.digest()), "signature": [hex(part) for part in claim.sign(1)]},
    }  # fmt: skip
