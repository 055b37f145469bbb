"""Tries a membership policy on random histories: is it pure, is it deterministic, does what must hold hold?

Run as a module in a child process, once per PYTHONHASHSEED, by policy_check.py. Prints one JSON object: a digest of
all results, which must be equal in all children, and what went wrong. Knows nothing of nodes and networks.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import random
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from medsync_node.policies import installed, loaded
from medsync_protocol.actions import (
    Action, Admit, DeviceAdd, Endorse, Genesis, Leave, MemberCard, Merge, Remove, Rotate, Rotation, SetRole, Transfer,
)  # fmt: skip
from medsync_protocol.crypto import blake2b
from medsync_protocol.ids import ChainId, DeviceId, KeyId, MemberId, OpId
from medsync_protocol.kinds import Role, Verdict
from medsync_protocol.membership import MembershipFold, MembershipState
from medsync_protocol.policy import Policies, ask
from medsync_protocol.ruling import Parameter, Policy

PEOPLE: Final = ("ann", "bea", "cay", "dan", "eve")
LENGTH: Final = 24  # operations of a history: enough for proposals, votes, races and what comes of them
ORDERS: Final = 3  # other orders of arrival per history
IMPURE: Final = frozenset({
    "asyncio", "datetime", "http", "io", "os", "pathlib", "random", "requests", "secrets", "socket", "subprocess", "sys",
    "threading", "time", "urllib", "uuid",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Op:
    """An operation as the fold takes it."""

    op_id: OpId
    chain: ChainId
    heads: tuple[OpId, ...]
    action: Action
    seen: int

    def add_to(self, fold: MembershipFold) -> None:
        """Hold it there."""
        fold.add(self.op_id, self.chain, self.heads, self.action, (self.seen, bytes(32)))


def member(name: str) -> MemberId:
    """A member by name."""
    return MemberId(blake2b(b"member", name.encode()))


def _device(name: str) -> DeviceId:
    return DeviceId(blake2b(b"device", name.encode()))


def _card(name: str) -> MemberCard:
    return MemberCard(
        member=member(name), device=_device(name), certificate=bytes(64), sealing_key=blake2b(name.encode()), name=name
    )


def _rotation(state: MembershipState, names: Iterable[str], rng: random.Random) -> Rotation:
    wraps = tuple((member(name), b"w") for name in names)
    return Rotation(epoch=1 + state.highest_epoch(), key_id=KeyId(rng.randbytes(32)), wraps=wraps, previous=None)


def history(policy: Policy, policies: Policies, seed: int, length: int = LENGTH) -> list[Op]:
    """Actors with partial views, who mostly do what they may and vote on what is open."""
    rng = random.Random(seed)
    founding = Genesis(
        name="trial", application="medsync", policy=policy.name, founder=_card("ann"),
        rotation=_rotation(MembershipState(), ["ann"], rng),
    )  # fmt: skip
    ops: list[Op] = []
    whole = MembershipFold(policy, policies)
    seen = 1

    def act(name: str, heads: tuple[OpId, ...], action: Action) -> None:
        made = OpId(blake2b(seed.to_bytes(8, "big"), len(ops).to_bytes(4, "big"), name.encode()))
        op = Op(made, ChainId(_device(name) + bytes(8)), heads, action, seen)
        ops.append(op)
        op.add_to(whole)

    act("ann", (), founding)
    views: dict[str, tuple[OpId, ...]] = {}
    while len(ops) < length:
        seen += rng.random() < 0.3
        name = rng.choice(PEOPLE)
        if name not in views or rng.random() < 0.6:
            views[name] = whole.heads()[:8]
        state = whole.state_at(views[name])
        act(name, views[name], _some_action(state, name, rng))
        views[name] = (ops[-1].op_id,)
    return ops


def _some_action(state: MembershipState, name: str, rng: random.Random) -> Action:
    inside = [person for person in PEOPLE if member(person) in state.members]
    waiting = [p for p in state.open_proposals() if member(name) in p.electors]
    if waiting and rng.random() < 0.6:
        return Endorse(proposal=rng.choice(waiting).op_id, yes=rng.random() < 0.85)
    other = rng.choice(PEOPLE)
    staying = [person for person in inside if person != other]
    role = rng.choice(list(Role))
    made: list[tuple[int, Action]] = [
        (6, Admit(card=_card(other), role=role, key_id=state.usable_key() or KeyId(bytes(32)), wrap=b"w")),
        (4, Remove(member=member(other), cut_off=(), rotation=_rotation(state, staying, rng))),
        (3, SetRole(member=member(other), role=role)),
        (1, Leave(cut_off=())),
        (1, Transfer(member=member(other))),
        (1, Rotate(rotation=_rotation(state, inside, rng))),
        (1, DeviceAdd(member=member(name), device=_device(name + "'s second"), certificate=bytes(64))),
        (1, Merge()),
    ]
    return rng.choices([action for _, action in made], [weight for weight, _ in made])[0]


def _folded(policy: Policy, policies: Policies, ops: Iterable[Op]) -> MembershipFold:
    fold = MembershipFold(policy, policies)
    for op in ops:
        op.add_to(fold)
    return fold


def _reordered(ops: list[Op], rng: random.Random) -> list[Op]:
    waiting, done, order = list(ops), set[OpId](), list[Op]()
    while waiting:
        ready = [op for op in waiting if done.issuperset(op.heads)]
        op = rng.choice(ready)
        waiting.remove(op)
        order.append(op)
        done.add(op.op_id)
    return order


def try_one(name: str, parameters: list[tuple[str, Parameter]], policies: Policies, seed: int) -> tuple[bytes, list[str]]:
    """(digest of the results, what is wrong) of one history."""
    policy = policies.make(name, parameters)
    ops = history(policy, policies, seed)
    fold = _folded(policy, policies, ops)
    state, wrong = fold.state(), list[str]()
    before = state.root()
    rng = random.Random(seed)
    for _ in range(ORDERS):
        if _folded(policies.make(name, parameters), policies, _reordered(ops, rng)).state().root() != before:
            wrong.append(f"history {seed}: another order of arrival gives another result")
            break
    digest = blake2b(before)
    for op in ops:
        past = fold.state_at(op.heads)
        author = fold.author_of(op.op_id)
        if author is None or isinstance(op.action, Genesis):
            continue
        root = past.root()
        first, again = ask(policy, past, author, op.action), ask(policies.make(name, parameters), past, author, op.action)
        if first != again or first != ask(policy, past, author, op.action):
            wrong.append(f"history {seed}: asked twice it answers twice, of {type(op.action).__name__}")
        if past.root() != root:
            wrong.append(f"history {seed}: it changes the state that it is shown")
        if state.verdicts[op.op_id].effective and author not in past.members:
            wrong.append(f"history {seed}: what a stranger did counts (S2)")
        if state.verdicts[op.op_id] is Verdict.VOID_POLICY_ERROR:
            wrong.append(f"history {seed}: it fails on {type(op.action).__name__}")
        digest = blake2b(digest, root, bytes([state.verdicts[op.op_id]]))
    if not state.admins():
        wrong.append(f"history {seed}: nobody is admin any more (S9)")
    if policy.keeps_owner() and state.owner not in state.members:
        wrong.append(f"history {seed}: the owner is lost (S9)")
    return digest, wrong


def reaches_out(kind: type) -> list[str]:
    """Modules that a policy's text imports and that no pure function needs."""
    tree = ast.parse(inspect.getsource(importlib.import_module(kind.__module__)))
    named = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    named |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    return sorted({name.partition(".")[0] for name in named} & IMPURE)


def main(arguments: list[str]) -> int:
    """`NAME|MODULE:CLASS PARAMETERS-JSON FIRST-SEED HISTORIES`; one JSON object on stdout."""
    named, parameters, first, count = arguments
    offer = loaded(named) if ":" in named else None
    policies = installed() if offer is None else Policies().with_offers([offer])
    name = named if offer is None else offer.kind.name
    given: list[tuple[str, Parameter]] = [(key, value) for key, value in json.loads(parameters)]
    digest, wrong = b"", [f"it imports {module}" for module in reaches_out(policies.offers[name].kind)]
    for seed in range(int(first), int(first) + int(count)):
        result, found = try_one(name, given, policies, seed)
        digest = blake2b(digest, result)
        wrong += found
    json.dump({"digest": digest.hex(), "wrong": wrong[:20]}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
