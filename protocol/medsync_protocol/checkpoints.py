"""Checkpoints of one context: proposing, judging and signing candidates for the next k (PROTOCOL §5).

No vote lock and no view change: voters may sign several candidates for one k, the contract takes the first valid
one. `signed` freezes nothing; what the chain accepted is acceptance.py's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from medsync_protocol.acceptance import Acceptance
from medsync_protocol.address import ChainAddress
from medsync_protocol.anchoring import Anchoring
from medsync_protocol.candidate import Built, Candidate, Cut, Plan
from medsync_protocol.certificate import Certificate
from medsync_protocol.chains import Vector
from medsync_protocol.crypto import blake2b
from medsync_protocol.differences import MAX_KEPT, Account, Difference, account_of, first_difference
from medsync_protocol.effects import Effect, Evaluate, Notify, Persist
from medsync_protocol.errors import Refused
from medsync_protocol.ids import ChainId, MemberId, OpId
from medsync_protocol.journal import ValueRecord
from medsync_protocol.poseidon import Felt, felt_bytes
from medsync_protocol.refusal import AnchorRefusal
from medsync_protocol.replica import Replica
from medsync_protocol.stark import public_key
from medsync_protocol.statement import Vote, cast_vote, merge_votes, quorum, verify_vote

MAX_CANDIDATES: Final = 2  # evaluated per proposer and k: more would let one voter keep the others hashing
RENEW_MS: Final = 15_000  # and one more after each of these without a checkpoint: else bad luck would be for ever
MAX_SPOILT: Final = 32  # more per proposer and k, if a fork that was found later lies below all but two of them
MAX_STRAY_VOTES: Final = 1_000  # votes for candidates that are not built here yet: four rounds of a full list
MAX_EARLY: Final = 64  # candidates for a k that is not next here yet: the others' readers saw the last one first
MAX_EARLY_S: Final = 120  # a candidate's not_before may be this far ahead of our clock
BEHIND_S: Final = 300  # block times lag behind ours, most of all on a chain that makes blocks only on demand
STAGGER_MS: Final = 2_000  # between the voters' turns to propose


@dataclass(slots=True)
class Tally:
    """A candidate for the next k that was built here, and the votes for its digest."""

    candidate: Candidate
    plan: Plan
    built: Built
    votes: dict[int, Vote] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a built plan: an own candidate to be sent to the others, and this node's vote where it gives one."""

    effects: list[Effect]
    candidate: Candidate | None = None
    digest: Felt | None = None
    vote: Vote | None = None
    differs: Felt | None = None


class Checkpoints:
    """See the module."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._secret = replica.identity.stark_secret(replica.context)
        self._key: int | None = None
        self.acceptance = Acceptance(replica)
        self.tallies: dict[Felt, Tally] = {}
        self._pending: list[Candidate] = []
        self._stored: list[Candidate] = []
        self._proposed: dict[MemberId, dict[bytes, Cut]] = {}
        self._proposing_since = 0  # ms, the first candidate for this k
        self._early: list[tuple[MemberId | None, Candidate]] = []
        self._stray: dict[Felt, list[tuple[int, Vote]]] = {}
        self._observed: dict[int, tuple[int, bool]] = {}
        self._building: set[bytes] = set()
        self.differing: set[Felt] = set()
        """Digests of candidates that this node's operations do not give: a fault somewhere, shown by `status`."""
        self._differ: dict[Felt, tuple[Plan, Built]] = {}
        self.difference: Difference | None = None
        """Where the newest of them leaves what this node makes of its cut, by the first word of a member that built it."""

    # -- reading ----------------------------------------------------------------------------------------------

    @property
    def anchoring(self) -> Anchoring | None:
        """Where the context is opened; None before."""
        return self.acceptance.anchoring

    @property
    def address(self) -> ChainAddress | None:
        """The context's public address; None before it is anchored."""
        return None if self.anchoring is None else self.anchoring.address

    @property
    def accepted(self) -> int:
        """The newest k that this node's reader saw accepted."""
        return self.acceptance.accepted

    @property
    def settled(self) -> int:
        """The newest k that is chain-final."""
        return self.acceptance.settled

    @property
    def signed(self) -> int:
        """The newest k that a quorum signed."""
        return self.accepted + (1 if self.certified() is not None else 0)

    @property
    def voter_key(self) -> int:
        """This member's public Stark key in this context."""
        if self._key is None:
            self._key = public_key(self._secret)
        return self._key

    def certificate(self, k: int) -> Certificate | None:
        """What was signed for k; for the next k as soon as a quorum did."""
        if 0 < k <= self.accepted:
            return self.acceptance.history[k].certificate
        return self.certified() if k == self.accepted + 1 else None

    def favourite(self) -> Tally | None:
        """The candidate to be shown again while none is certified: the largest cut, most votes, lowest digest."""
        def size(tally: Tally) -> tuple[int, int, int]:
            held = sum(tally.candidate.cut.vector.values())
            return -held, -len(tally.votes), int(tally.built.digest)

        return None if self.certified() is not None else min(self.tallies.values(), key=size, default=None)

    def certified(self) -> Certificate | None:
        """A candidate for the next k with a quorum of votes; of several the one with the lowest digest."""
        if self.anchoring is None:
            return None
        needed = quorum(len(self.acceptance.head.next_signers))
        ready = sorted(digest for digest, tally in self.tallies.items() if len(tally.votes) >= needed)
        return self._certificate(self.tallies[ready[0]]) if ready else None

    def _certificate(self, tally: Tally) -> Certificate:
        head, statement = self.acceptance.head, tally.built.statement
        changed = statement.next_members != statement.members
        return Certificate(
            head=head.statement, candidate=tally.candidate, digest=tally.built.digest, signers=head.next_signers,
            votes=tuple(merge_votes(tally.votes.values())), append=tally.built.append,
            next_members=tuple(key for _, key in tally.plan.next_signers) if changed else (),
        )  # fmt: skip

    def waits_for(self) -> Iterator[Vector]:
        """Cuts of candidates whose operations are not all here: reason to ask for vectors."""
        return (candidate.cut.vector for candidate in self._pending)

    def other_branches(self) -> Iterator[tuple[ChainId, int, OpId]]:
        """(chain, count, id of its last operation) of forked chains that the next accepted checkpoint holds otherwise."""
        seen = self._observed.get(self.accepted + 1)
        chains, branches = self._replica.chains, self._replica.branches
        for candidate in self._pending if seen is not None else ():
            if seen is None or self.acceptance.contract.digest(candidate.statement) != seen[0]:
                continue
            for chain, count, head in candidate.cut.heads:
                if head in branches or any(chains.differing([(chain, count, head)])):
                    yield chain, count, head

    def lacking(self) -> tuple[int, int] | None:
        """(k, digest) of the next checkpoint, when the chain holds one that is unknown here: to be asked of others."""
        seen = self._observed.get(self.accepted + 1)
        if seen is None or seen[0] in self.tallies:
            return None
        return self.accepted + 1, seen[0]

    # -- candidates -------------------------------------------------------------------------------------------

    def is_voter(self) -> bool:
        """Whether this member signs the next checkpoint. False before the context is anchored."""
        if self.anchoring is None:
            return False
        return any(member == self._replica.member for member, _ in self.acceptance.head.next_signers)

    def has_news(self) -> bool:
        """Whether something closed is in no accepted checkpoint."""
        return self.anchoring is not None and self.acceptance.closed() != self.acceptance.head.cut.vector

    def propose(self, now: int) -> list[Effect]:
        """Build an own candidate from all that is closed. Raises Refused for who is no voter, or has nothing new."""
        acceptance = self.acceptance
        head = acceptance.head
        if not self.is_voter():
            raise Refused(
                "this member is no voter of the context", code="not_a_voter", advice="ask a voter to propose"
            )
        if not self.has_news():
            raise Refused(
                "nothing is new since the last checkpoint", code="nothing_new", advice="write something first"
            )
        cut = acceptance.cut(acceptance.closed())
        name = blake2b(repr(cut.heads).encode())
        if not acceptance.is_closed(cut) or not self._counted(now, self._replica.member, name, cut):
            return []
        plan = acceptance.plan(cut, max(now // 1000 - BEHIND_S, head.statement.not_before))
        return [Evaluate(self._replica.context, plan)]

    def _counted(self, now: int, proposer: MemberId, name: bytes, cut: Cut, spare: int = 0) -> bool:
        """Count a candidate that is new, if its proposer has one left. What a fork spoilt costs the proposer none.

        Others judge with one to `spare`: their clocks began with another candidate.
        """
        if not self._proposed:
            self._proposing_since = now
        seen = self._proposed.setdefault(proposer, {})
        sound = sum(not self.acceptance.is_forked(known) for known in seen.values())
        left = MAX_CANDIDATES + spare + max(now - self._proposing_since, 0) // RENEW_MS - sound
        if name in seen or left <= 0 or len(seen) >= MAX_SPOILT:
            return False
        seen[name] = cut
        return True

    def turn(self, now: int, waiting_since: int) -> bool:
        """Whether it is this voter's turn to propose; `waiting_since` (ms) something was new. Staggered by hash(k, voter)."""
        if not self.is_voter() or self.certified() is not None:
            return False
        number = (self.accepted + 1).to_bytes(8, "big")
        members = [member for member, _ in self.acceptance.head.next_signers]
        order = sorted(members, key=lambda member: blake2b(b"medsync/turn/1", number, member))
        return now - waiting_since >= order.index(self._replica.member) * STAGGER_MS

    def take_candidate(self, now: int, proposer: MemberId | None, candidate: Candidate) -> list[Effect]:
        """Judge another voter's candidate. `proposer` None: one that a certificate carries, or the journal."""
        k = candidate.statement.k
        if self.anchoring is None or k <= self.accepted:
            return []
        if k > self.accepted + 1:
            if len(self._early) < MAX_EARLY:
                self._early.append((proposer, candidate))
            return []
        if proposer is not None:
            if all(proposer != member for member, _ in self.acceptance.head.next_signers):
                return []
            if not self._counted(now, proposer, blake2b(candidate.encode()), candidate.cut, spare=1):
                return []
        if candidate not in self._pending:
            self._pending.append(candidate)
        return self.retry(now)

    def retry(self, now: int) -> list[Effect]:
        """Build what was waiting for operations that are here now, or for the checkpoint before it."""
        effects: list[Effect] = []
        early, self._early = self._early, []
        for proposer, candidate in early:
            effects += self.take_candidate(now, proposer, candidate)
        waiting, self._pending = self._pending, []
        for candidate in waiting:
            if candidate.statement.k != self.accepted + 1:
                continue
            due = candidate.statement.not_before <= now // 1000 + MAX_EARLY_S
            if due and self.acceptance.holds(candidate.cut):
                effects += self._evaluate(candidate)
            else:
                self._pending.append(candidate)
        return effects

    def _evaluate(self, candidate: Candidate) -> list[Effect]:
        name = blake2b(candidate.encode())
        digest = self.acceptance.contract.digest(candidate.statement)
        if name in self._building or digest in self.tallies or digest in self.differing:
            return []
        accepted = self._observed.get(candidate.statement.k, (0, False))[0] == digest
        if not accepted and not self.acceptance.is_closed(candidate.cut):
            return []  # what the chain accepted before this node knew of a fork below it is accepted all the same
        self._building.add(name)
        plan = self.acceptance.plan(candidate.cut, candidate.statement.not_before, candidate)
        return [Evaluate(self._replica.context, plan)]

    # -- votes ------------------------------------------------------------------------------------------------

    def built(self, plan: Plan, built: Built) -> Outcome:
        """A plan was hashed: count it, vote for it, or say that it differs."""
        context = self._replica.context
        candidate = plan.expected or Candidate(cut=plan.cut, statement=built.statement)
        self._building.discard(blake2b(candidate.encode()))
        if plan.head != self.acceptance.head.statement:
            return Outcome([])  # another checkpoint was accepted meanwhile
        if candidate.statement != built.statement:
            digest = self.acceptance.contract.digest(candidate.statement)
            self.differing.add(digest)
            if len(self._differ) < MAX_KEPT:
                self._differ[digest] = (plan, built)
            return Outcome([Notify("candidate_differs", context, (("k", candidate.statement.k),))], differs=digest)
        tally = self.tallies.setdefault(built.digest, Tally(candidate, plan, built))
        for _, stray in self._stray.pop(built.digest, []):
            self._count(tally, stray)
        vote = self._vote(tally)
        key = built.statement.k.to_bytes(8, "big") + felt_bytes(built.digest)
        effects: list[Effect] = [
            Persist((ValueRecord("candidate", context, key, candidate.encode()),), True),
            *self._signed(tally, vote),
            *self._adopt_observed(),
        ]
        return Outcome(effects, candidate if plan.expected is None else None, built.digest, vote)

    def account(self, digest: Felt) -> Account | None:
        """What this node makes of a candidate that it built and that agrees."""
        tally = self.tallies.get(digest)
        return None if tally is None else account_of(tally.plan, tally.built)

    def take_account(self, digest: Felt, account: Account, member: MemberId) -> list[Effect]:
        """A member says what it makes of a candidate that differs here: name the first operation, once."""
        kept = self._differ.get(digest)
        found = None if kept is None else first_difference(*kept, account, member)
        if found is None:
            return []
        del self._differ[digest]
        self.difference = found
        return [Notify("difference", self._replica.context, (("k", found.k), ("first", found.told())))]

    def _vote(self, tally: Tally) -> Vote | None:
        """This member's vote, if it is a voter and the cut leaves out nothing that it must contain."""
        head, below, closed = self.acceptance.head, tally.candidate.cut.vector, self.acceptance.closed()
        obliged = {chain: min(count, closed.get(chain, 0)) for chain, count in head.obliged.items()}
        if any(below.get(chain, 0) < count for chain, count in obliged.items()):  # short of forks found since
            return None
        members = [key for _, key in head.next_signers]
        if not self.acceptance.is_closed(tally.candidate.cut):
            return None
        if self.voter_key not in members or self._replica.fold.rules() is None:
            return None  # no voter, or the voters chose a membership policy that this node hasn't: it can't judge
        return cast_vote(tally.built.digest, members, self._secret)

    def take_vote(self, k: int, digest: Felt, vote: Vote) -> list[Effect]:
        """Count a vote. Raises AnchorRefusal for a false one; one for an unknown candidate waits for it."""
        if self.anchoring is None:
            return []
        if k <= self.accepted:
            return self.acceptance.take_vote(k, digest, vote)
        tally = self.tallies.get(digest)
        if tally is None:
            if sum(map(len, self._stray.values())) < MAX_STRAY_VOTES:
                self._stray.setdefault(digest, []).append((k, vote))
            return []
        if vote.index in tally.votes:
            return []
        verify_vote(digest, [key for _, key in self.acceptance.head.next_signers], vote)
        return self._signed(tally, vote)

    def _count(self, tally: Tally, vote: Vote) -> None:
        members = [key for _, key in self.acceptance.head.next_signers]
        try:
            verify_vote(tally.built.digest, members, vote)
        except AnchorRefusal:
            return
        tally.votes.setdefault(vote.index, vote)

    def _signed(self, tally: Tally, vote: Vote | None) -> list[Effect]:
        if vote is not None:
            tally.votes.setdefault(vote.index, vote)
        if len(tally.votes) < quorum(len(self.acceptance.head.next_signers)):
            return []
        fields = (("k", tally.candidate.statement.k), ("digest", hex(tally.built.digest)))
        return [Notify("signed", self._replica.context, fields)]

    # -- what the chain says ----------------------------------------------------------------------------------

    def observe(self, k: int, digest: int, settled: bool) -> list[Effect]:
        """The node's own reader saw this digest at k (0: none any more); `settled`: it can't vanish again."""
        if self.anchoring is None or k < 1:
            return []
        effects: list[Effect] = []
        if k <= self.accepted:
            if self.acceptance.history[k].digest == digest:
                return self.acceptance.settle(k) if settled and k > self.settled else []
            gone = [accepted.certificate for accepted in self.acceptance.history[k:]]
            effects += self.acceptance.retract(k)
            effects += self._forget()
            for certificate in gone:
                if certificate is not None:
                    self._remember(certificate)
        if not digest:
            self._observed.pop(k, None)
            return effects
        self._observed[k] = (digest, settled)
        return [*effects, *self._adopt_observed()]

    def _remember(self, certificate: Certificate) -> None:
        """Its block vanished: it may be posted again, and perhaps nobody else keeps it."""
        if len(self._early) < MAX_EARLY:
            self._early.append((None, certificate.candidate))
        strays = ((certificate.candidate.statement.k, vote) for vote in certificate.votes)
        self._stray.setdefault(certificate.digest, []).extend(strays)

    def _adopt_observed(self) -> list[Effect]:
        effects: list[Effect] = []
        while (seen := self._observed.get(self.accepted + 1)) is not None:
            digest, settled = seen
            tally = self.tallies.get(Felt(digest))
            if tally is None:
                break
            del self._observed[self.accepted + 1]
            effects += self.acceptance.adopt(self._certificate(tally), tally.plan, tally.built)
            effects += self._forget()
            if settled:
                effects += self.acceptance.settle(self.accepted)
        return effects

    def _forget(self) -> list[Effect]:
        """Candidates are for one k only."""
        context = self._replica.context
        keys = [
            tally.candidate.statement.k.to_bytes(8, "big") + felt_bytes(d) for d, tally in self.tallies.items()
        ]
        self.tallies, self._building, self._proposed, self._differ = {}, set(), {}, {}
        waiting = ((d, [(k, v) for k, v in votes if k > self.accepted]) for d, votes in self._stray.items())
        self._stray = {digest: votes for digest, votes in waiting if votes}
        records = tuple(ValueRecord("candidate", context, key, None) for key in keys)
        return [Persist(records, False)] if records else []

    # -- restart ----------------------------------------------------------------------------------------------

    def replay(self, record: ValueRecord) -> None:
        """Keep what the journal holds of this until `restored`."""
        if record.table == "candidate" and record.value is not None:
            self._stored.append(Candidate.decode(record.value))
        else:
            self.acceptance.replay(record)

    def restored(self, now: int) -> list[Effect]:
        """After the last record: history and frozen verdicts, and candidates that this node had built."""
        effects = self.acceptance.restored()
        stored, self._stored = self._stored, []
        for candidate in stored:
            effects += self.take_candidate(now, None, candidate)
        return effects
