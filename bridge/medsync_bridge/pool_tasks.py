"""What is brought about on a reward pool: it exists, holds so much, has paid so much. Sending is `sending.py`'s.

Each errand wants a state and no step, so that repeating one after a crash pays nothing twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starknet_py.hash.selector import get_selector_from_name
from starknet_py.net.client_models import Call

from medsync_bridge.account import Invocation
from medsync_bridge.chain import Chain
from medsync_protocol import reward_calldata
from medsync_protocol.reward_calldata import PendingView, PoolView
from medsync_protocol.reward_pool import Pool
from medsync_protocol.reward_pool_abi import ENTRY_POINTS
from medsync_protocol.rewards import PayProof, Subtree
from medsync_protocol.statement import Statement, Vote

_APPROVE: Final = get_selector_from_name("approve")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolAddress:
    """A pool by its contract and its name there."""

    contract: int
    pool: int

    async def view(self, chain: Chain) -> PoolView:
        """Its state. Raises CallReverted, Malformed."""
        felts = await chain.call(self.contract, "pool", reward_calldata.pool(self.pool))
        return reward_calldata.read_pool(felts)

    async def pending(self, chain: Chain) -> PendingView:
        """The root that waits. Raises CallReverted, Malformed."""
        felts = await chain.call(self.contract, "pending", reward_calldata.pool(self.pool))
        return reward_calldata.read_pending(felts)

    async def claimed(self, chain: Chain, payee: int) -> int:
        """What the payee was paid so far. Raises CallReverted."""
        felts = await chain.call(self.contract, "claimed", reward_calldata.claimed(self.pool, payee))
        return felts[0]

    async def anchor(self, chain: Chain) -> int:
        """The anchor whose statements the contract believes. Raises CallReverted."""
        return (await chain.call(self.contract, "anchor", []))[0]

    def call(self, function: str, felts: list[int]) -> Call:
        """One call of the contract."""
        return Call(to_addr=self.contract, selector=ENTRY_POINTS[function], calldata=felts)


@dataclass(frozen=True, kw_only=True)
class CreatePool:
    """A pool with these terms, at its contract."""

    model: Pool

    @property
    def at(self) -> PoolAddress:
        """Where it will be."""
        return PoolAddress(contract=self.model.contract, pool=self.model.id)

    @property
    def name(self) -> str:
        """One for each pool."""
        return f"pool {self.model.contract:#x} {self.model.id:#x}"

    @property
    def want(self) -> int:
        """The pool's name."""
        return self.model.id

    @property
    def draft(self) -> Invocation:
        """One call."""
        terms = self.model.terms
        felts = reward_calldata.create_pool(
            context=terms.context, token=terms.token, window=terms.window, salt=terms.salt
        )
        return Invocation(calls=(self.at.call("create_pool", felts),))

    async def look(self, chain: Chain) -> int:
        """The name once there is a pool of it."""
        return self.model.id if (await self.at.view(chain)).token else 0


@dataclass(frozen=True, kw_only=True)
class FundPool:
    """A pool into which `target` was deposited altogether, less what was swept; `missing` is what is sent for it."""

    at: PoolAddress
    token: int
    target: int
    missing: int

    @property
    def name(self) -> str:
        """One for each pool and target."""
        return f"fund {self.at.contract:#x} {self.at.pool:#x} {self.target}"

    @property
    def want(self) -> int:
        """The target."""
        return self.target

    @property
    def draft(self) -> Invocation:
        """Approval and deposit, both or neither."""
        approval = Call(to_addr=self.token, selector=_APPROVE, calldata=[self.at.contract, self.missing, 0])
        deposit = self.at.call("deposit", reward_calldata.deposit(self.at.pool, self.missing))
        return Invocation(calls=(approval, deposit))

    async def look(self, chain: Chain) -> int:
        """The target once the pool holds that much or more."""
        return self.target if (await self.at.view(chain)).deposited >= self.target else 0


@dataclass(frozen=True, kw_only=True)
class ProposeRoot:
    """An accepted statement's root, proposed; or a later one."""

    at: PoolAddress
    statement: Statement
    root: Subtree

    @property
    def name(self) -> str:
        """One for each pool and k."""
        return f"propose {self.at.contract:#x} {self.at.pool:#x} {self.statement.k}"

    @property
    def want(self) -> int:
        """The statement's k."""
        return self.statement.k

    @property
    def draft(self) -> Invocation:
        """One call."""
        felts = reward_calldata.propose(self.at.pool, self.statement, self.root)
        return Invocation(calls=(self.at.call("propose", felts),))

    async def look(self, chain: Chain) -> int:
        """k once it, or a later one, was proposed."""
        return self.want if (await self.at.view(chain)).last_k >= self.want else 0


@dataclass(frozen=True, kw_only=True)
class ActivateRoot:
    """The root that was pending at k, active."""

    at: PoolAddress
    k: int
    root: Subtree

    @property
    def name(self) -> str:
        """One for each pool and k."""
        return f"activate {self.at.contract:#x} {self.at.pool:#x} {self.k}"

    @property
    def want(self) -> int:
        """The k."""
        return self.k

    @property
    def draft(self) -> Invocation:
        """One call."""
        return Invocation(calls=(self.at.call("activate", reward_calldata.activate(self.at.pool)),))

    async def look(self, chain: Chain) -> int:
        """k once nothing waits at it and its root is the active one."""
        waits = (await self.at.pending(chain)).k == self.k
        return self.want if not waits and (await self.at.view(chain)).active == self.root else 0


@dataclass(frozen=True, kw_only=True)
class VetoRoot:
    """The root that was pending at k, dropped by votes of the list that signed its statement."""

    at: PoolAddress
    k: int
    members: tuple[int, ...]
    votes: tuple[Vote, ...]

    @property
    def name(self) -> str:
        """One for each pool and k."""
        return f"veto {self.at.contract:#x} {self.at.pool:#x} {self.k}"

    @property
    def want(self) -> int:
        """The k."""
        return self.k

    @property
    def draft(self) -> Invocation:
        """One call."""
        felts = reward_calldata.veto(self.at.pool, self.members, self.votes)
        return Invocation(calls=(self.at.call("veto", felts),))

    async def look(self, chain: Chain) -> int:
        """k once nothing waits at it any more."""
        return 0 if (await self.at.pending(chain)).k == self.k else self.want


@dataclass(frozen=True, kw_only=True)
class SweepPool:
    """`amount` taken out to `to`, after `swept` before it, by votes of the list that the context's head names next."""

    at: PoolAddress
    to: int
    amount: int
    swept: int
    statement: Statement
    members: tuple[int, ...]
    votes: tuple[Vote, ...]

    @property
    def name(self) -> str:
        """One for each pool and total."""
        return f"sweep {self.at.contract:#x} {self.at.pool:#x} {self.want}"

    @property
    def want(self) -> int:
        """What is swept altogether then."""
        return self.swept + self.amount

    @property
    def draft(self) -> Invocation:
        """One call."""
        felts = reward_calldata.sweep(
            self.at.pool, to=self.to, amount=self.amount, statement=self.statement, members=self.members,
            votes=self.votes,
        )  # fmt: skip
        return Invocation(calls=(self.at.call("sweep", felts),))

    async def look(self, chain: Chain) -> int:
        """The total once that much was swept, or more."""
        return self.want if (await self.at.view(chain)).swept_total >= self.want else 0


@dataclass(frozen=True, kw_only=True)
class PayClaim:
    """A payee paid up to what the active tree says, by a claim that the payee has signed."""

    at: PoolAddress
    proof: PayProof
    recipient: int
    deadline: int
    signature: tuple[int, int]

    @property
    def name(self) -> str:
        """One for each pool, payee and amount."""
        return f"claim {self.at.contract:#x} {self.at.pool:#x} {self.proof.payee:#x} {self.proof.cumulative}"

    @property
    def want(self) -> int:
        """The cumulative amount."""
        return self.proof.cumulative

    @property
    def draft(self) -> Invocation:
        """One call."""
        felts = reward_calldata.claim(
            self.at.pool, self.proof, recipient=self.recipient, deadline=self.deadline,
            signature=self.signature,
        )  # fmt: skip
        return Invocation(calls=(self.at.call("claim", felts),))

    async def look(self, chain: Chain) -> int:
        """The amount once that much was paid, or more."""
        return self.want if await self.at.claimed(chain, self.proof.payee) >= self.want else 0
