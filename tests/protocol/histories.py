"""Membership histories for tests: named people who act on what each has seen, and random ones by the thousand."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache

from medsync_protocol.actions import (
    Action, Admit, Ballot, CutOff, DeviceAdd, DeviceRevoke, Genesis, Leave, MemberCard, Merge, Remove, Rotate, Rotation,
    SetRole, Unknown, Unreadable, VoterKey,
)  # fmt: skip
from medsync_protocol.crypto import blake2b
from medsync_protocol.ids import ChainId, DeviceId, KeyId, MemberId, OpId
from medsync_protocol.kinds import Role
from medsync_protocol.membership import MembershipFold, MembershipState, voter_digest
from medsync_protocol.policy import AnyAdmin


def member(name: str) -> MemberId:
    """A member by name."""
    return MemberId(blake2b(b"member", name.encode()))


def device(name: str, number: int = 0) -> DeviceId:
    """One of the member's devices."""
    return DeviceId(blake2b(b"device", name.encode(), bytes([number])))


def chain(name: str, number: int = 0) -> ChainId:
    """The device's only chain."""
    return ChainId(device(name, number) + bytes(8))


def voter_key(name: str) -> int:
    """A stand-in for the member's Stark key; the fold compares keys, proofs are read_action's."""
    return int.from_bytes(blake2b(b"stark", name.encode(), size=16), "big")


def card(name: str) -> MemberCard:
    """What the member shows."""
    return MemberCard(
        member=member(name), device=device(name), certificate=bytes(64), sealing_key=blake2b(name.encode()), name=name
    )


def rotation(epoch: int, recipients: Iterable[str], salt: bytes = b"") -> Rotation:
    """A key for these people; equal arguments, equal key."""
    names = sorted(recipients)
    key_id = KeyId(blake2b(epoch.to_bytes(4, "big"), salt, *(n.encode() + b"," for n in names)))
    return Rotation(epoch=epoch, key_id=key_id, wraps=tuple((member(n), b"w") for n in names), previous=None)


def ballot(base: Iterable[str], listed: Iterable[str]) -> Ballot:
    """A vote to put `listed` in the place of `base`."""
    return Ballot(base=voter_digest(voters(base)), voters=voters(listed))


def voters(names: Iterable[str]) -> tuple[tuple[MemberId, int], ...]:
    """As a voter list stands in a ballot and in the state."""
    return tuple(sorted(((member(n), voter_key(n)) for n in names), key=lambda pair: pair[1]))


def announce(name: str) -> VoterKey:
    """The member's Stark key."""
    return VoterKey(member=member(name), key=voter_key(name), r=1, s=1)


@dataclass(frozen=True)
class Op:
    """One operation as the fold takes it."""

    op_id: OpId
    chain: ChainId
    heads: tuple[OpId, ...]
    action: Action


@dataclass
class History:
    """Operations in the order in which they were made; `act` returns the new one's id, to be cited."""

    ops: list[Op] = field(default_factory=list)

    def act(self, name: str, heads: Sequence[OpId], action: Action, *, number: int = 0, rank: int = 0) -> OpId:
        """`name` does this, knowing `heads`. `rank` moves the id among ids: which of two comes first is then known."""
        hashed = blake2b(repr((name, heads, action, number)).encode())
        op_id = OpId(bytes([rank]) + hashed[1:])
        self.ops.append(Op(op_id, chain(name, number), tuple(heads), action))
        return op_id

    def found(self, *admins: str, members: Sequence[str] = (), readers: Sequence[str] = ()) -> OpId:
        """The first admin founds; the others are admitted one after another. Everyone holds the first key."""
        first = admins[0]
        rotated = rotation(1, [first])
        genesis = Genesis(name="c", application="medsync", policy="any_admin", founder=card(first), rotation=rotated)
        head = self.act(first, [], genesis)
        roles = [*((n, Role.ADMIN) for n in admins[1:]), *((n, Role.MEMBER) for n in members), *((n, Role.READER) for n in readers)]
        for name, role in roles:
            head = self.act(first, [head], Admit(card=card(name), role=role, key_id=rotated.key_id, wrap=b"w"))
        return head

    def fold(self, order: Iterable[Op] | None = None) -> MembershipFold:
        """The fold of all operations, added in this order (as made, by default)."""
        fold = MembershipFold(AnyAdmin())
        for op in self.ops if order is None else order:
            fold.add(op.op_id, op.chain, op.heads, op.action)
        return fold

    def state(self) -> MembershipState:
        """Of everything."""
        return self.fold().state()

    def shuffled(self, rng: random.Random) -> list[Op]:
        """Another order that respects causality, with some operations twice."""
        waiting = [*self.ops, *rng.sample(self.ops, k=len(self.ops) // 3)]
        rng.shuffle(waiting)
        done: set[OpId] = set()
        order: list[Op] = []
        while waiting:
            ready = next(op for op in waiting if done.issuperset(op.heads))
            waiting.remove(ready)
            order.append(ready)
            done.add(ready.op_id)
        return order


PEOPLE = ["ann", "bea", "cay", "dan", "eve"]


@cache  # every property asks for the same ones
def random_history(seed: int, length: int = 16) -> History:
    """Actors with partial views act: mostly within their authority, sometimes not; some from two devices."""
    rng = random.Random(seed)
    history = History()
    start = history.found("ann", "bea", members=["cay"])
    views: dict[tuple[str, int], set[OpId]] = {}
    everything = {op.op_id: op for op in history.ops}

    def closure(ids: Iterable[OpId]) -> set[OpId]:
        seen: set[OpId] = set()
        waiting = list(ids)
        while waiting:
            op_id = waiting.pop()
            if op_id not in seen:
                seen.add(op_id)
                waiting += everything[op_id].heads
        return seen

    while len(history.ops) < length:
        name, number = rng.choice(PEOPLE), int(rng.random() < 0.15)
        view = views.setdefault((name, number), closure([start]))
        if rng.random() < 0.5:
            view |= closure([rng.choice(history.ops).op_id])
        cited = {head for op_id in view for head in everything[op_id].heads}
        heads = sorted(view - cited)[-8:]
        known = MembershipFold(AnyAdmin())
        for op in history.ops:
            if op.op_id in closure(heads):
                known.add(op.op_id, op.chain, op.heads, op.action)
        action = _some_action(rng, name, known.state())
        op_id = history.act(name, heads, action, number=number)
        everything[op_id] = history.ops[-1]
        view.add(op_id)
    return history


def _some_action(rng: random.Random, name: str, state: MembershipState) -> Action:
    others = [person for person in PEOPLE if member(person) in state.members]
    other = rng.choice(PEOPLE if rng.random() < 0.2 or not others else others)
    staying = [person for person in others if person != other]
    epoch = state.highest_epoch() + (1 if rng.random() < 0.95 else 2)
    salt = bytes([rng.randrange(256)])
    key_id = state.usable_key() or KeyId(bytes(32))
    cut: CutOff = ((chain(other), rng.randrange(5)),)
    role = rng.choice(list(Role))
    invitation = rng.choice([b"", b"", b"one", b"two"])
    current = [person for person in PEOPLE if (member(person), voter_key(person)) in state.voters]
    made: list[tuple[int, Action]] = [
        (5, Admit(card=card(other), role=role, key_id=key_id, wrap=b"w", invitation=invitation)),
        (5, Remove(member=member(other), cut_off=cut, rotation=rotation(epoch, staying, salt))),
        (4, SetRole(member=member(other), role=role, cut_off=cut)),
        (2, Leave(cut_off=((chain(name), rng.randrange(5)),))),
        (2, announce(name)),
        (3, ballot(current, rng.sample(PEOPLE, k=rng.randint(1, 3)))),
        (2, DeviceAdd(member=member(name), device=device(name, 1), certificate=bytes(64))),
        (1, DeviceRevoke(device=device(name, 1), cut_off=())),
        (1, Merge()),
        (2, Rotate(rotation=rotation(epoch, others, salt))),
        (1, Unknown(kind=4711)),
        (1, Unreadable(kind=2)),
    ]
    return rng.choices([action for _, action in made], [weight for weight, _ in made])[0]
