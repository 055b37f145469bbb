"""Judges a set of membership operations on the ground of a state that all of them know: which count, and what comes of it.

Removals are judged by rank, and what counts must be rooted (PROTOCOL §3, decision 9). The graph of operations, and
which ground may be taken, are membership.py's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from medsync_protocol.actions import Action, Admit, DeviceRevoke, Endorse, Genesis, Leave, Rekey, Remove, SetRole
from medsync_protocol.ids import ChainId, DeviceId, MemberId, OpId, Seen, device_of
from medsync_protocol.kinds import Role, Verdict
from medsync_protocol.membership_draft import Draft, device_given, target_of
from medsync_protocol.membership_state import MembershipState, Proposal
from medsync_protocol.membership_verdicts import Verdicts


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """An operation in the graph, with what its own causal past says of it.

    `past`: bit set over indexes, never part of a result. `seen`: the newest checkpoint that it says its author knew;
    `at`: the newest one that its author ever said it knew.
    `ground`: the last operation before it that everything after knows; -1 for none. `admin`: it takes the admin role.
    """

    op_id: OpId
    chain: ChainId
    action: Action
    past: int
    heads: tuple[int, ...]
    generation: int
    seen: Seen
    at: int
    ground: int
    depth: int
    author: MemberId | None
    own: Verdict
    admin: bool = False
    rank: tuple[int, bytes] = (0, b"")
    proposal: Proposal | None = None  # where the policy asks for votes, or delays it
    forward: bool = False  # as a removal: what its target did beside it counts
    both: bool = False  # as a removal: of two who remove each other both go
    keeps_owner: bool = False
    seq: int = -1  # on its chain
    resumed: bool = False  # it knows that its forked chain may go on


@dataclass(frozen=True)
class Snapshot:
    """The result of a causally closed set. `mask`: the set."""

    draft: Draft = field(default_factory=Draft)
    roots: Roots = field(default_factory=lambda: Roots())
    verdicts: Verdicts = field(default_factory=Verdicts)
    mask: int = 0

    @cached_property
    def state(self) -> MembershipState:
        """As others see it."""
        return self.draft.state(self.verdicts)


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a removal that is in force was known: `seen` by who decided it; to others with `needed` of the `votes`."""

    index: int
    seen: int
    votes: tuple[int, ...] = ()
    needed: int = 0

    def known(self, past: int) -> bool:
        """Whether whoever has this past knew that it was removed."""
        if not past >> self.index & 1:
            return False
        return not self.needed or sum(past >> vote & 1 for vote in self.votes) >= self.needed

    def beside(self, i: int, past: int) -> bool:
        """Whether an operation was made without knowing it, and unknown to who decided it."""
        return not self.seen >> i & 1 and not self.known(past)


class Roots:
    """Where standing comes from: whoever was admitted or promoted only by what turned out void never was, nor a device
    that was added only by that."""

    def __init__(self) -> None:
        self._devices: dict[DeviceId, tuple[int, ...]] = {}
        self._given: dict[tuple[MemberId, bool], tuple[int, ...]] = {}
        self._taken: dict[tuple[MemberId, bool], tuple[Reach, ...]] = {}

    def copy(self) -> Roots:
        """One that goes on from here."""
        other = Roots()
        other._given, other._taken, other._devices = dict(self._given), dict(self._taken), dict(self._devices)
        return other

    def note(self, reach: Reach, action: Action, author: MemberId, draft: Draft) -> None:
        """An action counts: what it gives or takes. The flag is for the admin role, without it membership."""
        device = device_given(action)
        if device is not None:
            self._devices[device] = (*self._devices.get(device, ()), reach.index)
        match action:
            case Genesis(founder=card):
                self._give(reach, card.member, (True, False))
            case Admit(card=card, role=role):
                self._give(reach, card.member, (True, False) if role is Role.ADMIN else (False,))
            case SetRole(member=member, role=Role.ADMIN):
                self._give(reach, member, (True,))
            case SetRole(member=member):
                self._take(reach, member, (True,))
            case Remove(member=member):
                self._take(reach, member, (True, False))
            case Leave():
                self._take(reach, author, (True, False))
            case Rekey(member=member, card=card) if card.member != member:
                self._take(reach, member, (True, False))
                standing = draft.members.get(card.member)
                admin = standing is not None and standing.role is Role.ADMIN
                self._give(reach, card.member, (True, False) if admin else (False,))

    def _give(self, reach: Reach, who: MemberId, flags: tuple[bool, ...]) -> None:
        for flag in flags:
            self._given[who, flag] = (*self._given.get((who, flag), ()), reach.index)

    def _take(self, reach: Reach, who: MemberId, flags: tuple[bool, ...]) -> None:
        for flag in flags:
            self._taken[who, flag] = (*self._taken.get((who, flag), ()), reach)

    def missing(self, node: Node, author: MemberId) -> Verdict | None:
        """The verdict when nothing that counts in the operation's past gave its author what it takes; else None."""
        if isinstance(node.action, Genesis):
            return None
        certified = any(node.past >> i & 1 for i in self._devices.get(device_of(node.chain), ()))
        if not certified or not self._stands(node.past, author, admin=False):
            return Verdict.VOID_NOT_A_MEMBER
        if node.admin and not self._stands(node.past, author, admin=True):
            return Verdict.VOID_ROLE
        return None

    def _stands(self, past: int, who: MemberId, *, admin: bool) -> bool:
        taken = [reach.seen for reach in self._taken.get((who, admin), ()) if reach.known(past)]
        given = (i for i in self._given.get((who, admin), ()) if past >> i & 1)
        return any(not any(later >> i & 1 for later in taken) for i in given)


class Judging:
    """Judges `chosen` (bit set), all of which know everything in `ground`.

    `given`: verdicts that are final; `forked` (bit set): what stands on a chain that was signed twice, from there on.
    """

    def __init__(
        self, nodes: Sequence[Node], index: Mapping[OpId, int], ground: Snapshot, chosen: int,
        given: Mapping[OpId, Verdict], forked: int = 0,
    ) -> None:  # fmt: skip
        self._nodes = nodes
        self._index = index
        self._ground = ground
        self._mask = ground.mask | chosen
        self._order = sorted(bits(chosen), key=lambda i: (nodes[i].generation, nodes[i].op_id))
        self._given = frozenset(i for i in self._order if nodes[i].op_id in given) if given else frozenset()
        if self._given:  # what is final comes first: nothing beside it may rest on what it took away (S9)
            self._order.sort(key=lambda i: i not in self._given)
        self._own = {i: given[nodes[i].op_id] if i in self._given else nodes[i].own for i in self._order}
        for i in bits(forked & chosen):
            if i not in self._given:
                self._own[i] = Verdict.VOID_FORK
        self._votes: dict[int, list[int]] = {}  # by proposal, of those chosen
        for i in self._order:
            action = nodes[i].action
            if isinstance(action, Endorse) and self._own[i].effective and action.proposal in index:
                self._votes.setdefault(index[action.proposal], []).append(i)

    def judged(self) -> Snapshot:
        """What comes of it."""
        while True:
            in_force, void, barred = self._removals()
            verdicts, draft, roots, passed = self._judge(in_force, void, barred)
            # A removal whose ground a lesser one took away, or that with it would leave nobody: without it, once more.
            fallen = next((i for i in in_force if not self._holds(i, verdicts, passed)), None)
            if fallen is None:
                self._spill(verdicts, draft)
                named = {self._nodes[i].op_id: verdict for i, verdict in verdicts.items()}
                return Snapshot(draft, roots, Verdicts(named, self._ground.verdicts), self._mask)
            if fallen in self._votes and verdicts.get(fallen, Verdict.EFFECTIVE).effective:
                del self._votes[fallen]  # its votes don't suffice beside what counts
            else:
                self._own[fallen] = verdicts[fallen]

    def _spill(self, verdicts: Mapping[int, Verdict], draft: Draft) -> None:
        """An admission that turned out void has handed out its key all the same (K2)."""
        for i in self._order:
            node = self._nodes[i]
            if isinstance(node.action, Admit) and node.own.effective and not verdicts[i].effective:
                draft.hand_out(node.action.key_id, node.action.card.member)

    def _holds(self, i: int, verdicts: Mapping[int, Verdict], passed: Mapping[int, Reach]) -> bool:
        if i in self._given and not self._by_votes(i):
            return True
        return i in passed if self._by_votes(i) else verdicts[i].effective

    def _by_votes(self, i: int) -> bool:
        proposal = self._nodes[i].proposal
        return proposal is not None and proposal.needed > 0

    def _candidates(self) -> list[int]:
        """Removals, demotions and revocations of devices that their own past allows: final ones first, then by rank of
        their authors, and of one author what takes a device back first: the others may be by that device. What passes
        by votes comes after those that its voters knew, so that it makes no difference how much is judged at once (S1)."""
        found = [
            i
            for i in self._order
            if self._own[i].effective
            and (target_of(self._nodes[i].action) is not None or self._revokes(i))
            and (not self._by_votes(i) or i in self._votes)
        ]
        found += [
            i
            for i in self._votes
            if i not in self._own
            and self._nodes[i].op_id in self._ground.draft.proposals
            and target_of(self._nodes[i].action) is not None
        ]
        ranked = sorted(
            found,
            key=lambda i: (not self._final(i), *self._nodes[i].rank, not self._revokes(i), self._nodes[i].op_id),
        )
        order: list[int] = []
        while ranked:  # a ring of votes, none of which can come first, goes by rank
            chosen = next((i for i in ranked if not self._waits(i, ranked)), ranked[0])
            ranked.remove(chosen)
            order.append(chosen)
        return order

    def _waits(self, i: int, others: Sequence[int]) -> bool:
        """Whether one of the others was known to those whose votes make it pass: who may vote depends on that."""
        if not self._by_votes(i):
            return False
        known = self._nodes[i].past
        for vote in self._votes.get(i, ()):
            known |= self._nodes[vote].past
        return any(
            j != i and self._counted_in(j, known) and not self._counted_in(i, self._nodes[j].past) for j in others
        )

    def _counted_in(self, j: int, known: int) -> bool:
        """Whether whoever knew these operations knew it as one that counts: by votes, with enough of them."""
        if not self._by_votes(j):
            return bool(known >> j & 1)
        proposal = self._nodes[j].proposal
        assert proposal is not None
        earlier = self._ground.draft.proposals.get(proposal.op_id)
        votes = (0 if earlier is None else len(earlier.yes)) + sum(known >> vote & 1 for vote in self._votes.get(j, ()))
        return votes >= proposal.needed

    def _revokes(self, i: int) -> bool:
        return isinstance(self._nodes[i].action, DeviceRevoke)

    def _final(self, i: int) -> bool:
        proposal = self._nodes[i].proposal
        if proposal is None or not proposal.needed:
            return i in self._given
        earlier = self._ground.draft.proposals.get(proposal.op_id)
        known = 0 if earlier is None else len(earlier.yes)
        return known + sum(vote in self._given for vote in self._votes[i]) >= proposal.needed

    def _removals(self) -> tuple[dict[int, Reach], dict[int, Verdict], set[int]]:
        """Those in force, and why the others aren't: each is judged under the better ones, so no two void each other."""
        candidates = self._candidates()
        in_force: dict[int, Reach] = {}
        void = {i: Verdict.VOID_CONCURRENT_REMOVAL for i in candidates if not self._by_votes(i)}
        barred = {i for i in candidates if self._by_votes(i)}
        for i in candidates:
            if self._by_votes(i):
                barred.discard(i)
                passed = self._judge(in_force, void, barred)[3].get(i)
                if passed is not None:
                    in_force[i] = passed
                else:
                    barred.add(i)
                continue
            void.pop(i)
            reach = Reach(i, self._nodes[i].past | 1 << i)
            alone = not any(i != j and reach.beside(j, self._nodes[j].past) for j in self._order)
            if alone or i in self._given:
                in_force[i] = reach
                continue
            verdict = self._judge(in_force, void, barred)[0][i]
            if verdict.effective:
                in_force[i] = reach
            else:
                void[i] = verdict
        return in_force, void, barred

    def _judge(
        self, in_force: Mapping[int, Reach], void: Mapping[int, Verdict], barred: set[int]
    ) -> tuple[dict[int, Verdict], Draft, Roots, dict[int, Reach]]:
        """Verdicts and state when these removals are in force and those void; and what passed by votes."""
        verdicts = {**self._own, **void}
        for r, reach in in_force.items():
            for i in self._voided_by(r, reach):
                if verdicts[i].effective and i not in self._given and i not in in_force:
                    verdicts[i] = Verdict.VOID_CONCURRENT_REMOVAL
        run = _Run(self._nodes, self._index, self._ground, barred)
        for i in self._order:
            if verdicts[i].effective:
                reason = run.take(i, final=i in self._given)
                if reason is not None:
                    verdicts[i] = reason
        return verdicts, run.draft, run.roots, run.passed

    def _voided_by(self, r: int, reach: Reach) -> Iterator[int]:
        """Strong remove: what the target did concurrently, and concurrent admissions of it. A demotion: its admin acts.
        A revoked device: what its member did by it.

        What a policy spares beside a removal, it spares until the removal is final (PROTOCOL §3.8).
        """
        removal, final = self._nodes[r], self._final(r)
        if removal.forward and not final:
            return
        if isinstance(removal.action, DeviceRevoke):
            for i in self._order:
                node = self._nodes[i]
                by_it = node.author == removal.author and device_of(node.chain) == removal.action.device
                if by_it and reach.beside(i, node.past):
                    yield i
            return
        target, demotion = target_of(removal.action), isinstance(removal.action, SetRole)
        for i in self._order:
            node = self._nodes[i]
            by_target = node.author == target and (not demotion or node.admin)
            if by_target and removal.both and not final and target_of(node.action) == removal.author:
                continue
            again = isinstance(node.action, Admit) and node.action.card.member == target and not demotion
            if (by_target or again) and i != r and reach.beside(i, node.past):
                yield i


class _Run:
    """One pass over operations in order. `barred`: proposals that may not pass in it."""

    def __init__(
        self, nodes: Sequence[Node], index: Mapping[OpId, int], ground: Snapshot, barred: set[int]
    ) -> None:
        self._nodes, self._index, self._barred = nodes, index, barred
        self.draft, self.roots = ground.draft.copy(), ground.roots.copy()
        self.passed: dict[int, Reach] = {}

    def take(self, i: int, *, final: bool) -> Verdict | None:
        """An operation whose verdict is effective so far: why it isn't, or None and its effect."""
        node = self._nodes[i]
        author = node.author
        assert author is not None  # an effective operation has one
        if not final:
            reason = self.roots.missing(node, author)
            if reason is None and node.proposal is None:
                reason = self.draft.refuses(node.action, author, keeps_owner=node.keeps_owner)
            if reason is not None:
                return reason
        for due in self.draft.advance(author, node.at):
            self._enact(due)
        if node.proposal is not None:
            self._propose(node.proposal)
        elif isinstance(node.action, Endorse):
            self._endorse(node, node.action, author)
        else:
            before = len(self.draft.removed)
            self.draft.apply(node.op_id, node.generation, node.action, author)
            if node.forward and len(self.draft.removed) > before:
                self.draft.go_forward()
            self.roots.note(Reach(i, node.past | 1 << i), node.action, author, self.draft)
        return None

    def _propose(self, proposal: Proposal) -> None:
        if isinstance(proposal.action, Admit):  # whoever proposes with the key in the box has handed it out (K2)
            self.draft.hand_out(proposal.action.key_id, proposal.action.card.member)
        if proposal.needed:
            self.draft.propose(proposal)
        else:
            self.draft.later(proposal)

    def _endorse(self, node: Node, vote: Endorse, author: MemberId) -> None:
        proposal = self.draft.endorse(node.op_id, vote, author, node.at)
        if proposal is None or self._index[proposal.op_id] in self._barred:
            return
        proposed = self._nodes[self._index[proposal.op_id]]
        if self.draft.refuses(proposal.action, proposal.author, keeps_owner=proposed.keeps_owner) is not None:
            return
        self.draft.close(proposal)
        self.passed[self._index[proposal.op_id]] = self._reach(proposal)
        if proposal.delay:
            self.draft.later(proposal)
        else:
            self._enact(proposal)

    def _enact(self, proposal: Proposal) -> None:
        node = self._nodes[self._index[proposal.op_id]]
        if self.draft.refuses(proposal.action, proposal.author, keeps_owner=node.keeps_owner) is not None:
            return
        self.draft.enact(proposal)
        self.roots.note(self._reach(proposal), proposal.action, proposal.author, self.draft)

    def _reach(self, proposal: Proposal) -> Reach:
        i = self._index[proposal.op_id]
        votes = tuple(self._index[op_id] for _, op_id, _ in proposal.yes)
        seen = self._nodes[i].past | 1 << i
        for vote in votes:
            seen |= self._nodes[vote].past | 1 << vote
        return Reach(i, seen, votes, proposal.needed)


def bits(chosen: int) -> Iterator[int]:
    """The indexes in a bit set, ascending."""
    while chosen:
        low = chosen & -chosen
        yield low.bit_length() - 1
        chosen ^= low
