"""The membership fold: from a set of membership and keys operations to members, keys, voters and verdicts.

A pure function of the set (PROTOCOL §3): arrival order, duplicates and restarts change nothing. Authority is judged in
each operation's own causal past; an effective removal voids the target's concurrent operations; of two who remove
each other the policy decides. Verdicts named in `frozen` are final and are taken as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from medsync_protocol.actions import (
    Action, Admit, Ballot, CutOff, DeviceAdd, DeviceRevoke, Genesis, Leave, MemberCard, Remove, Rotate, Rotation, SetRole,
    Unreadable, VoterKey,
)  # fmt: skip
from medsync_protocol.codec import pack
from medsync_protocol.crypto import blake2b
from medsync_protocol.ids import ChainId, DeviceId, KeyId, MemberId, OpId, device_of
from medsync_protocol.kinds import Role, Verdict
from medsync_protocol.policy import Deny, Policy, Ruling


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A current member: its role, name, sealing key and the operation that admitted it."""

    role: Role
    name: str
    sealing_key: bytes
    since: OpId


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyEpoch:
    """An epoch key by its id: who may hold it, who made it, whether new operations may use it."""

    epoch: int
    author: MemberId
    recipients: frozenset[MemberId]
    op_id: OpId


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """An effective removal or leave: what stands of the member's chains."""

    op_id: OpId
    member: MemberId
    cut_off: CutOff
    left: bool = False
    device: DeviceId | None = None  # only this device was revoked

    def stands(self, chain: ChainId, seq: int) -> bool:
        """True when the cut-off keeps the operation at (chain, seq)."""
        if self.device is not None and device_of(chain) != self.device:
            return True
        return any(named == chain and seq < upto for named, upto in self.cut_off)


@dataclass(frozen=True, slots=True, kw_only=True)
class MembershipState:
    """What a set of operations says. `voters`: (member, Stark key), keys ascending; empty before the first ballot."""

    genesis: Genesis | None = None
    members: Mapping[MemberId, Standing] = field(default_factory=dict)
    cards: Mapping[MemberId, MemberCard] = field(default_factory=dict)
    devices: Mapping[DeviceId, MemberId] = field(default_factory=dict)
    seniority: Mapping[MemberId, int] = field(default_factory=dict)
    removed: tuple[Removed, ...] = ()
    keys: Mapping[KeyId, KeyEpoch] = field(default_factory=dict)
    voters: tuple[tuple[MemberId, int], ...] = ()
    voter_keys: Mapping[MemberId, int] = field(default_factory=dict)
    invitations: Mapping[bytes, MemberId] = field(default_factory=dict)
    verdicts: Mapping[OpId, Verdict] = field(default_factory=dict)

    def admins(self) -> set[MemberId]:
        """Members with the admin role."""
        return {member for member, held in self.members.items() if held.role is Role.ADMIN}

    def highest_epoch(self) -> int:
        """0 before the genesis."""
        return max((key.epoch for key in self.keys.values()), default=0)

    def usable_key(self) -> KeyId | None:
        """The key to write under: author and all recipients are members; highest epoch, then larger id (§4)."""
        usable = [
            (key.epoch, key_id)
            for key_id, key in self.keys.items()
            if key.author in self.members and all(r in self.members for r in key.recipients)
        ]
        return max(usable)[1] if usable else None

    def may_write_under(self, key_id: KeyId) -> bool:
        """Whether an operation may be sealed under this key: known, and held by members only."""
        key = self.keys.get(key_id)
        return (
            key is not None and key.author in self.members and all(r in self.members for r in key.recipients)
        )

    def voter_digest(self) -> bytes:
        """What a ballot names as its base."""
        return voter_digest(self.voters)

    def root(self) -> bytes:
        """32 bytes over members, roles, voters, keys, cut-offs and verdicts: equal on every node that has equal sets."""
        return blake2b(
            b"medsync/membership/1",
            pack([
                sorted([m, h.role, h.sealing_key, h.since] for m, h in self.members.items()),
                sorted([d, m] for d, m in self.devices.items()),
                sorted([r.op_id, r.member, r.cut_off] for r in self.removed),
                sorted([k, e.epoch, e.author, sorted(e.recipients)] for k, e in self.keys.items()),
                [[m, key.to_bytes(32, "big")] for m, key in self.voters],
                sorted([o, v] for o, v in self.verdicts.items()),
            ]),
        )  # fmt: skip


def voter_digest(voters: Iterable[tuple[MemberId, int]]) -> bytes:
    """32 bytes naming a voter list."""
    return blake2b(b"medsync/voters/1", pack([[m, key.to_bytes(32, "big")] for m, key in voters]))


EMPTY = MembershipState()


@dataclass(frozen=True, slots=True)
class _Node:
    op_id: OpId
    author_device: DeviceId
    action: Action
    past: int  # bit set over local indexes: never part of any result
    generation: int


class MembershipFold:
    """The operations of the membership and keys planes of one context, and the state of any causally closed set."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._nodes: list[_Node] = []
        self._index: dict[OpId, int] = {}
        self._states: dict[tuple[int, int], MembershipState] = {}
        self._frozen: dict[OpId, Verdict] = {}
        self._frozen_version = 0
        self._heads: frozenset[OpId] = frozenset()
        self._current: MembershipState | None = None

    def __contains__(self, op_id: OpId) -> bool:
        return op_id in self._index

    def __len__(self) -> int:
        return len(self._nodes)

    def add(self, op_id: OpId, chain: ChainId, heads: Iterable[OpId], action: Action) -> None:
        """Take an operation all of whose `heads` are here. The same one again changes nothing."""
        if op_id in self._index:
            return
        heads = tuple(heads)
        past = self._past(heads)
        generation = 1 + max((self._nodes[i].generation for i in _bits(past)), default=0)
        self._heads = self._heads.difference(heads) | {op_id}
        self._current = None
        self._index[op_id] = len(self._nodes)
        self._nodes.append(_Node(op_id, device_of(chain), action, past, generation))

    def freeze(self, verdicts: Mapping[OpId, Verdict]) -> None:
        """These verdicts stand in an accepted checkpoint: from now on they are given, not computed."""
        mine = {op_id: verdict for op_id, verdict in verdicts.items() if op_id in self._index}
        if any(self._frozen.get(op_id) is not verdict for op_id, verdict in mine.items()):
            self._frozen.update(mine)
            self._frozen_version += 1
            self._states.clear()
            self._current = None

    def thaw(self, op_ids: Iterable[OpId]) -> None:
        """The block that froze these vanished."""
        for op_id in op_ids:
            self._frozen.pop(op_id, None)
        self._frozen_version += 1
        self._states.clear()
        self._current = None

    def heads(self) -> tuple[OpId, ...]:
        """Operations that no other one here cites, ascending."""
        return tuple(sorted(self._heads))

    def state(self) -> MembershipState:
        """Of everything held."""
        if self._current is None:
            self._current = self._resolve((1 << len(self._nodes)) - 1, frozen=True)
        return self._current

    def may(self, author: MemberId, action: Action) -> Ruling:
        """What the policy says of an action by this author, on everything held."""
        return self._policy.may(self.state(), author, action)

    def state_at(self, heads: Iterable[OpId]) -> MembershipState:
        """As an author that cites these heads knew it. Final verdicts don't reach back into it."""
        return self._resolve(self._past(heads), frozen=False)

    def state_of(self, op_ids: Iterable[OpId]) -> MembershipState:
        """Of a causally closed subset, for instance what lies below a cut."""
        chosen = 0
        for op_id in op_ids:
            chosen |= 1 << self._index[op_id]
        return self._resolve(chosen, frozen=True)

    def in_past(self, op_id: OpId, heads: Iterable[OpId]) -> bool:
        """Whether an author citing `heads` had seen `op_id`."""
        return bool(self._past(heads) >> self._index[op_id] & 1)

    def closure(self, op_ids: Iterable[OpId]) -> list[OpId]:
        """The operations named and all that they rest on."""
        return [self._nodes[i].op_id for i in _bits(self._past(op_ids))]

    def _past(self, heads: Iterable[OpId]) -> int:
        past = 0
        for head in heads:
            index = self._index[head]
            past |= self._nodes[index].past | 1 << index
        return past

    def _resolve(self, chosen: int, *, frozen: bool) -> MembershipState:
        key = (chosen, self._frozen_version if frozen else -1)
        state = self._states.get(key)
        if state is None:
            if len(self._states) > MAX_STATES:
                self._states.clear()
            state = self._states[key] = self._fold(chosen, self._frozen if frozen else {})
        return state

    def _fold(self, chosen: int, frozen: Mapping[OpId, Verdict]) -> MembershipState:
        order = sorted(_bits(chosen), key=lambda i: (self._nodes[i].generation, self._nodes[i].op_id))
        authors = {i: self._author(i) for i in order}
        verdicts: dict[int, Verdict] = {}
        for i in order:
            final = frozen.get(self._nodes[i].op_id)
            verdicts[i] = final if final is not None else self._authority(i)
        removals = self._effective_removals(order, authors, verdicts, frozen)
        self._void_concurrent(order, authors, verdicts, removals, frozen)
        self._void_orphans(order, authors, verdicts, frozen)
        return self._build(order, authors, verdicts, frozen)

    def _author(self, i: int) -> MemberId | None:
        node = self._nodes[i]
        if isinstance(node.action, Genesis):
            return node.action.founder.member if node.action.founder.device == node.author_device else None
        return self._resolve(node.past, frozen=False).devices.get(node.author_device)

    def _authority(self, i: int) -> Verdict:
        """The verdict from the operation's own causal past alone; fixed for ever."""
        node = self._nodes[i]
        author = self._author(i)
        past = self._resolve(node.past, frozen=False)
        if author is None:
            return Verdict.VOID_NOT_A_MEMBER
        if isinstance(node.action, Unreadable):
            return Verdict.VOID_MALFORMED
        if isinstance(self._policy.may(past, author, node.action), Deny):
            return Verdict.VOID_ROLE
        rotation = _rotation_of(node.action)
        if rotation is not None and rotation.epoch != 1 + past.highest_epoch():
            return Verdict.VOID_EPOCH
        if isinstance(node.action, Admit):
            used_by = past.invitations.get(node.action.invitation)
            if node.action.invitation and used_by not in (None, node.action.card.member):
                return Verdict.VOID_INVITATION
        return Verdict.EFFECTIVE

    def _effective_removals(
        self, order: list[int], authors: Mapping[int, MemberId | None], verdicts: dict[int, Verdict],
        frozen: Mapping[OpId, Verdict],
    ) -> list[int]:  # fmt: skip
        """Removals and demotions by rank of their authors; one whose author a better one removes concurrently is void."""
        candidates = [
            i for i in order if verdicts[i].effective and _target(self._nodes[i].action) is not None
        ]
        candidates.sort(
            key=lambda i: (self._nodes[i].op_id not in frozen, *self._rank(i, authors), self._nodes[i].op_id)
        )
        effective: list[int] = []
        for i in candidates:
            rival = any(
                _target(self._nodes[j].action) == authors[i] and self._concurrent(i, j) for j in effective
            )
            if rival and self._nodes[i].op_id not in frozen:
                verdicts[i] = Verdict.VOID_CONCURRENT_REMOVAL
            else:
                effective.append(i)
        return effective

    def _rank(self, i: int, authors: Mapping[int, MemberId | None]) -> tuple[int, bytes]:
        author = authors[i]
        assert author is not None  # an effective operation has one
        return self._policy.rank(self._resolve(self._nodes[i].past, frozen=False), author)

    def _concurrent(self, i: int, j: int) -> bool:
        return i != j and not self._nodes[i].past >> j & 1 and not self._nodes[j].past >> i & 1

    def _void_concurrent(
        self, order: list[int], authors: Mapping[int, MemberId | None], verdicts: dict[int, Verdict],
        removals: list[int], frozen: Mapping[OpId, Verdict],
    ) -> None:  # fmt: skip
        """Strong remove: what the target did concurrently, and concurrent admissions of it, don't count."""
        for r in removals:
            action = self._nodes[r].action
            target = _target(action)
            for i in order:
                node = self._nodes[i]
                if not verdicts[i].effective or node.op_id in frozen or not self._concurrent(i, r):
                    continue
                by_target = authors[i] == target and (
                    not isinstance(action, SetRole) or _needs_admin(node.action)
                )
                again = isinstance(node.action, Admit) and node.action.card.member == target
                if by_target or again and not isinstance(action, SetRole):
                    verdicts[i] = Verdict.VOID_CONCURRENT_REMOVAL

    def _void_orphans(
        self, order: list[int], authors: Mapping[int, MemberId | None], verdicts: dict[int, Verdict],
        frozen: Mapping[OpId, Verdict],
    ) -> None:  # fmt: skip
        """An author whose every admission in its past turned out void never was a member."""
        admissions: dict[MemberId, int] = {}
        for i in order:
            action = self._nodes[i].action
            if (
                verdicts[i].effective
                and not isinstance(action, Genesis)
                and self._nodes[i].op_id not in frozen
            ):
                author = authors[i]
                if author is None or not admissions.get(author, 0) & self._nodes[i].past:
                    verdicts[i] = Verdict.VOID_NOT_A_MEMBER
            if verdicts[i].effective and isinstance(action, Genesis):
                admissions[action.founder.member] = admissions.get(action.founder.member, 0) | 1 << i
            elif verdicts[i].effective and isinstance(action, Admit):
                admissions[action.card.member] = admissions.get(action.card.member, 0) | 1 << i

    def _build(
        self, order: list[int], authors: Mapping[int, MemberId | None], verdicts: dict[int, Verdict],
        frozen: Mapping[OpId, Verdict],
    ) -> MembershipState:  # fmt: skip
        draft = _Draft()
        for i in order:
            node = self._nodes[i]
            if not verdicts[i].effective:
                continue
            author = authors[i]
            assert author is not None
            if not draft.apply(node, author):
                if node.op_id not in frozen:
                    verdicts[i] = Verdict.VOID_INVITATION
        return draft.state({self._nodes[i].op_id: verdicts[i] for i in order})


MAX_STATES = 512  # memoised states of causal pasts: a context has a handful of heads in use at a time


class _Draft:
    """A state while it is being put together, in topological order."""

    def __init__(self) -> None:
        self.genesis: Genesis | None = None
        self.members: dict[MemberId, Standing] = {}
        self.cards: dict[MemberId, MemberCard] = {}
        self.devices: dict[DeviceId, MemberId] = {}
        self.seniority: dict[MemberId, int] = {}
        self.removed: list[Removed] = []
        self.keys: dict[KeyId, KeyEpoch] = {}
        self.voter_keys: dict[MemberId, int] = {}
        self.ballots: dict[tuple[bytes, tuple[tuple[MemberId, int], ...]], set[MemberId]] = {}
        self.invitations: dict[bytes, MemberId] = {}

    def apply(self, node: _Node, author: MemberId) -> bool:
        """Take an effective action; False when a concurrent one used its invitation first."""
        match node.action:
            case Genesis() as g:
                self.genesis = g
                self._admit(node, g.founder, Role.ADMIN)
                self._key(node, author, g.rotation)
            case Admit() as a:
                if a.invitation and self.invitations.setdefault(a.invitation, a.card.member) != a.card.member:
                    return False
                self._admit(node, a.card, a.role)
                key = self.keys.get(a.key_id)
                if key is not None:
                    self.keys[a.key_id] = replace(key, recipients=key.recipients | {a.card.member})
            case Remove() as r:
                self._drop(node, r.member, r.cut_off, left=False)
                self._key(node, author, r.rotation)
            case Leave() as leave:
                self._drop(node, author, leave.cut_off, left=True)
            case SetRole() as s if s.member in self.members:
                self.members[s.member] = replace(self.members[s.member], role=s.role)
            case VoterKey() as v if v.member == author:
                self.voter_keys[author] = v.key
            case Ballot() as b:
                self.ballots.setdefault((b.base, b.voters), set()).add(author)
            case DeviceAdd() as d if d.member == author:
                self.devices.setdefault(d.device, author)
            case DeviceRevoke() as d if self.devices.get(d.device) == author:
                del self.devices[d.device]
                self.removed.append(
                    Removed(op_id=node.op_id, member=author, cut_off=d.cut_off, device=d.device)
                )
            case Rotate() as r:
                self._key(node, author, r.rotation)
        return True

    def _admit(self, node: _Node, card: MemberCard, role: Role) -> None:
        if card.member not in self.members:
            self.members[card.member] = Standing(
                role=role, name=card.name, sealing_key=card.sealing_key, since=node.op_id
            )
            self.cards[card.member] = card
            self.seniority.setdefault(card.member, node.generation)
        self.devices[card.device] = card.member

    def _drop(self, node: _Node, member: MemberId, cut_off: CutOff, *, left: bool) -> None:
        self.members.pop(member, None)
        self.devices = {device: owner for device, owner in self.devices.items() if owner != member}
        self.removed.append(Removed(op_id=node.op_id, member=member, cut_off=cut_off, left=left))

    def _key(self, node: _Node, author: MemberId, rotation: Rotation) -> None:
        recipients = frozenset(member for member, _ in rotation.wraps)
        self.keys[rotation.key_id] = KeyEpoch(
            epoch=rotation.epoch, author=author, recipients=recipients, op_id=node.op_id
        )

    def state(self, verdicts: Mapping[OpId, Verdict]) -> MembershipState:
        return MembershipState(
            genesis=self.genesis, members=self.members, cards=self.cards, devices=self.devices, seniority=self.seniority,
            removed=tuple(sorted(self.removed, key=lambda r: r.op_id)), keys=self.keys, voters=self._elect(),
            voter_keys=self.voter_keys, invitations=self.invitations, verdicts=verdicts,
        )  # fmt: skip

    def _elect(self) -> tuple[tuple[MemberId, int], ...]:
        """Ballots by the list they replace: one that q of that list's voters cast takes its place (PROTOCOL §1)."""
        if self.genesis is None:
            return ()
        voters: tuple[tuple[MemberId, int], ...] = ()
        passed: set[bytes] = set()
        while True:
            base = voter_digest(voters)
            electors = {member for member, _ in voters} or {self.genesis.founder.member}
            needed = quorum(len(electors))
            winners = [
                listed
                for (named, listed), cast in self.ballots.items()
                if named == base and len(cast & electors) >= needed and self._proven(listed)
            ]
            if not winners or base in passed:
                return voters
            passed.add(base)
            voters = min(winners, key=voter_digest)

    def _proven(self, listed: tuple[tuple[MemberId, int], ...]) -> bool:
        return all(self.voter_keys.get(member) == key for member, key in listed)


def quorum(n: int) -> int:
    """q of n voters: a majority up to three, more than two thirds beyond (PROTOCOL §1)."""
    return n // 2 + 1 if n <= 3 else 2 * n // 3 + 1


def _target(action: Action) -> MemberId | None:
    """Whom a removal or demotion is aimed at."""
    if isinstance(action, Remove):
        return action.member
    return action.member if isinstance(action, SetRole) and action.role < Role.ADMIN else None


def _needs_admin(action: Action) -> bool:
    return isinstance(action, (Admit, Remove, SetRole, Rotate))


def _rotation_of(action: Action) -> Rotation | None:
    return action.rotation if isinstance(action, (Genesis, Remove, Rotate)) else None


def _bits(chosen: int) -> Iterator[int]:
    while chosen:
        low = chosen & -chosen
        yield low.bit_length() - 1
        chosen ^= low
