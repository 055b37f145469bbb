"""What the membership fold gives: members, roles, devices, keys, removals, voters, verdicts. How, is membership.py's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from medsync_protocol.actions import Action, CutOff, Genesis, MemberCard, PolicyName
from medsync_protocol.codec import pack
from medsync_protocol.crypto import blake2b
from medsync_protocol.ids import ChainId, DeviceId, KeyId, MemberId, OpId, device_of
from medsync_protocol.kinds import Role, Verdict

Listed = tuple[tuple[MemberId, int], ...]
"""Voters with their Stark keys, keys ascending."""


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
    """An effective removal or leave: what stands of the member's chains.

    `needed` of the `votes` make whoever knows them know a removal by votes. `forward`: what its target did beside it
    counts. `at`: the newest checkpoint that its author knew.
    """

    op_id: OpId
    member: MemberId
    cut_off: CutOff
    left: bool = False
    device: DeviceId | None = None  # only this device was revoked
    votes: tuple[OpId, ...] = ()
    needed: int = 0
    forward: bool = False
    at: int = 0

    def stands(self, chain: ChainId, seq: int) -> bool:
        """True when the cut-off keeps the operation at (chain, seq)."""
        if self.device is not None and device_of(chain) != self.device:
            return True
        return any(named == chain and seq < upto for named, upto in self.cut_off)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """An action that waits for votes. `needed`: yes votes beside the author's own; `expires`: the last checkpoint for one."""

    op_id: OpId
    action: Action
    author: MemberId
    generation: int
    needed: int
    electors: frozenset[MemberId]
    at: int
    expires: int
    cool_down: int = 0
    yes: tuple[tuple[MemberId, OpId, CutOff], ...] = ()
    no: tuple[MemberId, ...] = ()
    delay: int = 0
    forward: bool = False

    def failed(self) -> bool:
        """Whether too many said no for it to pass any more."""
        open_votes = len(self.electors - {self.author} - set(self.no))
        return open_votes < self.needed


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """A forked chain goes on: from `seq`, after the operation `prev`, for operations that know `op_id`."""

    op_id: OpId
    seq: int
    prev: OpId


@dataclass(frozen=True, slots=True, kw_only=True)
class MembershipState:
    """What a set of operations says. `voters`: (member, Stark key), keys ascending; empty before the first ballot.

    `proposals` holds open ones and those that still cool down; `waiting` those that passed under a delay, each with the
    checkpoint from which it counts; `k` is the newest checkpoint that enough members said they knew, in what they wrote
    here. `certificates`: who signed for devices that came beside the one a member was admitted with.
    `certified`: the operations that certified each device, of those that count, also of one that was revoked since.
    `renewals`: the operation by which a member last renewed its sealing key, and its keys before, newest first.
    `ballots`: who voted for which list in the place of the one with that digest; `policy_ballots`: for which policy in the place
    of the one with that digest; `next_policy`: the one they chose, with the checkpoint after which it rules.
    """

    genesis: Genesis | None = None
    members: Mapping[MemberId, Standing] = field(default_factory=dict)
    cards: Mapping[MemberId, MemberCard] = field(default_factory=dict)
    devices: Mapping[DeviceId, MemberId] = field(default_factory=dict)
    seniority: Mapping[MemberId, int] = field(default_factory=dict)
    removed: tuple[Removed, ...] = ()
    keys: Mapping[KeyId, KeyEpoch] = field(default_factory=dict)
    voters: Listed = ()
    voter_keys: Mapping[MemberId, int] = field(default_factory=dict)
    invitations: Mapping[bytes, MemberId] = field(default_factory=dict)
    admissions: Mapping[MemberId, tuple[OpId, ...]] = field(default_factory=dict)
    verdicts: Mapping[OpId, Verdict] = field(default_factory=dict)
    owner: MemberId | None = None
    policy: PolicyName | None = None
    policy_changed: bool = False
    proposals: Mapping[OpId, Proposal] = field(default_factory=dict)
    resumed: Mapping[ChainId, tuple[Resumed, ...]] = field(default_factory=dict)
    certificates: Mapping[DeviceId, tuple[MemberId, bytes]] = field(default_factory=dict)
    certified: Mapping[DeviceId, tuple[OpId, ...]] = field(default_factory=dict)
    renewals: Mapping[MemberId, tuple[OpId, tuple[bytes, ...]]] = field(default_factory=dict)
    ballots: Mapping[bytes, Mapping[Listed, frozenset[MemberId]]] = field(default_factory=dict)
    policy_ballots: Mapping[tuple[bytes, PolicyName], frozenset[MemberId]] = field(default_factory=dict)
    next_policy: tuple[PolicyName, int] | None = None
    waiting: tuple[tuple[int, Proposal], ...] = ()
    k: int = 0

    def admins(self) -> set[MemberId]:
        """Members with the admin role."""
        return {member for member, held in self.members.items() if held.role is Role.ADMIN}

    def highest_epoch(self) -> int:
        """0 before the genesis."""
        return max((key.epoch for key in self.keys.values()), default=0)

    def usable_key(self) -> KeyId | None:
        """The key to write under: author and all recipients are members; highest epoch, then larger id (§4)."""
        newest_first = sorted(((key.epoch, key_id) for key_id, key in self.keys.items()), reverse=True)
        return next((key_id for _, key_id in newest_first if self.may_write_under(key_id)), None)

    def may_write_under(self, key_id: KeyId) -> bool:
        """Whether an operation may be sealed under this key: known, and held by members only."""
        key = self.keys.get(key_id)
        return key is not None and key.author in self.members and key.recipients <= self.members.keys()

    def open_proposals(self) -> list[Proposal]:
        """Those that can still be voted on, by id."""
        listed = (self.proposals[op_id] for op_id in sorted(self.proposals))
        return [p for p in listed if not p.failed() and self.k <= p.expires]

    def open_ballots(self) -> list[tuple[Listed, frozenset[MemberId]]]:
        """Voter lists that somebody wants in the place of the one of now, with who does."""
        cast = self.ballots.get(self.voter_digest(), {})
        return sorted(((listed, cast[listed]) for listed in cast), key=lambda one: voter_digest(one[0]))

    def open_policy_ballots(self) -> list[tuple[PolicyName, frozenset[MemberId]]]:
        """Policies that somebody wants in the place of the one of now, with who does; none once one is chosen."""
        if self.policy is None or self.next_policy is not None:
            return []
        base = self.policy.digest
        cast = [(policy, who) for (of, policy), who in self.policy_ballots.items() if of == base]
        return sorted(cast, key=lambda one: one[0].digest)

    def sealing_keys(self, member: MemberId) -> tuple[bytes, ...]:
        """A current member's sealing keys, newest first; none of anybody else's."""
        standing = self.members.get(member)
        return () if standing is None else (standing.sealing_key, *self.renewals.get(member, (None, ()))[1])

    def rotation_owed(self) -> tuple[MemberId, ...]:
        """Who is no member and holds the newest key, having left it or never been one for good (PROTOCOL §3.7).

        The admins owe a rotation until there is nobody.
        """
        newest = max(self.keys.values(), key=lambda key: key.epoch, default=None)
        return () if newest is None else tuple(sorted(newest.recipients - self.members.keys()))

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
                *self._extended(),
            ]),
        )  # fmt: skip

    def _extended(self) -> list[object]:
        """What contexts without votes, forks and transfers have not: their roots are as they were before."""
        founder = None if self.genesis is None else self.genesis.founder.member
        resumed = sorted([c, r.op_id, r.seq, r.prev] for c, all_of in self.resumed.items() for r in all_of)
        proposals = sorted(
            [p.op_id, p.expires, sorted(m for m, _, _ in p.yes), sorted(p.no)] for p in self.proposals.values()
        )
        moved = [] if self.owner == founder else [self.owner]
        policy = [self.policy.digest] if self.policy is not None and self.policy_changed else []
        fields: list[object] = [proposals, resumed, moved, policy]
        return fields if any(fields) else []


def voter_digest(voters: Iterable[tuple[MemberId, int]]) -> bytes:
    """32 bytes naming a voter list."""
    return blake2b(b"medsync/voters/1", pack([[m, key.to_bytes(32, "big")] for m, key in voters]))


EMPTY = MembershipState()


def quorum(n: int) -> int:
    """q of n voters: a majority up to three, more than two thirds beyond (PROTOCOL §1)."""
    return n // 2 + 1 if n <= 3 else 2 * n // 3 + 1
