"""A history with a race, and what it folds to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from medsync_protocol import (
    actions,
)  # fmt: skip
from medsync_protocol.identity import Identity
from medsync_protocol.ids import (
    KeyId,
    OpId,
)  # fmt: skip
from medsync_protocol.kinds import Role, Verdict
from medsync_protocol.membership import MembershipFold, quorum
from medsync_protocol.policies.pins import PINS
from medsync_protocol.policy import AnyAdmin, policy_hash

from scripts.vector_files.cast import (
    ANN,
    BEA,
    chain,
    vector,
)
from scripts.vector_files.operations import all_actions


@vector
def memberships() -> Any:
    """A history with a race: two admins remove each other at once, and the senior stays."""
    fold = MembershipFold(AnyAdmin())
    named = all_actions()
    genesis, admit, removal = named["genesis"], named["admit"], named["remove"]
    assert isinstance(genesis, actions.Genesis) and isinstance(admit, actions.Admit) and isinstance(removal, actions.Remove)
    promotion = actions.SetRole(member=BEA.member, role=Role.ADMIN)
    revenge = replace(removal, member=ANN.member, cut_off=(), rotation=replace(removal.rotation, key_id=KeyId(b"r" * 32)))
    steps: list[tuple[str, Identity, list[str], actions.Action]] = [
        ("a", ANN, [], genesis), ("b", ANN, ["a"], admit), ("c", ANN, ["b"], promotion),
        ("d", ANN, ["c"], removal), ("e", BEA, ["c"], revenge),
    ]  # fmt: skip
    listed = []
    for name, author, heads, action in steps:
        kind, payload = actions.encode_action(action)
        fold.add(OpId(name.encode() * 32), chain(author), [OpId(head.encode() * 32) for head in heads], action)
        listed.append({
            "op_id": (name.encode() * 32).hex(), "device": author.device.hex(), "kind": int(kind),
            "heads": [(head.encode() * 32).hex() for head in heads], "payload": payload.hex(),
        })  # fmt: skip
    state = fold.state()
    return {
        "policy": {"name": "any_admin", "version": 1, "source": PINS["any_admin"], "hash": policy_hash(AnyAdmin()).hex()},
        "operations": listed,
        "verdicts": {op_id.hex(): Verdict(verdict).name for op_id, verdict in sorted(state.verdicts.items())},
        "members": {member.hex(): held.role.name for member, held in sorted(state.members.items())},
        "root": state.root().hex(),
        "quorum": {str(n): quorum(n) for n in range(1, 31)},
    }
