"""Pay trees, pools' names and claims; and a reward period from labels to the root."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from medsync_protocol import claims, stark
from medsync_protocol import reward_labels as labels
from medsync_protocol import rewards as pay
from medsync_protocol.application import Label
from medsync_protocol.ids import ContextId, MemberId, NetworkId
from medsync_protocol.kinds import Audience
from medsync_protocol.operation import encode_label
from medsync_protocol.reward_book import NO_REWARDS, Surroundings
from medsync_protocol.transition import Anchor
from scripts.vector_files.cast import vector


def _period() -> Any:
    """Labels of two members that report a period, and what a checkpoint makes of them."""
    first, second = MemberId(bytes([1]) * 32), MemberId(bytes([2]) * 32)
    terms = labels.RewardTerms(
        contract=2, token=4, window=5, salt=6, per_point=10, days=1, cap=3, least=4, first=20_000
    )
    tokens = [labels.relation_token(bytes([n]) * 32, "TREAT", 20_000) for n in range(5)]
    reports = (
        (first, labels.Report(period=20_000, given=((second, frozenset(tokens)),))),
        (second, labels.Report(period=20_000, asked=((first, frozenset(tokens[1:])),))),
    )
    drafts = [(member, draft) for member, report in reports for draft in labels.report_drafts(report)]
    named = [(member, labels.terms_draft(terms)) for member in (first, second)]
    said = [
        [(member, Label(kind=draft.kind, audience=Audience.ALL, public=draft.public)) for member, draft in pairs]
        for pairs in (named, [], drafts)
    ]
    around = Surroundings(
        network=NetworkId(bytes(32)), id=ContextId(bytes(32)), anchor=Anchor(chain_id=7, contract=8), context=3, k=1,
        now=20_000 * 86_400, voters=(first, second), writers=frozenset((first, second)),
        payees={first: stark.public_key(1), second: stark.public_key(2)},
    )  # fmt: skip
    book = NO_REWARDS
    steps = []
    for k, written in enumerate(said, start=1):
        now = (20_000 + (k > 1)) * 86_400
        book = book.after(written, replace(around, k=k, now=now))
        shown = [{"author": member.hex(), "label": encode_label(label).hex()} for member, label in written]
        steps.append({"k": k, "not_before": now, "labels": shown, "reward_root": hex(book.root), "rewards": book.encode().hex()})  # fmt: skip
    token = {"receipt": (bytes([1]) * 32).hex(), "purpose": "TREAT", "period": 20_000, "token": tokens[1].hex()}
    return {"chain_id": hex(7), "contract": hex(8), "context": hex(3), "token": token, "checkpoints": steps}


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
        "period": _period(),
    }  # fmt: skip
