"""The membership fold: from a set of membership and keys operations to members, keys, voters and verdicts.

A pure function of the set (PROTOCOL §3): arrival order, duplicates and restarts change nothing. Authority is judged in
each operation's own causal past; an effective removal voids the target's concurrent operations; of two who remove
each other the policy decides. Verdicts named in `frozen` are final and are taken as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from medsync_protocol.actions import (
    Action, Admit, Genesis, Leave, Remove, Rotate, Rotation, SetRole, Unreadable,
)  # fmt: skip
from medsync_protocol.ids import ChainId, DeviceId, MemberId, OpId, device_of
from medsync_protocol.kinds import Role, Verdict
from medsync_protocol.membership_draft import Draft, target_of
from medsync_protocol.membership_state import (
    EMPTY, KeyEpoch, MembershipState, Removed, Standing, quorum, voter_digest,
)  # fmt: skip
from medsync_protocol.policy import Deny, Policy, Ruling

__all__ = [
    "EMPTY", "KeyEpoch", "MembershipFold", "MembershipState", "Removed", "Standing", "quorum", "voter_digest",
]  # fmt: skip

MAX_STATES = 512  # memoised states of causal pasts: a context has a handful of heads in use at a time


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
        case = _Case(
            order=order,
            authors={i: self._author(i) for i in order},
            own={i: self._own_verdict(i, frozen) for i in order},
            given=frozenset(i for i in order if self._nodes[i].op_id in frozen),
        )
        while True:
            in_force, void = self._removals(case)
            verdicts, draft = self._judge(case, in_force, void)
            # A removal whose ground a lesser one took away, or that with it would leave nobody: without it, once more.
            fallen = next((i for i in in_force if not verdicts[i].effective and i not in case.given), None)
            if fallen is None:
                return draft.state({self._nodes[i].op_id: verdicts[i] for i in order})
            case.own[fallen] = verdicts[fallen]

    def _author(self, i: int) -> MemberId | None:
        node = self._nodes[i]
        if isinstance(node.action, Genesis):
            return node.action.founder.member if node.action.founder.device == node.author_device else None
        return self._resolve(node.past, frozen=False).devices.get(node.author_device)

    def _own_verdict(self, i: int, frozen: Mapping[OpId, Verdict]) -> Verdict:
        final = frozen.get(self._nodes[i].op_id)
        return self._authority(i) if final is None else final

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

    def _candidates(self, case: _Case) -> list[int]:
        """Removals and demotions that their own past allows: final ones first, then by rank of their authors."""
        found = [i for i in case.order if case.own[i].effective and target_of(self._nodes[i].action) is not None]
        return sorted(found, key=lambda i: (i not in case.given, *self._rank(i, case), self._nodes[i].op_id))

    def _rank(self, i: int, case: _Case) -> tuple[int, bytes]:
        author = case.authors[i]
        assert author is not None  # an effective operation has one
        return self._policy.rank(self._resolve(self._nodes[i].past, frozen=False), author)

    def _removals(self, case: _Case) -> tuple[list[int], dict[int, Verdict]]:
        """Those in force, and why the others aren't: each is judged under the better ones, so no two void each other."""
        candidates = self._candidates(case)
        in_force: list[int] = []
        void = dict.fromkeys(candidates, Verdict.VOID_CONCURRENT_REMOVAL)
        for i in candidates:
            void.pop(i)
            alone = not any(self._concurrent(i, j) for j in case.order)
            verdict = Verdict.EFFECTIVE if alone or i in case.given else self._judge(case, in_force, void)[0][i]
            if verdict.effective:
                in_force.append(i)
            else:
                void[i] = verdict
        return in_force, void

    def _concurrent(self, i: int, j: int) -> bool:
        return i != j and not self._nodes[i].past >> j & 1 and not self._nodes[j].past >> i & 1

    def _judge(
        self, case: _Case, in_force: Sequence[int], void: Mapping[int, Verdict]
    ) -> tuple[dict[int, Verdict], Draft]:
        """Verdicts and state when these removals are in force and those void."""
        verdicts = {**case.own, **void}
        for r in in_force:
            for i in self._voided_by(r, case):
                if verdicts[i].effective and i not in case.given and i not in in_force:
                    verdicts[i] = Verdict.VOID_CONCURRENT_REMOVAL
        draft, roots = Draft(), _Roots(self._nodes)
        for i in case.order:
            if not verdicts[i].effective:
                continue
            node, author = self._nodes[i], case.authors[i]
            assert author is not None
            if i not in case.given:
                reason = roots.missing(node, author) or draft.refuses(node.action, author)
                if reason is not None:
                    verdicts[i] = reason
                    continue
            draft.apply(node.op_id, node.generation, node.action, author)
            roots.note(i, author)
        return verdicts, draft

    def _voided_by(self, r: int, case: _Case) -> Iterator[int]:
        """Strong remove: what the target did concurrently, and concurrent admissions of it. A demotion: its admin acts."""
        removal = self._nodes[r].action
        target, demotion = target_of(removal), isinstance(removal, SetRole)
        for i in case.order:
            action = self._nodes[i].action
            by_target = case.authors[i] == target and (not demotion or _needs_admin(action))
            again = isinstance(action, Admit) and action.card.member == target and not demotion
            if (by_target or again) and self._concurrent(i, r):
                yield i


@dataclass(frozen=True, slots=True)
class _Case:
    """What is judged: operations by generation, then id; each with its author, its own verdict, and whether it is given."""

    order: list[int]
    authors: Mapping[int, MemberId | None]
    own: dict[int, Verdict]
    given: frozenset[int]


class _Roots:
    """Where standing comes from: whoever was admitted or promoted only by what turned out void never was."""

    def __init__(self, nodes: Sequence[_Node]) -> None:
        self._nodes = nodes
        self._given: dict[tuple[MemberId, bool], list[int]] = {}
        self._taken: dict[tuple[MemberId, bool], list[int]] = {}

    def note(self, i: int, author: MemberId) -> None:
        """An action counts: what it gives or takes. The flag is for the admin role, without it membership."""
        match self._nodes[i].action:
            case Genesis(founder=card):
                self._add(self._given, i, card.member, admin=True, member=True)
            case Admit(card=card, role=role):
                self._add(self._given, i, card.member, admin=role is Role.ADMIN, member=True)
            case SetRole(member=member, role=Role.ADMIN):
                self._add(self._given, i, member, admin=True, member=False)
            case SetRole(member=member):
                self._add(self._taken, i, member, admin=True, member=False)
            case Remove(member=member):
                self._add(self._taken, i, member, admin=True, member=True)
            case Leave():
                self._add(self._taken, i, author, admin=True, member=True)

    @staticmethod
    def _add(
        table: dict[tuple[MemberId, bool], list[int]], i: int, who: MemberId, *, admin: bool, member: bool
    ) -> None:
        for flag, wanted in ((True, admin), (False, member)):
            if wanted:
                table.setdefault((who, flag), []).append(i)

    def missing(self, node: _Node, author: MemberId) -> Verdict | None:
        """The verdict when nothing that counts in the operation's past gave its author what it takes; else None."""
        if isinstance(node.action, Genesis):
            return None
        if not self._stands(node.past, author, admin=False):
            return Verdict.VOID_NOT_A_MEMBER
        if _needs_admin(node.action) and not self._stands(node.past, author, admin=True):
            return Verdict.VOID_ROLE
        return None

    def _stands(self, past: int, who: MemberId, *, admin: bool) -> bool:
        taken = [self._nodes[i].past for i in self._taken.get((who, admin), ()) if past >> i & 1]
        given = (i for i in self._given.get((who, admin), ()) if past >> i & 1)
        return any(not any(later >> i & 1 for later in taken) for i in given)


def _needs_admin(action: Action) -> bool:
    return isinstance(action, (Admit, Remove, SetRole, Rotate))


def _rotation_of(action: Action) -> Rotation | None:
    return action.rotation if isinstance(action, (Genesis, Remove, Rotate)) else None


def _bits(chosen: int) -> Iterator[int]:
    while chosen:
        low = chosen & -chosen
        yield low.bit_length() - 1
        chosen ^= low
