"""The membership fold: from a set of membership and keys operations to members, keys, voters and verdicts.

A pure function of the set and of what is final (PROTOCOL §3): arrival order, duplicates and restarts change nothing.
Authority is judged in each operation's own causal past, with the final verdicts that its author knew (decision 13); what
counts in a set is membership_judging.py's question, asked only for what came after the last operation that everything
else knows. Final verdicts are taken as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from medsync_protocol.actions import (
    Action, Admit, Endorse, Genesis, Leave, PolicyName, Rekey, Remove, Unreadable, rotation_of,
)  # fmt: skip
from medsync_protocol.ids import NOTHING_SEEN, ChainId, KeyId, MemberId, OpId, Seen, device_of
from medsync_protocol.kinds import Role, Verdict
from medsync_protocol.membership_draft import Draft, target_of
from medsync_protocol.membership_judging import Judging, Node, Snapshot, bits
from medsync_protocol.membership_state import (
    EMPTY, KeyEpoch, MembershipState, Proposal, Removed, Standing, quorum, voter_digest,
)  # fmt: skip
from medsync_protocol.policy import Policies, ask, delay_of, rank_of
from medsync_protocol.ruling import MAX_DELAY, Concurrent, Deny, Mutual, Needs, Policy, Ruling

__all__ = [
    "EMPTY", "KeyEpoch", "MembershipFold", "MembershipState", "Removed", "Standing", "quorum", "voter_digest",
]  # fmt: skip

MAX_SNAPSHOTS: Final = 256  # results kept of causal pasts: a context has a handful of heads in use at a time
STRIDE: Final = 64  # one snapshot in so many is kept for good: from there any other is made again


class _Final(NamedTuple):
    """An accepted checkpoint: its digest, and the operations here whose verdicts it made final."""

    root: bytes
    mask: int


class _View(NamedTuple):
    """With which final verdicts a set is looked at: those up to checkpoint `k`; and what stands on forks (bit set)."""

    k: int
    forks: int


class MembershipFold:
    """The operations of the membership and keys planes of one context, and the state of any causally closed set."""

    def __init__(self, policy: Policy, policies: Policies | None = None) -> None:
        self._first = policy
        self._policies = policies or Policies()
        self._first_name = self._name(policy)
        self._rules: dict[PolicyName, Policy | None] = {self._first_name: policy}
        self._nodes: list[Node] = []
        self._index: dict[OpId, int] = {}
        self._empty = Snapshot(draft=Draft(self._first_name))
        self._memo = _Memo()
        self._finals: dict[int, _Final] = {}
        self._telling: list[int] = []  # of them those that say something of an operation here, ascending
        self._frozen: dict[OpId, Verdict] = {}
        self._unsure = 0  # operations that became final, or stopped being so, since others were judged on them
        self._forks: dict[ChainId, int] = {}
        self._forked_mask = 0
        self._heads: frozenset[OpId] = frozenset()
        self._current: MembershipState | None = None

    def _name(self, policy: Policy) -> PolicyName:
        if policy.name in self._policies.offers:
            return self._policies.name(policy)
        return PolicyName(name=policy.name, version=policy.version, digest=bytes(32), parameters=policy.parameters)

    def __contains__(self, op_id: OpId) -> bool:
        return op_id in self._index

    def __len__(self) -> int:
        return len(self._nodes)

    # -- operations -------------------------------------------------------------------------------------------

    def add(
        self, op_id: OpId, chain: ChainId, heads: Iterable[OpId], action: Action, seen: Seen = NOTHING_SEEN,
        seq: int = -1,
    ) -> None:  # fmt: skip
        """Take an operation all of whose `heads` are here. The same one again changes nothing.

        `seen`: the newest checkpoint that its author says it knew; `seq`: its place on its chain.
        """
        if op_id in self._index:
            return
        self._judge_again()
        heads = tuple(heads)
        indexes = self._reduced(self._index[head] for head in heads)
        past = 0
        for i in indexes:
            past |= self._nodes[i].past | 1 << i
        node = self._judged(op_id, chain, action, past, indexes, seen, seq)
        self._heads = self._heads.difference(heads) | {op_id}
        self._current = None
        self._index[op_id] = len(self._nodes)
        self._nodes.append(node)
        self._mark_forked(len(self._nodes) - 1)

    def fork(self, chain: ChainId, seq: int) -> None:
        """The chain was signed twice at `seq`: from there on nothing on it counts that is not final."""
        if self._forks.get(chain, seq + 1) <= seq:
            return
        self._forks[chain] = seq
        for index in range(len(self._nodes)):
            self._mark_forked(index)

    def _mark_forked(self, index: int) -> None:
        node = self._nodes[index]
        first = self._forks.get(node.chain)
        if first is None or node.seq < first or node.resumed or self._forked_mask >> index & 1:
            return
        self._forked_mask |= 1 << index
        self._current = None

    def _judged(
        self, op_id: OpId, chain: ChainId, action: Action, past: int, heads: tuple[int, ...], seen: Seen, seq: int
    ) -> Node:
        nodes = self._nodes
        ground = self._common(heads)
        known = self._snapshot(heads, self._known(seen))
        state = known.state
        if isinstance(action, Genesis):
            author = action.founder.member if action.founder.device == device_of(chain) else None
        else:
            author = state.devices.get(device_of(chain))
        at = seen[0] if author is None else max(seen[0], known.draft.claims.get(author, 0))
        node = Node(
            op_id=op_id, chain=chain, action=action, past=past, heads=heads,
            generation=1 + max((nodes[i].generation for i in heads), default=0), seen=seen, at=at, ground=ground,
            depth=1 + (nodes[ground].depth if ground >= 0 else 0), author=author, own=Verdict.EFFECTIVE, seq=seq,
            resumed=any(seq >= resumed.seq for resumed in known.draft.resumed.get(chain, ())),
        )  # fmt: skip
        verdict, ruling = self._authority(node, state)
        policy = self._policy(state)
        node = replace(node, own=verdict)
        if author is None or policy is None or not verdict.effective:
            return node
        return replace(
            node, admin=policy.role_for(action) is Role.ADMIN, rank=rank_of(policy, state, author),
            forward=target_of(action) is not None and policy.concurrent_ops_of_removed() is Concurrent.KEEP,
            both=policy.mutual_removal() is Mutual.BOTH, keeps_owner=policy.keeps_owner(),
            proposal=self._proposal(node, author, policy, ruling),
        )  # fmt: skip

    def _authority(self, node: Node, past: MembershipState) -> tuple[Verdict, Ruling | None]:
        """The verdict from the operation's own causal past alone; fixed for ever."""
        author, action = node.author, node.action
        if author is None:
            return Verdict.VOID_NOT_A_MEMBER, None
        if isinstance(action, Unreadable):
            return Verdict.VOID_MALFORMED, None
        ruling = self._ruling(past, author, action)
        if isinstance(ruling, Deny):
            return (Verdict.VOID_POLICY_ERROR if ruling.error else Verdict.VOID_ROLE), ruling
        rotation = rotation_of(action)
        if rotation is not None and rotation.epoch != 1 + past.highest_epoch():
            return Verdict.VOID_EPOCH, ruling
        if isinstance(action, Admit):
            used_by = past.invitations.get(action.invitation)
            if action.invitation and used_by not in (None, action.card.member):
                return Verdict.VOID_INVITATION, ruling
        if isinstance(ruling, Needs) and _repeats(past, author, action, node.at):
            return Verdict.VOID_COOL_DOWN, ruling
        return Verdict.EFFECTIVE, ruling

    def _ruling(self, state: MembershipState, author: MemberId, action: Action) -> Ruling:
        if isinstance(action, Genesis) and not state.members:
            return self._first.genesis(action)
        return ask(self._policy(state), state, author, action)

    def _policy(self, state: MembershipState) -> Policy | None:
        named = state.policy or self._first_name
        if named not in self._rules:
            self._rules[named] = self._policies.resolve(named)
        return self._rules[named]

    def _proposal(self, node: Node, author: MemberId, policy: Policy, ruling: Ruling | None) -> Proposal | None:
        delay = _delay(policy, node.action)
        if not isinstance(ruling, Needs) and not delay:
            return None
        expiry, cool_down = (min(max(n, 0), MAX_DELAY) for n in policy.expiry())
        votes, electors = (ruling.votes, ruling.electors) if isinstance(ruling, Needs) else (1, frozenset({author}))
        return Proposal(
            op_id=node.op_id, action=node.action, author=author, generation=node.generation,
            needed=votes - (author in electors), electors=electors, at=node.at, expires=node.at + expiry,
            cool_down=cool_down, delay=delay, forward=policy.concurrent_ops_of_removed() is Concurrent.KEEP,
        )  # fmt: skip

    # -- finality ---------------------------------------------------------------------------------------------

    def freeze(self, k: int, root: bytes, verdicts: Mapping[OpId, Verdict]) -> None:
        """Checkpoint `k` with the digest `root` is accepted: these verdicts are given from now on, not computed.

        They are too in the past of whoever wrote after seeing it. Later ones come after earlier ones.
        """
        mine = {op_id: verdict for op_id, verdict in verdicts.items() if op_id in self._index}
        mask = sum(1 << self._index[op_id] for op_id in mine)
        self._finals[k] = _Final(root, mask)
        if mask:
            self._telling.append(k)
        self._frozen.update(mine)
        self._refrozen(mask)

    def thaw(self, k: int) -> None:
        """The blocks that held the checkpoints from `k` on vanished."""
        gone = 0
        for later in [n for n in self._finals if n >= k]:
            gone |= self._finals.pop(later).mask
        self._telling = [n for n in self._telling if n < k]
        for index in bits(gone):
            self._frozen.pop(self._nodes[index].op_id, None)
        self._memo.forget(gone, lambda view: view.k >= k)
        self._refrozen(gone)

    def _refrozen(self, mask: int) -> None:
        self._unsure |= mask
        self._current = None

    def _judge_again(self) -> None:
        """Operations whose authors knew a checkpoint before this node did, or one that vanished since."""
        unsure, self._unsure = self._unsure, 0
        if not unsure:
            return
        changed = 0
        for i in range((unsure & -unsure).bit_length(), len(self._nodes)):
            node = self._nodes[i]
            if not (node.past & changed or (node.seen[0] and node.past & unsure)):
                continue
            again = self._judged(
                node.op_id, node.chain, node.action, node.past, node.heads, node.seen, node.seq
            )
            if again != node:
                self._nodes[i] = again
                changed |= 1 << i
                self._memo.forget(1 << i)
        self._current = None

    def _known(self, seen: Seen) -> _View:
        """What is final for someone who knew this checkpoint; one that vanished since stands on the one before it."""
        k, root = seen
        final = self._finals.get(k)
        return _View(k if final is None or final.root == root else k - 1, forks=0)

    # -- reading ----------------------------------------------------------------------------------------------

    def heads(self) -> tuple[OpId, ...]:
        """Operations that no other one here cites, ascending."""
        return tuple(sorted(self._heads))

    def state(self) -> MembershipState:
        """Of everything held."""
        self._judge_again()
        if self._current is None:
            heads = self._reduced(self._index[op_id] for op_id in self._heads)
            self._current = self._snapshot(heads, self._newest()).state
        return self._current

    def _newest(self) -> _View:
        return _View(max(self._finals, default=0), forks=self._forked_mask)

    def rules(self) -> Policy | None:
        """The policy in force; None when this node doesn't have it."""
        return self._policy(self.state())

    def may(self, author: MemberId, action: Action) -> Ruling:
        """What the policy says of an action by this author, on everything held."""
        return self._ruling(self.state(), author, action)

    def proposes(self, author: MemberId, action: Action) -> bool:
        """Whether this would only be a proposal: others' votes must come first, or checkpoints."""
        policy, ruling = self._policy(self.state()), self.may(author, action)
        if policy is not None and _delay(policy, action):
            return True
        return isinstance(ruling, Needs) and ruling.votes > (author in ruling.electors)

    def repeats(self, author: MemberId, action: Action, at: int) -> bool:
        """Whether the author proposed this already: it is open, or must cool down (`at`: the newest checkpoint known)."""
        return _repeats(self.state(), author, action, at)

    def state_at(self, heads: Iterable[OpId], seen: Seen = NOTHING_SEEN) -> MembershipState:
        """As an author that cites these heads, and had seen this checkpoint, knew it."""
        self._judge_again()
        return self._snapshot(self._reduced(self._index[head] for head in heads), self._known(seen)).state

    def state_of(self, op_ids: Iterable[OpId], unknown_forks: Container[ChainId] = ()) -> MembershipState:
        """Of a subset with all that it rests on, for instance what lies below a cut; without what we know of some forks."""
        self._judge_again()
        chosen = inner = 0
        for op_id in op_ids:
            index = self._index[op_id]
            chosen |= self._nodes[index].past | 1 << index
            inner |= self._nodes[index].past
        view = self._newest()
        if any(chain in unknown_forks for chain in self._forks):
            known = [i for i in bits(view.forks) if self._nodes[i].chain not in unknown_forks]
            view = view._replace(forks=sum(1 << i for i in known))
        return self._snapshot(tuple(bits(chosen & ~inner)), view).state

    def in_past(self, op_id: OpId, heads: Iterable[OpId]) -> bool:
        """Whether an author citing `heads` had seen `op_id`."""
        return bool(self._closed(heads) >> self._index[op_id] & 1)

    def knew(self, removed: Removed, heads: Iterable[OpId]) -> bool:
        """Whether an author citing `heads` had seen the removal: where votes made it, as many as it took."""
        closed = self._closed(heads)
        if not closed >> self._index[removed.op_id] & 1:
            return False
        return sum(closed >> self._index[vote] & 1 for vote in removed.votes) >= removed.needed

    def is_final(self, removed: Removed) -> bool:
        """Whether an accepted checkpoint holds the removal: where votes made it, as many as it took."""
        votes = sum(vote in self._frozen for vote in removed.votes)
        return removed.op_id in self._frozen and votes >= removed.needed

    def author_of(self, op_id: OpId) -> MemberId | None:
        """Whose device wrote an operation, as its own past knows; None for a stranger's."""
        return self._nodes[self._index[op_id]].author

    def admitting(self, member: MemberId) -> list[OpId]:
        """Every operation that admits the member, in a lost one's place too, and void ones too."""
        return [n.op_id for n in self._nodes if isinstance(n.action, Admit | Rekey) and n.action.card.member == member]

    def replaced_by(self, member: MemberId) -> set[MemberId]:
        """In whose place somebody wanted the member."""
        return {
            n.action.member for n in self._nodes
            if isinstance(n.action, Rekey) and n.action.card.member == member != n.action.member
        }  # fmt: skip

    def removing_under(self, key_id: KeyId, member: MemberId) -> list[OpId]:
        """Every removal of the member that brought this key, or that was known to who made it for others alone."""
        known = 0
        for i, node in enumerate(self._nodes):
            rotation = rotation_of(node.action)
            if rotation is not None and rotation.key_id == key_id and member not in dict(rotation.wraps):
                known |= node.past | 1 << i
        removals = (self._nodes[i] for i in bits(known) if isinstance(self._nodes[i].action, Remove))
        return [n.op_id for n in removals if target_of(n.action) == member]

    def putting_out(self, members: Iterable[MemberId | None]) -> list[OpId]:
        """Every removal and demotion that is aimed at one of these, or leaving of theirs, void ones too."""
        return [
            n.op_id for n in self._nodes
            if (n.author if isinstance(n.action, Leave) else target_of(n.action)) in members
        ]  # fmt: skip

    def votes_for(self, proposals: Container[OpId]) -> list[OpId]:
        """Every vote on one of these, void ones too."""
        return [n.op_id for n in self._nodes if isinstance(n.action, Endorse) and n.action.proposal in proposals]

    def closure(self, op_ids: Iterable[OpId]) -> list[OpId]:
        """The operations named and all that they rest on."""
        return [self._nodes[i].op_id for i in bits(self._closed(op_ids))]

    def _closed(self, heads: Iterable[OpId]) -> int:
        closed = 0
        for head in heads:
            index = self._index[head]
            closed |= self._nodes[index].past | 1 << index
        return closed

    # -- results ----------------------------------------------------------------------------------------------

    def _reduced(self, indexes: Iterable[int]) -> tuple[int, ...]:
        """Without those that others rest on, ascending."""
        wanted = set(indexes)
        if len(wanted) > 1:
            inner = 0
            for i in wanted:
                inner |= self._nodes[i].past
            wanted = {i for i in wanted if not inner >> i & 1}
        return tuple(sorted(wanted))

    def _common(self, heads: tuple[int, ...]) -> int:
        """The last operation that all of these know or are, and that everything they know after it knows; -1 for none."""
        if not heads:
            return -1
        nodes, found = self._nodes, heads[0]
        for other in heads[1:]:
            while found != other:
                if found < 0 or other < 0:
                    return -1
                if nodes[found].depth >= nodes[other].depth:
                    found = nodes[found].ground
                else:
                    other = nodes[other].ground
        return found

    def _snapshot(self, heads: tuple[int, ...], view: _View) -> Snapshot:
        if not heads:
            return self._empty
        view = self._narrowed(view, heads)
        found = self._memo.get(heads, view)
        if found is None:
            found = self._from_ground(heads, view) if len(heads) > 1 else self._climb(heads[0], view)
        return found

    def _narrowed(self, view: _View, heads: tuple[int, ...]) -> _View:
        """The least view that shows the same of this set: the newest checkpoint up to `k` that says something of it."""
        closed = 0
        for i in heads:
            closed |= self._nodes[i].past | 1 << i
        k = next((k for k in reversed(self._telling) if k <= view.k and self._finals[k].mask & closed), 0)
        return _View(k, view.forks & closed)

    def _from_ground(self, heads: tuple[int, ...], view: _View) -> Snapshot:
        common = self._common(heads)
        ground = self._snapshot((common,), view) if common >= 0 else self._empty
        return self._memo.keep(heads, view, self._on(ground, heads, view), for_good=False)

    def _climb(self, head: int, view: _View) -> Snapshot:
        """From the last ground whose result is kept up to this operation, in strides."""
        steps, at = [head], self._nodes[head].ground
        known: Snapshot | None = None
        while at >= 0:
            known = self._memo.get((at,), self._narrowed(view, (at,)))
            if known is not None:
                break
            if self._nodes[at].depth % STRIDE == 0:
                steps.append(at)
            at = self._nodes[at].ground
        ground = self._empty if known is None else known
        for step in reversed(steps):
            for_good = self._nodes[step].depth % STRIDE == 0
            narrowed = self._narrowed(view, (step,))
            ground = self._memo.keep((step,), narrowed, self._on(ground, (step,), narrowed), for_good=for_good)
        return ground

    def _on(self, ground: Snapshot, heads: tuple[int, ...], view: _View) -> Snapshot:
        chosen = 0
        for i in heads:
            chosen |= self._nodes[i].past | 1 << i
        chosen &= ~ground.mask
        given = self._given(chosen, view.k)
        return Judging(self._nodes, self._index, ground, chosen, given, view.forks).judged()

    def _given(self, chosen: int, k: int) -> Mapping[OpId, Verdict]:
        """Of these operations the verdicts that checkpoints up to `k` made final."""
        final = 0
        for at in reversed(self._telling):
            if not chosen & ~final:
                break
            if at <= k:
                final |= self._finals[at].mask
        return {op_id: self._frozen[op_id] for i in bits(chosen & final) if (op_id := self._nodes[i].op_id)}


class _Memo:
    """Results by reduced heads and view: the latest ones, and some for good."""

    def __init__(self) -> None:
        self._latest: dict[tuple[tuple[int, ...], _View], Snapshot] = {}
        self._for_good: dict[tuple[tuple[int, ...], _View], Snapshot] = {}

    def get(self, heads: tuple[int, ...], view: _View) -> Snapshot | None:
        found = self._latest.get((heads, view))
        return self._for_good.get((heads, view)) if found is None else found

    def keep(self, heads: tuple[int, ...], view: _View, snapshot: Snapshot, *, for_good: bool) -> Snapshot:
        if for_good:
            self._for_good[heads, view] = snapshot
        else:
            while len(self._latest) >= MAX_SNAPSHOTS:
                del self._latest[next(iter(self._latest))]
            self._latest[heads, view] = snapshot
        return snapshot

    def forget(self, mask: int, shows: Callable[[_View], bool] = lambda view: True) -> None:
        """Results of sets that hold one of these, in the views that show it."""
        for kept in (self._latest, self._for_good):
            for key in [key for key, found in kept.items() if found.mask & mask and shows(key[1])]:
                del kept[key]


def _delay(policy: Policy, action: Action) -> int:
    """Checkpoints that must be accepted before it counts; what takes somebody's authority never waits."""
    return 0 if target_of(action) is not None else delay_of(policy, action)


def _repeats(past: MembershipState, author: MemberId, action: Action, at: int) -> bool:
    """Whether the author proposed the same while it was open, or has not waited long enough since."""
    same = _about(action)
    return any(
        p.author == author and _about(p.action) == same and at <= p.expires + p.cool_down
        for p in past.proposals.values()
    )


def _about(action: Action) -> tuple[type, object]:
    if isinstance(action, Admit):
        return Admit, action.card.member
    return type(action), getattr(action, "member", None) or getattr(action, "chain", None)
