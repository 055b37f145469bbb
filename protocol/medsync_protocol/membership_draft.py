"""Puts a membership state together from effective actions. Which are effective is membership_judging.py's question."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from medsync_protocol.actions import (
    Action, Admit, Ballot, CutOff, DeviceAdd, DeviceRevoke, Endorse, Genesis, Leave, MemberCard, PolicyBallot, PolicyName,
    Rekey, Remove, Resume, Rotate, Rotation, SetRole, Transfer, VoterKey,
)  # fmt: skip
from medsync_protocol.ids import ChainId, DeviceId, KeyId, MemberId, OpId
from medsync_protocol.kinds import Role, Verdict
from medsync_protocol.membership_state import (
    KeyEpoch, Listed, MembershipState, Proposal, Removed, Resumed, Standing, quorum, voter_digest,
)  # fmt: skip
from medsync_protocol.membership_verdicts import Verdicts


class Draft:
    """A state while it is being put together, effective action by effective action in topological order.

    `first_policy` is the one of the genesis. Values are never changed in place: a copy shares them.
    """

    def __init__(self, first_policy: PolicyName | None = None) -> None:
        self.genesis: Genesis | None = None
        self.members: dict[MemberId, Standing] = {}
        self.cards: dict[MemberId, MemberCard] = {}
        self.devices: dict[DeviceId, MemberId] = {}
        self.certified: dict[DeviceId, tuple[OpId, ...]] = {}
        self.seniority: dict[MemberId, int] = {}
        self.removed: tuple[Removed, ...] = ()
        self.keys: dict[KeyId, KeyEpoch] = {}
        self.voter_keys: dict[MemberId, int] = {}
        self.ballots: dict[bytes, dict[Listed, frozenset[MemberId]]] = {}
        self.invitations: dict[bytes, MemberId] = {}
        self.admissions: dict[MemberId, tuple[OpId, ...]] = {}
        self.owner: MemberId | None = None
        self.policy = first_policy
        self.policy_ballots: dict[tuple[bytes, PolicyName], frozenset[MemberId]] = {}
        self.next_policy: tuple[PolicyName, int] | None = None  # elected, with the checkpoint after which it rules
        self.policy_changed = False
        self.proposals: dict[OpId, Proposal] = {}
        self.waiting: tuple[tuple[int, Proposal], ...] = ()  # passed, with the checkpoint from which they count
        self.resumed: dict[ChainId, tuple[Resumed, ...]] = {}
        self.certificates: dict[DeviceId, tuple[MemberId, bytes]] = {}
        self.renewals: dict[MemberId, tuple[OpId, tuple[bytes, ...]]] = {}
        self.claims: dict[MemberId, int] = {}  # the newest checkpoint that each member said it knew
        self.k = 0  # the newest that enough of them said: one that lies moves nothing
        self._voters: Listed | None = ()

    def copy(self) -> Draft:
        """One that goes on from here."""
        other = Draft.__new__(Draft)
        for name, value in self.__dict__.items():
            setattr(other, name, dict(value) if type(value) is dict else value)
        return other

    # -- what counts ------------------------------------------------------------------------------------------

    def apply(self, op_id: OpId, generation: int, action: Action, author: MemberId) -> None:
        """Take an effective action. `generation`: its longest way back to the genesis, which is seniority."""
        match action:
            case Genesis() as g:
                self.genesis, self.owner = g, g.founder.member
                self._voters = None
                self._admit(op_id, generation, g.founder, Role.ADMIN)
                self._key(op_id, author, g.rotation)
            case Admit() as a:
                if a.invitation:
                    self.invitations.setdefault(a.invitation, a.card.member)
                self._admit(op_id, generation, a.card, a.role)
                self.hand_out(a.key_id, a.card.member)
            case Remove() as r:
                self.drop(Removed(op_id=op_id, member=r.member, cut_off=r.cut_off, at=self.k))
                self._key(op_id, author, r.rotation)
            case Leave() as leave:
                self.drop(Removed(op_id=op_id, member=author, cut_off=leave.cut_off, left=True, at=self.k))
            case SetRole() as s if s.member in self.members:
                self.members[s.member] = replace(self.members[s.member], role=s.role)
            case VoterKey() as v if v.member == author:
                self.voter_keys[author] = v.key
                self._voters = None
            case Ballot() as b:
                named = dict(self.ballots.get(b.base, {}))
                named[b.voters] = named.get(b.voters, frozenset()) | {author}
                self.ballots[b.base] = named
                self._voters = None
            case DeviceAdd() as d if d.member == author:
                self.devices.setdefault(d.device, author)
                self._certified(op_id, d.device)
                self.certificates.setdefault(d.device, (author, d.certificate))
            case DeviceRevoke() as d if self.devices.get(d.device) == author:
                del self.devices[d.device]
                self._show_another(author, d.device)
                gone = Removed(op_id=op_id, member=author, cut_off=d.cut_off, device=d.device, at=self.k)
                self.removed = (*self.removed, gone)
            case Rotate() as r:
                self._key(op_id, author, r.rotation)
            case Rekey() as r if r.member in self.members:
                self._rekey(op_id, author, r)
            case Resume() as r:
                resumed = Resumed(op_id=op_id, seq=r.seq, prev=r.prev)
                self.resumed[r.chain] = (*self.resumed.get(r.chain, ()), resumed)
            case Transfer() as t:
                self.owner = t.member
            case PolicyBallot() as p:
                named_policy = (p.base, p.policy)
                cast = self.policy_ballots.get(named_policy, frozenset()) | {author}
                self.policy_ballots[named_policy] = cast
                self._elect_policy(p)

    def refuses(self, action: Action, author: MemberId, *, keeps_owner: bool = False) -> Verdict | None:
        """Why the action can't count beside what counts already, though its author couldn't know; None when it can."""
        if isinstance(action, Admit) and action.invitation:
            if self.invitations.get(action.invitation, action.card.member) != action.card.member:
                return Verdict.VOID_INVITATION
        if self._unseats_all(action, author):
            return Verdict.VOID_LAST_ADMIN
        goes = author if isinstance(action, Leave) else target_of(action)
        if keeps_owner and goes is not None and goes == self.owner and not isinstance(action, Rekey):
            return Verdict.VOID_LAST_ADMIN
        if isinstance(action, Transfer):
            heir = self.members.get(action.member)
            if self.owner != author or heir is None or heir.role is not Role.ADMIN:
                return Verdict.VOID_LAST_ADMIN
        return None

    def _unseats_all(self, action: Action, author: MemberId) -> bool:
        if isinstance(action, Rekey):
            return False  # who comes in its place is what it was
        goes = author if isinstance(action, Leave) else target_of(action)
        if goes is None:
            return False
        held = self.members.get(goes)
        if held is None or held.role is not Role.ADMIN:
            return False
        return all(m == goes or other.role is not Role.ADMIN for m, other in self.members.items())

    def _admit(self, op_id: OpId, generation: int, card: MemberCard, role: Role) -> None:
        if card.member not in self.members:
            self.members[card.member] = Standing(
                role=role, name=card.name, sealing_key=card.sealing_key, since=op_id
            )
            self.cards[card.member] = card
            self.seniority.setdefault(card.member, generation)
        self.admissions[card.member] = (*self.admissions.get(card.member, ()), op_id)
        self.devices.setdefault(card.device, card.member)  # nobody certifies another's device away
        self._certified(op_id, card.device)

    def _certified(self, op_id: OpId, device: DeviceId) -> None:
        self.certified[device] = (*self.certified.get(device, ()), op_id)

    def hand_out(self, key_id: KeyId, member: MemberId) -> None:
        """Somebody was given an epoch key."""
        key = self.keys.get(key_id)
        if key is not None:
            self.keys[key_id] = replace(key, recipients=key.recipients | {member})

    def drop(self, removed: Removed) -> None:
        """A member goes."""
        self.members.pop(removed.member, None)
        self.devices = {device: owner for device, owner in self.devices.items() if owner != removed.member}
        self.removed = (*self.removed, removed)

    def go_forward(self) -> None:
        """What the member dropped last did beside that counts."""
        self.removed = (*self.removed[:-1], replace(self.removed[-1], forward=True))

    def _show_another(self, member: MemberId, gone: DeviceId) -> None:
        """What other contexts admit the member by names no device that is revoked here, if it has another."""
        card = self.cards.get(member)
        others = sorted(d for d, m in self.devices.items() if m == member and d in self.certificates)
        if card is not None and card.device == gone and others:
            self.cards[member] = replace(card, device=others[0], certificate=self.certificates[others[0]][1])

    def _rekey(self, op_id: OpId, author: MemberId, rekey: Rekey) -> None:
        card, standing = rekey.card, self.members[rekey.member]
        if card.member == rekey.member:
            former = (standing.sealing_key, *self.renewals.get(card.member, (op_id, ()))[1])
            self.renewals[card.member] = (op_id, former)
            self.members[card.member] = replace(standing, sealing_key=card.sealing_key)
            self.cards[card.member] = replace(self.cards[card.member], sealing_key=card.sealing_key)
            return
        self.drop(Removed(op_id=op_id, member=rekey.member, cut_off=rekey.cut_off, at=self.k))
        self._admit(op_id, self.seniority.get(rekey.member, 0), card, standing.role)
        if self.owner == rekey.member:
            self.owner = card.member
        if rekey.rotation is not None:
            self._key(op_id, author, rekey.rotation)

    def _key(self, op_id: OpId, author: MemberId, rotation: Rotation) -> None:
        recipients = frozenset(member for member, _ in rotation.wraps)
        self.keys[rotation.key_id] = KeyEpoch(
            epoch=rotation.epoch, author=author, recipients=recipients, op_id=op_id
        )

    # -- votes ------------------------------------------------------------------------------------------------

    def propose(self, proposal: Proposal) -> None:
        """Open it for votes."""
        self.proposals[proposal.op_id] = proposal

    def endorse(self, op_id: OpId, vote: Endorse, author: MemberId, at: int) -> Proposal | None:
        """Count a vote: the proposal when it passes by this one. Later votes on it, or of the same member, say nothing."""
        proposal = self.proposals.get(vote.proposal)
        if proposal is None or at > proposal.expires or author not in proposal.electors - {proposal.author}:
            return None
        if author in proposal.no or any(member == author for member, _, _ in proposal.yes):
            return None
        if not vote.yes:
            self.proposals[proposal.op_id] = replace(proposal, no=(*proposal.no, author))
            return None
        proposal = replace(proposal, yes=(*proposal.yes, (author, op_id, vote.cut_off)))
        self.proposals[proposal.op_id] = proposal
        return proposal if len(proposal.yes) >= proposal.needed else None

    def close(self, proposal: Proposal) -> None:
        """It passed."""
        self.proposals.pop(proposal.op_id, None)

    def enact(self, proposal: Proposal) -> None:
        """What passed counts from here on. A removal keeps of its target what its author or a voter held."""
        action = proposal.action
        if isinstance(action, (Remove, SetRole, Rekey)):
            action = replace(action, cut_off=highest(action.cut_off, *(cut for _, _, cut in proposal.yes)))
        before = len(self.removed)
        self.apply(proposal.op_id, proposal.generation, action, proposal.author)
        votes = tuple(op_id for _, op_id, _ in proposal.yes)
        if len(self.removed) > before:
            said = replace(self.removed[-1], votes=votes, needed=proposal.needed, forward=proposal.forward)
            self.removed = (*self.removed[:-1], said)

    def later(self, proposal: Proposal) -> None:
        """What passed counts once `delay` more checkpoints are known."""
        self.waiting = (*self.waiting, (self.k + proposal.delay, proposal))

    def advance(self, author: MemberId, at: int) -> list[Proposal]:
        """The author said that it knew checkpoint `at`: a policy that was waiting rules, and these actions are due."""
        if at <= self.claims.get(author, 0):
            return []
        self.claims[author] = at
        writers = sum(held.role >= Role.MEMBER for held in self.members.values())
        liars = max((writers - 1) // 3, 1) if writers > 1 else 0
        said = sorted((k for member, k in self.claims.items() if member in self.members), reverse=True)
        k = said[liars] if len(said) > liars else 0
        if k <= self.k:
            return []
        self.k = k
        if self.next_policy is not None and k > self.next_policy[1]:
            self.policy, self.next_policy = self.next_policy[0], None
            self.policy_changed = True
        stale = [p.op_id for p in self.proposals.values() if k > p.expires + p.cool_down]
        for op_id in stale:
            del self.proposals[op_id]
        due = [proposal for at, proposal in self.waiting if at <= k]
        self.waiting = tuple((at, proposal) for at, proposal in self.waiting if at > k)
        return due

    def _elect_policy(self, ballot: PolicyBallot) -> None:
        if self.policy is None or ballot.base != self.policy.digest or self.next_policy is not None:
            return
        electors = {member for member, _ in self.voters()}
        electors = electors or {m for m, held in self.members.items() if held.role is Role.ADMIN}
        cast = self.policy_ballots[(ballot.base, ballot.policy)]
        if len(cast & electors) >= quorum(len(electors)):
            self.next_policy = (ballot.policy, self.k)

    def voters(self) -> Listed:
        """Ballots by the list they replace: one that q of that list's voters cast takes its place (PROTOCOL §1)."""
        if self._voters is None:
            self._voters = self._elect()
        return self._voters

    def _elect(self) -> Listed:
        if self.genesis is None:
            return ()
        voters: Listed = ()
        passed: set[bytes] = set()
        while True:
            base = voter_digest(voters)
            electors = {member for member, _ in voters} or {self.genesis.founder.member}
            needed = quorum(len(electors))
            winners = [
                listed
                for listed, cast in self.ballots.get(base, {}).items()
                if len(cast & electors) >= needed and self._proven(listed)
            ]
            if not winners or base in passed:
                return voters
            passed.add(base)
            voters = min(winners, key=voter_digest)

    def _proven(self, listed: Listed) -> bool:
        return all(self.voter_keys.get(member) == key for member, key in listed)

    # -- the result -------------------------------------------------------------------------------------------

    def state(self, verdicts: Verdicts) -> MembershipState:
        """What all of it comes to. A policy that is shown it can't change it."""
        shown = {name: MappingProxyType(value) for name, value in self.__dict__.items() if name in _SHOWN}
        self.removed = tuple(sorted(self.removed, key=lambda r: r.op_id))
        return MembershipState(
            genesis=self.genesis, removed=self.removed, voters=self.voters(), verdicts=verdicts, owner=self.owner,
            policy=self.policy, policy_changed=self.policy_changed, next_policy=self.next_policy, waiting=self.waiting, k=self.k,
            **shown,
        )  # fmt: skip


_SHOWN: Final = frozenset({
    "admissions", "ballots", "cards", "certificates", "certified", "devices", "invitations", "keys", "members", "policy_ballots", "proposals",
    "renewals", "resumed", "seniority", "voter_keys",
})  # fmt: skip


def highest(*cut_offs: Iterable[tuple[ChainId, int]]) -> CutOff:
    """Of several cut-offs the highest per chain."""
    upto: dict[ChainId, int] = {}
    for cut_off in cut_offs:
        for chain, stands in cut_off:
            upto[chain] = max(stands, upto.get(chain, 0))
    return tuple(sorted(upto.items()))


def device_given(action: Action) -> DeviceId | None:
    """The device that an action certifies."""
    match action:
        case Genesis(founder=card) | Admit(card=card):
            return card.device
        case Rekey(member=member, card=card) if card.member != member:
            return card.device
        case DeviceAdd(device=device):
            return device
    return None


def target_of(action: Action) -> MemberId | None:
    """Whom a removal, a demotion or the recovery of a lost key is aimed at."""
    if isinstance(action, Remove):
        return action.member
    if isinstance(action, Rekey):
        return action.member if action.card.member != action.member else None
    return action.member if isinstance(action, SetRole) and action.role < Role.ADMIN else None
