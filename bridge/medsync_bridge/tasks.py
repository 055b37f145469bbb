"""What the bridge brings about on chain for checkpoints: what to send, and how the chain's state says that it is done.

Sending until the state says so is `sending.py`'s; reward pools are `pool_tasks.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol

from starknet_py.constants import DEFAULT_DEPLOYER_ADDRESS
from starknet_py.hash.address import compute_address
from starknet_py.hash.utils import pedersen_hash
from starknet_py.net.client_models import Call

from medsync_bridge.account import Declaration, Draft, Invocation
from medsync_bridge.chain import Chain
from medsync_bridge.released import Released
from medsync_protocol import calldata
from medsync_protocol.anchor_abi import ENTRY_POINTS
from medsync_protocol.statement import Statement, Vote, opening_statement
from medsync_protocol.transition import Anchor, AppendProof

UNIVERSAL_DEPLOYER: Final = int(DEFAULT_DEPLOYER_ADDRESS, 16)
_DEPLOY: Final = 0x1987CBD17808B9A23693D4DE7E246A443CFE37E6E7FBAEABD7D7E6532B07C3D  # deployContract


class Task(Protocol):
    """One thing to bring about. `name` names it in the journal; `want` is what the chain holds once it is done."""

    @property
    def name(self) -> str:
        """The errand's name."""
        ...

    @property
    def want(self) -> int:
        """A digest or a class hash."""
        ...

    @property
    def draft(self) -> Draft:
        """The transaction."""
        ...

    async def look(self, chain: Chain) -> int:
        """What the chain holds now, 0 for nothing."""
        ...


@dataclass(frozen=True, kw_only=True)
class PostCheckpoint:
    """A certified checkpoint, as `post_checkpoint` takes it."""

    anchor: Anchor
    head: Statement
    following: Statement
    members: tuple[int, ...]
    votes: tuple[Vote, ...]
    append: AppendProof
    next_members: tuple[int, ...]

    @property
    def name(self) -> str:
        """One for each (contract, context, k)."""
        return checkpoint_name(self.anchor.contract, self.following.context, self.following.k)

    @cached_property
    def want(self) -> int:
        """The statement's digest."""
        return self.anchor.digest(self.following)

    @property
    def draft(self) -> Invocation:
        """One call."""
        felts = calldata.post_checkpoint(
            head=self.head, following=self.following, members=self.members, votes=self.votes,
            append=self.append, next_members=self.next_members,
        )  # fmt: skip
        return _call(self.anchor.contract, "post_checkpoint", felts)

    async def look(self, chain: Chain) -> int:
        """The digest accepted at k."""
        return await chain.checkpoint(self.anchor.contract, self.following.context, self.following.k)


@dataclass(frozen=True, kw_only=True)
class OpenContext:
    """A context's opening, signed by its founder."""

    anchor: Anchor
    context: int
    founder: int
    genesis: bytes
    members: tuple[int, ...]
    verifier: int
    recovery_delay: int
    signature: tuple[int, int]

    @property
    def name(self) -> str:
        """One for each (contract, context)."""
        return f"open {self.anchor.contract:#x} {self.context:#x}"

    @cached_property
    def want(self) -> int:
        """The digest of statement 0, which the contract makes itself."""
        return self.anchor.digest(opening_statement(self.context, self.members))

    @property
    def draft(self) -> Invocation:
        """One call."""
        felts = calldata.open_context(
            founder=self.founder, genesis_digest=self.genesis, members=self.members, verifier=self.verifier,
            recovery_delay=self.recovery_delay, signature=self.signature,
        )  # fmt: skip
        return _call(self.anchor.contract, "open_context", felts)

    async def look(self, chain: Chain) -> int:
        """The digest at 0."""
        return await chain.checkpoint(self.anchor.contract, self.context, 0)


@dataclass(frozen=True, kw_only=True)
class DeclareClass:
    """A released class, made known to a chain."""

    released: Released
    starknet_version: str

    @property
    def name(self) -> str:
        """One for each class."""
        return f"declare {self.want:#x}"

    @property
    def want(self) -> int:
        """The class hash."""
        return self.released.class_hash

    @property
    def draft(self) -> Declaration:
        """The class with the hash of its compiled form that this version of Starknet asks for."""
        return Declaration(
            sierra=self.released.sierra(),
            compiled_class_hash=self.released.compiled_class_hash(self.starknet_version),
        )

    async def look(self, chain: Chain) -> int:
        """The class hash once it is declared."""
        return self.want if await chain.is_declared(self.want) else 0


@dataclass(frozen=True, kw_only=True)
class DeployContract:
    """A contract of a class, deployed by the Universal Deployer at an address that is ours alone."""

    class_hash: int
    account: int
    salt: int
    arguments: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """One for each address."""
        return f"deploy {self.address:#x}"

    @property
    def want(self) -> int:
        """The class hash."""
        return self.class_hash

    @cached_property
    def address(self) -> int:
        """Where the contract will be."""
        return int(
            compute_address(
                class_hash=self.class_hash, constructor_calldata=list(self.arguments), deployer_address=UNIVERSAL_DEPLOYER,
                salt=pedersen_hash(self.account, self.salt),
            )
        )  # fmt: skip

    @property
    def draft(self) -> Invocation:
        """One call; unique."""
        felts = [self.class_hash, self.salt, 1, len(self.arguments), *self.arguments]
        call = Call(to_addr=UNIVERSAL_DEPLOYER, selector=_DEPLOY, calldata=felts)
        return Invocation(calls=(call,))

    async def look(self, chain: Chain) -> int:
        """The class of what stands at the address."""
        return await chain.class_hash_at(self.address) or 0


@dataclass(frozen=True, kw_only=True)
class Awaited:
    """A checkpoint that the journal knows by name only, to look up what became of it."""

    contract: int
    context: int
    k: int

    async def look(self, chain: Chain) -> int:
        """The digest accepted at k."""
        return await chain.checkpoint(self.contract, self.context, self.k)


def checkpoint_name(contract: int, context: int, k: int) -> str:
    """The name of a checkpoint's errand."""
    return f"checkpoint {contract:#x} {context:#x} {k}"


def parse_checkpoint_name(name: str) -> Awaited | None:
    """The checkpoint behind an errand's name; None for another kind of errand."""
    kind, *rest = name.split(" ")
    if kind != "checkpoint":
        return None
    contract, context, k = rest
    return Awaited(contract=int(contract, 16), context=int(context, 16), k=int(k))


def _call(contract: int, function: str, felts: list[int]) -> Invocation:
    return Invocation(calls=(Call(to_addr=contract, selector=ENTRY_POINTS[function], calldata=felts),))
