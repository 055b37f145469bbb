"""What the chain accepted of one context: history, consent map, log peaks, frozen verdicts; and the plan of what follows.

Acceptance freezes what lies below the cut, and thaws it when the block vanishes (PROTOCOL §5). Proposing and voting
are checkpoints.py's.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import replace
from typing import Final

from medsync_protocol import erasing
from medsync_protocol.application import FollowsFinality
from medsync_protocol.anchoring import Anchoring, check_opening
from medsync_protocol.candidate import Built, Candidate, Cut, Plan, Signers
from medsync_protocol.certificate import Accepted, Certificate
from medsync_protocol.chains import Vector
from medsync_protocol.commitments import Commitments
from medsync_protocol.consent_map import ConsentMap
from medsync_protocol.effects import Effect, Notify, Persist
from medsync_protocol.erasure import Erases
from medsync_protocol.errors import Refused
from medsync_protocol.ids import NOTHING_SEEN, ChainId, OpId
from medsync_protocol.journal import Record, ValueRecord
from medsync_protocol.kinds import EntryKind, Plane, Role, Verdict
from medsync_protocol.membership import MembershipState
from medsync_protocol.operation import NO_KEY
from medsync_protocol.poseidon import Felt, felt_bytes, felt_of
from medsync_protocol.replica import Replica
from medsync_protocol.reward_book import NO_REWARDS, RewardBook, Said, Surroundings
from medsync_protocol.settled_cuts import SettledCuts
from medsync_protocol.statement import Vote, merge_votes, verify_vote
from medsync_protocol.transition import Anchor


def _policy_hash(state: MembershipState) -> bytes:
    assert state.policy is not None, "a cut contains the genesis, which names a policy"
    return state.policy.digest


MAX_UNPROVEN: Final = 64  # of the newest accepted checkpoints, those whose missing votes are asked for
Verdicts = tuple[tuple[ChainId, int, OpId, Verdict], ...]


class Acceptance:
    """`history` begins with the opening once the context is anchored; before that it is empty."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._commitments = Commitments()
        self.consents = ConsentMap()
        """The map under the newest accepted consent root."""
        self._maps: list[ConsentMap | None] = []  # the one before each accepted checkpoint, for taking it back
        self.anchoring: Anchoring | None = None
        self.history: list[Accepted] = []
        self.settled = 0
        self.reward_books: list[tuple[int, RewardBook]] = []
        """(k, rewards from that checkpoint on) of each that changed them."""
        self._stored: dict[int, bytes] = {}
        self._nodes: dict[bytes, bytes] = {}

    @property
    def accepted(self) -> int:
        """The newest k that this node saw accepted; 0 for the opening, or before it."""
        return max(len(self.history) - 1, 0)

    @property
    def head(self) -> Accepted:
        """The newest accepted checkpoint. Raises Refused before the context is anchored."""
        if not self.history:
            raise Refused(
                "the context is not anchored on a chain yet", code="not_anchored",
                advice="run `medsync contract register` for it",
            )  # fmt: skip
        return self.history[-1]

    @property
    def rewards(self) -> RewardBook:
        """As the newest accepted checkpoint has them."""
        return self.reward_books[-1][1] if self.reward_books else NO_REWARDS

    def rewards_at(self, k: int) -> RewardBook:
        """As the accepted checkpoint k has them."""
        return next((book for since, book in reversed(self.reward_books) if since <= k), NO_REWARDS)

    @property
    def contract(self) -> Anchor:
        """The contract that statements are for."""
        assert self.anchoring is not None, "asked before the context was anchored"
        return self.anchoring.opening.anchor

    # -- anchoring --------------------------------------------------------------------------------------------

    def anchor(self, anchoring: Anchoring) -> list[Effect]:
        """Take where the context is opened. Raises Malformed or BadSignature; a second opening changes nothing."""
        if self.anchoring is not None:
            return []
        genesis = self._replica.chains.slot(self._replica.genesis_chain, 0).op_id
        signers = check_opening(anchoring.opening, genesis, self._replica.membership)
        self._open(anchoring, signers)
        record = ValueRecord("anchor", self._replica.context, b"", anchoring.encode())
        return [Persist((record,), True), Notify("anchored", self._replica.context)]

    def _open(self, anchoring: Anchoring, signers: Signers) -> None:
        statement = anchoring.opening.statement
        self.anchoring = anchoring
        self.history = [
            Accepted(
                certificate=None, statement=statement, digest=anchoring.opening.anchor.digest(statement),
                cut=Cut(), peaks=(), next_signers=signers, exceptions=(), obliged={},
            )
        ]  # fmt: skip

    # -- cuts and plans ---------------------------------------------------------------------------------------

    def closed(self) -> Vector:
        """What a cut may contain: everything held, short of forks."""
        held = self._replica.vector
        for chain, first in self._replica.judge.forks.items():
            held[chain] = max(min(held.get(chain, 0), first), self.head.cut.vector.get(chain, 0))
        return {chain: count for chain, count in held.items() if count}

    def holds(self, cut: Cut) -> bool:
        """Whether every operation below the cut is here, and the same ones."""
        chains = self._replica.chains
        return all(
            chains.next_seq(chain) >= count and chains.slot(chain, count - 1).op_id == head
            for chain, count, head in cut.heads
        )

    def is_closed(self, cut: Cut) -> bool:
        """Larger than the last cut, no fork below, and every membership operation cited lies below it."""
        below, before = cut.vector, self.head.cut.vector
        larger = all(below.get(chain, 0) >= count for chain, count in before.items()) and below != before
        if not larger or self.is_forked(cut):
            return False
        cited = {slot.heads for _, _, slot in self._replica.chains.between(before, below)}
        for head in {head for heads in cited for head in heads}:
            if head in self._replica.branches:
                continue  # evidence beside the chain: void, and in no cut
            chain, seq = self._replica.places[head]
            if self._replica.judge.forked(chain, seq):
                continue
            if below.get(chain, 0) <= seq:
                return False
        return True

    def is_forked(self, cut: Cut) -> bool:
        """Whether a fork lies below it; what was accepted before its fork was known stays accepted."""
        return bool(self._forks_below(cut.vector))

    def _forks_below(self, below: Vector) -> set[ChainId]:
        """Chains whose fork who made this cut can't have known; those accepted before are no matter any more."""
        before = self.head.cut.vector
        return {
            chain
            for chain, first in self._replica.judge.forks.items()
            if below.get(chain, 0) > max(first, before.get(chain, 0))
        }

    def cut(self, vector: Vector) -> Cut:
        """The cut at what is held below the vector."""
        chains = self._replica.chains
        return Cut(
            tuple((chain, count, chains.slot(chain, count - 1).op_id) for chain, count in sorted(vector.items()))
        )

    def plan(self, cut: Cut, not_before: int, expected: Candidate | None = None) -> Plan:
        """What a statement with this cut is made from; `not_before` in seconds."""
        replica, head = self._replica, self.head
        below = cut.vector
        unknown = self._forks_below(below)
        held = (op_id for op_id, (chain, seq) in replica.places.items() if below.get(chain, 0) > seq)
        state = replica.fold.state_of(held, unknown)
        verdicts = tuple(self._verdicts(below, state, unknown))
        return Plan(
            anchor=self.contract, head=head.statement, peaks=head.peaks, consents=self.consents,
            changes=self._changes(verdicts), cut=cut, verdicts=verdicts,
            next_signers=state.voters or head.next_signers, membership_root=state.root(),
            key_id=state.usable_key() or NO_KEY, policy_hash=_policy_hash(state),
            not_before=not_before, rewards=self._rewarded(verdicts, state, not_before), expected=expected,
        )  # fmt: skip

    def _verdicts(
        self, below: Vector, state: MembershipState, unknown_forks: Container[ChainId]
    ) -> Iterable[tuple[ChainId, int, OpId, Verdict]]:
        replica = self._replica
        for chain, seq, slot in replica.chains.between(self.head.cut.vector, below):
            if slot.plane == Plane.DATA:
                yield chain, seq, slot.op_id, replica.judge.judge_at(
                    chain, seq, slot, state, fork_known=chain not in unknown_forks
                )
            else:
                yield chain, seq, slot.op_id, state.verdicts[slot.op_id]

    def _changes(self, verdicts: Iterable[tuple[ChainId, int, OpId, Verdict]]) -> Mapping[Felt, Felt]:
        """What of the consent map these operations change; the commitments are left as they were."""
        verdicts = list(verdicts)
        self._fold_labels(verdicts, count=True)
        changes = self._commitments.changes()
        self._fold_labels(verdicts, count=False)
        self._commitments.changes()
        return changes

    def _fold_labels(
        self, verdicts: Iterable[tuple[ChainId, int, OpId, Verdict]], *, count: bool
    ) -> None:
        for chain, seq, op_id, verdict in verdicts:
            for _, label in self._replica.labels.get((chain, seq), ()):
                self._commitments.fold(label, op_id, count and verdict.effective)

    def _rewarded(self, verdicts: Verdicts, state: MembershipState, not_before: int) -> RewardBook:
        replica, head = self._replica, self.head
        around = Surroundings(
            network=replica.network, id=replica.context, anchor=self.contract, context=head.statement.context,
            k=head.statement.k + 1, now=not_before,
            voters=tuple(member for member, _ in state.voters or head.next_signers),
            writers=frozenset(m for m, standing in state.members.items() if standing.role >= Role.MEMBER),
            payees={m: key for m, key in state.voter_keys.items() if m in state.members},
        )  # fmt: skip
        return self.rewards.after(self._said_of_rewards(verdicts), around)

    def _said_of_rewards(self, verdicts: Verdicts) -> Iterable[Said]:
        replica = self._replica
        for chain, seq, _, verdict in verdicts:
            labels = replica.labels.get((chain, seq), ()) if verdict.effective else ()
            for _, label in labels:
                if label.kind == EntryKind.REWARD_ROOT:
                    slot = replica.chains.slot(chain, seq)
                    yield replica.judge.author(chain, slot.heads, slot.seen), label

    # -- acceptance -------------------------------------------------------------------------------------------

    def adopt(self, certificate: Certificate, plan: Plan, built: Built) -> list[Effect]:
        """The chain holds this checkpoint: freeze what lies below its cut."""
        replica = self._replica
        before = self.consents
        self._fold_labels(plan.verdicts, count=True)
        self._commitments.changes()
        accepted = Accepted(
            certificate=certificate, statement=built.statement, digest=built.digest, cut=plan.cut,
            peaks=built.peaks, next_signers=plan.next_signers,
            exceptions=tuple((c, s, v) for c, s, _, v in plan.verdicts if not v.effective),
            obliged={},
        )  # fmt: skip
        self._maps.append(before)
        self.consents = built.consents
        self.history.append(accepted)
        if plan.rewards != self.rewards:
            self.reward_books.append((accepted.statement.k, plan.rewards))
        self._freeze(plan.verdicts, accepted)
        effects = replica.rejudge()
        accepted = self.history[-1] = replace(accepted, obliged=self.closed())
        fields = (("k", accepted.statement.k), ("digest", hex(accepted.digest)))
        records = self._records(accepted, before, built.nodes)
        return [Persist(records, True), *effects, Notify("accepted", replica.context, fields)]

    def _freeze(self, verdicts: Verdicts, accepted: Accepted) -> None:
        seen = (accepted.statement.k, felt_bytes(accepted.digest))
        self._replica.settle(seen, ((chain, seq, verdict) for chain, seq, _, verdict in verdicts))

    def _records(self, accepted: Accepted, before: ConsentMap, nodes: bytes) -> tuple[Record, ...]:
        context, k = self._replica.context, accepted.statement.k
        head = self.history[k - 1].statement
        added, dropped = self.consents.changes_since(before)
        return (
            ValueRecord("checkpoint", context, k.to_bytes(8, "big"), accepted.encode()),
            ValueRecord("log", context, head.log_size.to_bytes(8, "big"), nodes),
            *(ValueRecord("consent_node", context, name, node) for name, node in added.items()),
            *(ValueRecord("consent_node", context, name, None) for name in dropped),
            *(ValueRecord("rewards", context, k.to_bytes(8, "big"), self.rewards.encode()) for _ in self._rewards_of(k)),
        )

    def _rewards_of(self, k: int) -> list[RewardBook]:
        """What this checkpoint made of the rewards, if it changed them."""
        return [book for since, book in self.reward_books[-1:] if since == k]

    def unproven(self) -> tuple[int, Felt] | None:
        """(k, digest) of the newest checkpoint that the chain accepted while too few of its votes had come here.

        It holds all the same; but nobody can be shown from here who signed it, nor is it posted again if its block vanishes.
        """
        for accepted in reversed(self.history[max(1, len(self.history) - MAX_UNPROVEN) :]):
            certificate = accepted.certificate
            if certificate is not None and not certificate.is_complete:
                return accepted.statement.k, accepted.digest
        return None

    def take_vote(self, k: int, digest: Felt, vote: Vote) -> list[Effect]:
        """A vote for an accepted checkpoint, where some are wanting. Raises AnchorRefusal for a false one."""
        accepted = self.history[k]
        certificate = accepted.certificate
        if certificate is None or accepted.digest != digest or certificate.is_complete:
            return []
        verify_vote(digest, certificate.members, vote)
        votes = tuple(merge_votes((*certificate.votes, vote)))
        if votes == certificate.votes:
            return []
        self.history[k] = replace(accepted, certificate=replace(certificate, votes=votes))
        record = ValueRecord("checkpoint", self._replica.context, k.to_bytes(8, "big"), self.history[k].encode())
        return [Persist((record,), False)]

    def settle(self, k: int) -> list[Effect]:
        """The checkpoint k is chain-final: changes of homes below it take force."""
        self.settled = k
        application = self._replica.application
        if isinstance(application, FollowsFinality):
            application.set_final(self.history[k].cut.vector)
        if isinstance(application, Erases):
            application.cuts = SettledCuts(self.history, k)
        record = ValueRecord("settled", self._replica.context, b"", k.to_bytes(8, "big"))
        notice = Notify("settled", self._replica.context, (("k", k),))
        return [Persist((record, *self._slim_rewards()), False), notice, *erasing.due(self._replica)]

    def _slim_rewards(self) -> Iterable[Record]:
        """Tokens of reports are kept where they may still be needed: in the newest settled rewards, and after."""
        newest = max((since for since, _ in self.reward_books if since <= self.settled), default=0)
        for at, (since, book) in enumerate(self.reward_books):
            slim = book.slim() if since < newest else book
            if slim != book:
                self.reward_books[at] = (since, slim)
                yield ValueRecord("rewards", self._replica.context, since.to_bytes(8, "big"), slim.encode())

    def retract(self, k: int) -> list[Effect]:
        """The block that held the accepted checkpoint k vanished: thaw it and all after it, down to what is settled."""
        replica = self._replica
        records: list[Record] = []
        thawed: list[tuple[ChainId, int]] = []
        while self.accepted >= max(k, self.settled + 1):
            gone, after = self.history.pop(), self.consents
            added = list(replica.chains.between(self.head.cut.vector, gone.cut.vector))
            self._fold_labels([(c, s, slot.op_id, slot.verdict) for c, s, slot in added], count=False)
            changes = self._commitments.changes()
            self.consents = self._maps.pop() or after.put_many(changes)
            thawed += [(chain, seq) for chain, seq, _ in added]
            back, dropped = self.consents.changes_since(after)
            if self._rewards_of(gone.statement.k):
                del self.reward_books[-1]
                records.append(ValueRecord("rewards", replica.context, gone.statement.k.to_bytes(8, "big"), None))
            records += [
                ValueRecord("checkpoint", replica.context, gone.statement.k.to_bytes(8, "big"), None),
                ValueRecord("log", replica.context, self.head.statement.log_size.to_bytes(8, "big"), None),
                *(ValueRecord("consent_node", replica.context, name, node) for name, node in back.items()),
                *(ValueRecord("consent_node", replica.context, name, None) for name in dropped),
            ]
        if not records:
            return []
        replica.thaw((self.accepted, felt_bytes(self.head.digest)) if self.accepted else NOTHING_SEEN, thawed)
        notice = Notify("retracted", replica.context, (("k", k),))
        return [Persist(tuple(records), True), *replica.rejudge(), notice]

    # -- restart ----------------------------------------------------------------------------------------------

    def replay(self, record: ValueRecord) -> None:
        """Keep what the journal holds of this until `restored`."""
        if record.table == "rewards":
            k = int.from_bytes(record.key, "big")
            self.reward_books = [(since, book) for since, book in self.reward_books if since < k]
            if record.value is not None:
                self.reward_books.append((k, RewardBook.decode(record.value)))
        if record.value is None:
            return
        match record.table:
            case "anchor":
                self.anchoring = Anchoring.decode(record.value)
            case "checkpoint":
                self._stored[int.from_bytes(record.key, "big")] = record.value
            case "consent_node":
                self._nodes[record.key] = record.value
            case "settled":
                self.settled = int.from_bytes(record.value, "big")

    def restored(self) -> list[Effect]:
        """After the last record: history, map and frozen verdicts as they were."""
        if self.anchoring is None:
            return []
        genesis = self._replica.chains.slot(self._replica.genesis_chain, 0).op_id
        signers = check_opening(self.anchoring.opening, genesis, self._replica.membership)
        self._open(self.anchoring, signers)
        for k in range(1, len(self._stored) + 1):
            before = self.head
            accepted = Accepted.decode(self._stored[k], before.statement)
            verdicts = tuple(self._recorded(before.cut.vector, accepted))
            self._fold_labels(verdicts, count=True)
            self.history.append(accepted)
            self._freeze(verdicts, accepted)
        effects = self._replica.rejudge()
        self._commitments.changes()
        root = felt_of(felt_bytes(self.head.statement.consent_root))
        self.consents = ConsentMap.restore(root, self._nodes)
        self._maps = [None] * self.accepted
        self._nodes, self._stored = {}, {}
        if self.settled:
            effects += self.settle(self.settled)
        return effects

    def _recorded(self, low: Vector, accepted: Accepted) -> Iterable[tuple[ChainId, int, OpId, Verdict]]:
        void = {(chain, seq): verdict for chain, seq, verdict in accepted.exceptions}
        for chain, seq, slot in self._replica.chains.between(low, accepted.cut.vector):
            yield chain, seq, slot.op_id, void.get((chain, seq), Verdict.EFFECTIVE)
