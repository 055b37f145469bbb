"""An anchored context to play with: a committee with known keys, a log, a head, and proposals to post or to spoil."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from medsync_protocol import calldata, stark
from medsync_protocol.log import Log
from medsync_protocol.statement import (
    Statement,
    Vote,
    cast_vote,
    context_hash,
    majority,
    members_hash,
    opening_digest,
    opening_statement,
    quorum,
)
from medsync_protocol.transition import MIN_RECOVERY_DELAY, Anchor, AppendProof
from tests.contracts.stage import CHAIN_ID, Answer, Stage

CONTRACT = 0xA11C0
GENESIS = bytes(range(32))


class Committee:
    """Voters with known secrets, in the order of their keys."""

    def __init__(self, size: int, first: int = 1) -> None:
        secrets = {stark.public_key(secret): secret for secret in range(first, first + size)}
        self.keys = sorted(secrets)
        self.secrets = [secrets[key] for key in self.keys]

    def sign(self, digest: int, voters: Sequence[int]) -> list[Vote]:
        return [cast_vote(digest, self.keys, self.secrets[index]) for index in voters]

    @property
    def hash(self) -> int:
        return members_hash(self.keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Arguments of `post_checkpoint`, or of `propose_recovery`, which takes fewer."""

    head: Statement
    following: Statement
    members: Sequence[int]
    votes: Sequence[Vote]
    append: AppendProof
    next_members: Sequence[int] = ()
    evidence: Sequence[int] = ()

    def but(self, **changes: Any) -> Self:
        return replace(self, **changes)

    def calldata(self) -> list[int]:
        return calldata.post_checkpoint(
            head=self.head, following=self.following, members=self.members, votes=self.votes,
            append=self.append, next_members=self.next_members, evidence=self.evidence,
        )  # fmt: skip

    def recovery_calldata(self) -> list[int]:
        return calldata.propose_recovery(
            head=self.head, following=self.following, members=self.members, votes=self.votes,
            next_members=self.next_members,
        )  # fmt: skip


@dataclass(slots=True, kw_only=True)
class Anchored:
    """A context on an anchor, and what its members hold. `stage` is a Stage or a LocalChain."""

    stage: Any = field(default_factory=Stage)
    contract: int = CONTRACT
    committee: Committee = field(default_factory=lambda: Committee(4))
    founder: int = 1
    genesis: bytes = GENESIS
    verifier: int = 0
    recovery_delay: int = MIN_RECOVERY_DELAY
    log: Log = field(default_factory=Log)
    head: Statement = field(init=False)

    def __post_init__(self) -> None:
        if isinstance(self.stage, Stage) and not self.stage.state.class_at(self.contract):
            self.stage.deploy("anchor", self.contract)
        self.head = opening_statement(self.context, self.committee.keys)

    @property
    def anchor(self) -> Anchor:
        return Anchor(chain_id=self.stage.chain_id, contract=self.contract)

    @property
    def context(self) -> int:
        return context_hash(stark.public_key(self.founder), self.genesis)

    def open(self, **changes: Any) -> Answer:
        """Opens the context; `changes` replace arguments after the founder signed the proper ones."""
        signed = opening_digest(
            chain_id=self.stage.chain_id, contract=self.contract, context=self.context, members=self.committee.hash,
            verifier=self.verifier, recovery_delay=self.recovery_delay,
        )  # fmt: skip
        proper: dict[str, Any] = {
            "founder": stark.public_key(self.founder), "genesis_digest": self.genesis,
            "members": self.committee.keys, "verifier": self.verifier, "recovery_delay": self.recovery_delay,
            "signature": stark.sign(signed, self.founder),
        }  # fmt: skip
        return self._call(self.contract, "open_context", calldata.open_context(**{**proper, **changes}))

    def propose(
        self, leaves: Sequence[int] = (11, 12, 13), following: Committee | None = None, **changes: Any
    ) -> Proposal:
        """The next checkpoint with these leaves, signed by a quorum; `changes` go into the statement first."""
        old = self.log.size
        self.log.append(leaves)
        statement = self._statement(following, log_size=self.log.size, log_root=self.log.root(), **changes)
        append = AppendProof(old_peaks=tuple(self.log.peaks(old)), nodes=tuple(self.log.append_proof(old)))
        self.log.truncate(old)
        return self._signed(statement, following, append, quorum(len(self.committee.keys)))

    def propose_recovery(self, following: Committee, **changes: Any) -> Proposal:
        """A recovery to the list `following`, signed by a majority."""
        statement = self._statement(following, **changes)
        empty = AppendProof(old_peaks=(), nodes=())
        return self._signed(statement, following, empty, majority(len(self.committee.keys)))

    def _statement(self, following: Committee | None, **changes: Any) -> Statement:
        proper = {
            "k": self.head.k + 1, "prev": self.anchor.digest(self.head), "members": self.head.next_members,
            "next_members": (following or self.committee).hash,
        }  # fmt: skip
        return replace(self.head, **{**proper, **changes})

    def _signed(
        self, statement: Statement, following: Committee | None, append: AppendProof, voters: int
    ) -> Proposal:
        return Proposal(
            head=self.head, following=statement, members=self.committee.keys, append=append,
            votes=self.committee.sign(self.anchor.digest(statement), range(voters)),
            next_members=following.keys if following else (),
        )  # fmt: skip

    def resigned(self, proposal: Proposal, **changes: Any) -> Proposal:
        """The proposal with its statement changed, and signed as changed."""
        statement = replace(proposal.following, **changes)
        voters = [vote.index for vote in proposal.votes if vote.index < len(self.committee.keys)]
        return proposal.but(
            following=statement, votes=self.committee.sign(self.anchor.digest(statement), voters)
        )

    def post(self, proposal: Proposal) -> Answer:
        return self._call(self.contract, "post_checkpoint", proposal.calldata())

    def advance(
        self, leaves: Sequence[int] = (11, 12, 13), following: Committee | None = None, **changes: Any
    ) -> Proposal:
        """Proposes and posts; the members then hold the new head."""
        proposal = self.propose(leaves, following, **changes)
        assert self.post(proposal).data == [1]
        self.log.append(leaves)
        self.head = proposal.following
        self.committee = following or self.committee
        return proposal

    def recover(self, proposal: Proposal) -> Answer:
        return self._call(self.contract, "propose_recovery", proposal.recovery_calldata())

    def execute(self, statement: Statement) -> Answer:
        return self._call(self.contract, "execute_recovery", calldata.execute_recovery(statement))

    def _call(self, contract: int, function: str, arguments: Sequence[int]) -> Answer:
        answer: Answer = self.stage.call(contract, function, arguments)
        return answer

    def view(self, function: str, arguments: Sequence[int]) -> list[int]:
        return self._call(self.contract, function, arguments).data

    def stored_head(self) -> tuple[int, int]:
        k, digest = self.view("head", calldata.head(self.context))
        return k, digest


def opened(**changes: Any) -> Anchored:
    """A context of four, opened."""
    anchored = Anchored(**changes)
    anchored.open()
    return anchored


__all__ = ["CHAIN_ID", "CONTRACT", "GENESIS", "Anchored", "Committee", "Proposal", "opened"]
