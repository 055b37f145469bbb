"""Puts a membership state together from effective actions. Which are effective is membership.py's question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from medsync_protocol.actions import (
    Action, Admit, Ballot, CutOff, DeviceAdd, DeviceRevoke, Genesis, Leave, MemberCard, Remove, Rotate, Rotation, SetRole,
    VoterKey,
)  # fmt: skip
from medsync_protocol.ids import DeviceId, KeyId, MemberId, OpId
from medsync_protocol.kinds import Role, Verdict
from medsync_protocol.membership_state import KeyEpoch, MembershipState, Removed, Standing, quorum, voter_digest


class Draft:
    """A state while it is being put together, effective action by effective action in topological order."""

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
        self.admissions: dict[MemberId, tuple[OpId, ...]] = {}

    def apply(self, op_id: OpId, generation: int, action: Action, author: MemberId) -> None:
        """Take an effective action. `generation`: its longest way back to the genesis, which is seniority."""
        match action:
            case Genesis() as g:
                self.genesis = g
                self._admit(op_id, generation, g.founder, Role.ADMIN)
                self._key(op_id, author, g.rotation)
            case Admit() as a:
                if a.invitation:
                    self.invitations.setdefault(a.invitation, a.card.member)
                self._admit(op_id, generation, a.card, a.role)
                key = self.keys.get(a.key_id)
                if key is not None:
                    self.keys[a.key_id] = replace(key, recipients=key.recipients | {a.card.member})
            case Remove() as r:
                self._drop(op_id, r.member, r.cut_off, left=False)
                self._key(op_id, author, r.rotation)
            case Leave() as leave:
                self._drop(op_id, author, leave.cut_off, left=True)
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
                    Removed(op_id=op_id, member=author, cut_off=d.cut_off, device=d.device)
                )
            case Rotate() as r:
                self._key(op_id, author, r.rotation)

    def refuses(self, action: Action, author: MemberId) -> Verdict | None:
        """Why the action can't count beside what counts already, though its author couldn't know; None when it can."""
        if isinstance(action, Admit) and action.invitation:
            if self.invitations.get(action.invitation, action.card.member) != action.card.member:
                return Verdict.VOID_INVITATION
        if self._unseats_all(action, author):
            return Verdict.VOID_LAST_ADMIN
        return None

    def _unseats_all(self, action: Action, author: MemberId) -> bool:
        goes = author if isinstance(action, Leave) else target_of(action)
        admins = {member for member, held in self.members.items() if held.role is Role.ADMIN}
        return goes is not None and admins == {goes}

    def _admit(self, op_id: OpId, generation: int, card: MemberCard, role: Role) -> None:
        if card.member not in self.members:
            self.members[card.member] = Standing(
                role=role, name=card.name, sealing_key=card.sealing_key, since=op_id
            )
            self.cards[card.member] = card
            self.seniority.setdefault(card.member, generation)
        self.admissions[card.member] = (*self.admissions.get(card.member, ()), op_id)
        self.devices.setdefault(card.device, card.member)  # nobody certifies another's device away

    def _drop(self, op_id: OpId, member: MemberId, cut_off: CutOff, *, left: bool) -> None:
        self.members.pop(member, None)
        self.devices = {device: owner for device, owner in self.devices.items() if owner != member}
        self.removed.append(Removed(op_id=op_id, member=member, cut_off=cut_off, left=left))

    def _key(self, op_id: OpId, author: MemberId, rotation: Rotation) -> None:
        recipients = frozenset(member for member, _ in rotation.wraps)
        self.keys[rotation.key_id] = KeyEpoch(
            epoch=rotation.epoch, author=author, recipients=recipients, op_id=op_id
        )

    def state(self, verdicts: Mapping[OpId, Verdict]) -> MembershipState:
        """What all of it comes to."""
        return MembershipState(
            genesis=self.genesis, members=self.members, cards=self.cards, devices=self.devices, seniority=self.seniority,
            removed=tuple(sorted(self.removed, key=lambda r: r.op_id)), keys=self.keys, voters=self._elect(),
            voter_keys=self.voter_keys, invitations=self.invitations,
            admissions=self.admissions, verdicts=verdicts,
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


def target_of(action: Action) -> MemberId | None:
    """Whom a removal or demotion is aimed at."""
    if isinstance(action, Remove):
        return action.member
    return action.member if isinstance(action, SetRole) and action.role < Role.ADMIN else None
