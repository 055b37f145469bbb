"""A reward pool on an anchored context to play with: a token, payees with known secrets, roots to propose or to spoil.

Every step is taken in the contract and in the Python model of it, and both must agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from medsync_protocol import reward_calldata, stark
from medsync_protocol.reward_pool import Pool, PoolReason, PoolRefusal, Terms, veto_size
from medsync_protocol.rewards import PayProof, PayTree, Subtree, reward_root
from medsync_protocol.statement import Statement, Vote, quorum
from tests.contracts.anchored import CONTRACT, Anchored, opened
from tests.contracts.stage import CALLER, Answer, Reverted

POOLS, TOKEN, ODD = 0xB001, 0x70CE, 0x0DD
WINDOW = 3 * 86_400
PURSE = 10**30  # what the depositor has
SECRETS = {name: 1_000 + number for number, name in enumerate("ABCDEFGH")}
PAYEES = {name: stark.public_key(secret) for name, secret in SECRETS.items()}
RECIPIENT = 0x5EE1
FAR = 2**40  # a deadline


@dataclass(slots=True, kw_only=True)
class Pooled:
    """One pool. `model` is what Python takes its state to be."""

    anchored: Anchored = field(default_factory=opened)
    token: int = TOKEN
    salt: int = 0
    model: Pool = field(init=False)

    def __post_init__(self) -> None:
        stage = self.anchored.stage
        if not stage.state.class_at(POOLS):
            stage.deploy("reward_pool", POOLS, [CONTRACT])
            stage.deploy("token", TOKEN, [0x54, 0x54, 18, PURSE, 0, CALLER])
            stage.deploy("odd_token", ODD)
            self.token_call("approve", POOLS, 2**128 - 1, 2**128 - 1)
        self.model = Pool(
            chain_id=stage.chain_id, contract=POOLS, anchor=CONTRACT,
            terms=Terms(context=self.anchored.context, token=self.token, window=WINDOW, salt=self.salt),
        )  # fmt: skip

    @property
    def id(self) -> int:
        return self.model.id

    @property
    def now(self) -> int:
        time: int = self.anchored.stage.time
        return time

    def pass_time(self, seconds: int = WINDOW) -> None:
        self.anchored.stage.time += seconds

    def token_call(self, function: str, *arguments: int) -> list[int]:
        answer: Answer = self.anchored.stage.call(TOKEN, function, arguments)
        return answer.data

    def call(self, function: str, arguments: Sequence[int], caller: int = CALLER) -> Answer:
        answer: Answer = self.anchored.stage.call(POOLS, function, arguments, caller=caller)
        return answer

    def balance_of(self, holder: int) -> int:
        return self.token_call("balance_of", holder)[0]

    def create(self) -> Pooled:
        terms = self.model.terms
        arguments = reward_calldata.create_pool(
            context=terms.context, token=terms.token, window=terms.window, salt=terms.salt
        )
        assert self.call("create_pool", arguments).data == [self.id]
        return self

    def deposit(self, amount: int, arrives: int | None = None) -> Answer:
        return self._both(
            lambda: self.call("deposit", reward_calldata.deposit(self.id, amount)),
            lambda: self.model.deposit(amount if arrives is None else arrives),
        )

    # -- roots --------------------------------------------------------------------------------------------------

    def anchor_root(self, root: Subtree, **changes: Any) -> Statement:
        """An accepted statement that carries this root."""
        proposal = self.anchored.advance([7], **{"reward_root": reward_root(self.id, root), **changes})
        return proposal.following

    def stored(self, k: int) -> int:
        return self.anchored.view("checkpoint", [self.anchored.context, k])[0]

    def propose(self, statement: Statement, root: Subtree) -> Answer:
        return self._both(
            lambda: self.call("propose", reward_calldata.propose(self.id, statement, root)),
            lambda: self.model.propose(statement, root, anchored=self.stored(statement.k), now=self.now),
        )

    def veto(self, voters: Sequence[int] | None = None, members: Sequence[int] | None = None) -> Answer:
        committee = self.anchored.committee
        chosen = range(veto_size(len(committee.keys))) if voters is None else voters
        votes = committee.sign(self.model.veto_digest(), chosen) if self.model.pending else []
        return self.veto_with(votes, members)

    def veto_with(self, votes: Sequence[Vote], members: Sequence[int] | None = None) -> Answer:
        listed = self.anchored.committee.keys if members is None else members
        return self._both(
            lambda: self.call("veto", reward_calldata.veto(self.id, listed, votes)),
            lambda: self.model.veto(listed, votes, now=self.now),
        )

    def activate(self) -> Answer:
        return self._both(
            lambda: self.call("activate", reward_calldata.activate(self.id)),
            lambda: self.model.activate(now=self.now),
        )

    def run(self, earned: Mapping[str, int]) -> PayTree:
        """A whole period: anchored, proposed, unopposed, active."""
        tree = tree_of(earned)
        self.propose(self.anchor_root(tree.root), tree.root)
        self.pass_time()
        self.activate()
        return tree

    # -- out ----------------------------------------------------------------------------------------------------

    def claim(
        self,
        proof: PayProof,
        *,
        secret: int | None = None,
        signature: tuple[int, int] | None = None,
        recipient: int = RECIPIENT,
        deadline: int = FAR,
        caller: int = CALLER,
    ) -> Answer:
        """Signed by the payee unless told otherwise."""
        if signature is None:
            known: dict[int, int] = {PAYEES[name]: SECRETS[name] for name in PAYEES}
            signed = self.model.claim_of(proof, recipient=recipient, deadline=deadline)
            signature = signed.sign(secret or known[proof.payee])
        arguments = reward_calldata.claim(
            self.id, proof, recipient=recipient, deadline=deadline, signature=signature
        )
        return self._both(
            lambda: self.call("claim", arguments, caller),
            lambda: self.model.claim(
                proof, recipient=recipient, deadline=deadline, signature=signature, now=self.now
            )[0],
        )

    def sweep(
        self, amount: int, *, votes: Sequence[Vote] | None = None, to: int = RECIPIENT, **changes: Any
    ) -> Answer:
        """By a quorum of the current list; `changes` go into the statement shown."""
        committee = self.anchored.committee
        if votes is None:
            votes = committee.sign(self.model.sweep_digest(to, amount), range(quorum(len(committee.keys))))
        members = changes.pop("members_shown", committee.keys)
        statement = replace(self.anchored.head, **changes)
        return self._both(
            lambda: self.call(
                "sweep",
                reward_calldata.sweep(
                    self.id, to=to, amount=amount, statement=statement, members=members, votes=votes
                ),
            ),
            lambda: self.model.sweep(
                to, amount, statement, members, votes, anchored=self.stored(self.anchored.head.k)
            ),
        )

    # -- both -----------------------------------------------------------------------------------------------------

    def _both(self, cairo: Callable[[], Answer], python: Callable[[], Pool]) -> Answer:
        """The contract's answer, or its Reverted; the model says the same and then holds the same."""
        expected: Pool | PoolReason
        try:
            expected = python()
        except PoolRefusal as refusal:
            expected = refusal.reason
        try:
            answer = cairo()
        except Reverted as refusal:
            assert expected == refusal.reason, (expected, refusal.reason)
            self.compare()
            raise
        assert isinstance(expected, Pool), (expected, answer)
        self.model = expected
        self.compare()
        return answer

    def compare(self) -> None:
        """What the contract stores is what the model holds."""
        model = self.model
        view = reward_calldata.read_pool(self.call("pool", reward_calldata.pool(self.id)).data)
        if view.token:
            assert (view.context, view.token, view.window) == (
                model.terms.context, model.terms.token, model.terms.window,
            )  # fmt: skip
        assert (view.deposited, view.claimed_total, view.swept_total, view.last_k, view.active) == (
            model.deposited, model.claimed_total, model.swept_total, model.last_k, model.active,
        )  # fmt: skip
        waiting = reward_calldata.read_pending(self.call("pending", reward_calldata.pool(self.id)).data)
        if model.pending is None:
            assert waiting.k == 0
        else:
            assert (waiting.k, waiting.members, waiting.root, waiting.ready_at) == (
                model.pending.k, model.pending.members, model.pending.root, model.pending.ready_at,
            )  # fmt: skip
        for payee, paid in model.claimed:
            assert self.call("claimed", reward_calldata.claimed(self.id, payee)).data == [paid]


def tree_of(earned: Mapping[str, int]) -> PayTree:
    """A pay tree by the payees' letters."""
    return PayTree({PAYEES[name]: amount for name, amount in earned.items()})


def pooled(deposit: int = 0, **changes: Any) -> Pooled:
    """A pool that exists, with a deposit."""
    made = Pooled(**changes).create()
    if deposit:
        made.deposit(deposit)
    return made
