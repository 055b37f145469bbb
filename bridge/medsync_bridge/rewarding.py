"""`medsync reward`: make and fund a pool, see what it holds and owes, be paid from it.

The pay tree is the node's, or a file with {"earned": {"0x<payee>": "<cumulative amount>"}}, as `reward proof` prints it.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from medsync_bridge.certified import read_certificate
from medsync_bridge.chain import CallReverted, Chain
from medsync_bridge.client import open_client
from medsync_bridge.connecting import Bridge, connect
from medsync_bridge.errors import NotDeployed
from medsync_bridge.home import open_home
from medsync_bridge.keys import read_secret
from medsync_bridge.pool_tasks import ActivateRoot, CreatePool, FundPool, PayClaim, PoolAddress, ProposeRoot
from medsync_bridge.released import Released, released_anchor, released_pool
from medsync_bridge.sending import Tell
from medsync_bridge.settings import Settings
from medsync_bridge.tasks import DeclareClass, DeployContract
from medsync_client import Address, Client
from medsync_client.rewards import ClaimRequest
from medsync_protocol import stark
from medsync_protocol.address import ChainAddress
from medsync_protocol.claims import Claim
from medsync_protocol.errors import Malformed, OperatorError, Refused
from medsync_protocol.reward_calldata import PendingView, PoolView
from medsync_protocol.reward_pool import Pool, PoolReason, Terms
from medsync_protocol.rewards import PayProof, PayTree, Subtree

GRACE: Final = 86_400  # seconds a signed claim is good for: longer than any outage of a chain so far
MAX_TREE: Final = 64 << 20  # bytes of a tree's file: some 500,000 payees


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """Where the pool is, and the transaction that made it; None when it was there."""

    at: PoolAddress
    transaction: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A pool as the chain has it."""

    view: PoolView
    pending: PendingView


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """A payee's part: `owed` is None where no tree was shown, or not the active one."""

    claimed: int
    owed: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """Up to how much the payee is paid now, and the transaction that did it; None when it was before."""

    cumulative: int
    transaction: int | None


def read_tree(path: Path) -> PayTree:
    """The pay tree in a file. Raises Malformed."""
    try:
        with path.open("rb") as file:
            document: Any = json.loads(file.read(MAX_TREE))
        return tree_of(document["earned"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Malformed('a pay tree is a file with {"earned": {"0x<payee>": "<amount>"}}') from error


def tree_of(earned: dict[str, str]) -> PayTree:
    """The pay tree of amounts by payee, both as text. Raises Malformed, and ValueError where the text is no number."""
    return PayTree({int(payee, 16): int(amount) for payee, amount in earned.items()})


async def create(settings: Settings, context: ChainAddress, terms: Terms, salt: int, tell: Tell) -> Created:
    """Declare and deploy the contract where that is missing, then make the pool. Raises NotDeployed, and what
    `connect` and `Sender.bring_about` raise; may be repeated."""
    with open_home(settings.contract_home) as journal:
        async with connect(settings, journal, tell=tell) as bridge:
            _require_chain(bridge, context)
            _require(await bridge.chain.class_hash_at(context.contract), released_anchor(), "the anchor")
            contract = await _deploy(bridge, settings.account, context.contract, salt)
            model = Pool(chain_id=context.chain_id, contract=contract, anchor=context.contract, terms=terms)
            task = CreatePool(model=model)
            ended = await bridge.sender.bring_about(task)
    return Created(at=task.at, transaction=ended.transaction)


async def _deploy(bridge: Bridge, account: int, anchor: int, salt: int) -> int:
    released = released_pool()
    _, _, version = await bridge.chain.latest()
    await bridge.sender.bring_about(DeclareClass(released=released, starknet_version=version))
    task = DeployContract(
        class_hash=released.class_hash, account=account, salt=salt, arguments=(anchor,)
    )  # fmt: skip
    await bridge.sender.bring_about(task)
    return task.address


async def fund(settings: Settings, at: PoolAddress, target: int, tell: Tell) -> int | None:
    """Deposit what is missing to `target`; the transaction, None when it held that much. Raises Refused, NotDeployed."""
    with open_home(settings.contract_home) as journal:
        async with connect(settings, journal, tell=tell) as bridge:
            view = (await known(bridge.chain, at)).view
            missing = max(target - view.deposited, 0)
            task = FundPool(at=at, token=view.token, target=target, missing=missing)
            ended = await bridge.sender.bring_about(task)
    return ended.transaction


async def propose(
    settings: Settings, at: PoolAddress, tree: PayTree | None, node: Address, context: str, k: int, tell: Tell
) -> int | None:
    """Propose the tree's root, None for the node's, by checkpoint k of its context; the transaction. Raises Refused, NotDeployed, the
    client's errors, and what `bring_about` raises."""
    with open_home(settings.contract_home) as journal:
        async with Client(node) as client, connect(settings, journal, tell=tell) as bridge:
            await known(bridge.chain, at)
            anchor = await at.anchor(bridge.chain)
            certificate = await client.certificate(context, k)
            address = ChainAddress(
                chain_id=bridge.account.chain_id, contract=anchor, context=int(certificate.next.context, 16)
            )
            statement = read_certificate(certificate, address).following
            if tree is None:
                tree = tree_of((await client.reward_proof(context, k)).earned)
            task = ProposeRoot(at=at, statement=statement, root=tree.root)
            return (await bridge.sender.bring_about(task)).transaction


async def activate(settings: Settings, at: PoolAddress, tell: Tell) -> int | None:
    """Activate the pending root; the transaction, None when nothing waits. Raises as `fund`."""
    with open_home(settings.contract_home) as journal:
        async with connect(settings, journal, tell=tell) as bridge:
            pending = (await known(bridge.chain, at)).pending
            if not pending.k:
                return None
            task = ActivateRoot(at=at, k=pending.k, root=pending.root)
            return (await bridge.sender.bring_about(task)).transaction


async def status(rpc: str, at: PoolAddress) -> Standing:
    """What the chain has. Raises Refused for an unknown pool, NotDeployed for another class."""
    async with open_client(rpc) as client:
        return await known(Chain(client), at)


async def balance(rpc: str, at: PoolAddress, payee: int, tree: PayTree | None) -> Balance:
    """A payee's part. Raises as `status`."""
    async with open_client(rpc) as client:
        chain = Chain(client)
        view = (await known(chain, at)).view
        claimed = await at.claimed(chain, payee)
    if tree is None or tree.root != view.active:
        return Balance(claimed=claimed, owed=None)
    earned = tree.prove(payee).cumulative if payee in tree.payees else 0
    return Balance(claimed=claimed, owed=max(earned - claimed, 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """What a claim is for: `deadline` in seconds, `k` the checkpoint last proposed."""

    at: PoolAddress
    chain_id: int
    deadline: int
    k: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A claim as the contract takes it, and the tree that its proof leads to."""

    proof: PayProof
    root: Subtree
    recipient: int
    signature: tuple[int, int]


Signer = Callable[[Claimed], Awaitable[Signed]]
"""Who signs the claim, once its pool, chain and deadline are known."""


def by_key(tree: PayTree, payee_key: str, recipient: int) -> Signer:
    """Sign by the payee's secret, which lies where `payee_key` says, as `--key`. Raises BadKey, Malformed."""
    secret = read_secret(payee_key)
    proof = tree.prove(stark.public_key(secret))

    async def sign(wanted: Claimed) -> Signed:
        signature = Claim(
            chain_id=wanted.chain_id, contract=wanted.at.contract, pool=wanted.at.pool, payee=proof.payee,
            recipient=recipient, cumulative=proof.cumulative, deadline=wanted.deadline,
        ).sign(secret)  # fmt: skip
        return Signed(proof=proof, root=tree.root, recipient=recipient, signature=signature)

    return sign


def at_node(node: Address, context: str, recipient: int) -> Signer:
    """Let a node sign for its member, what that earned by the checkpoint last proposed. Raises the client's errors."""

    async def sign(wanted: Claimed) -> Signed:
        body = ClaimRequest(recipient=hex(recipient), deadline=wanted.deadline, k=wanted.k)
        async with Client(node) as client:
            found = await client.sign_reward_claim(context, body)
        tree = tree_of(found.proof.earned)
        if (int(found.proof.contract, 16), int(found.proof.pool, 16)) != (wanted.at.contract, wanted.at.pool):
            raise Refused(
                "the node's context pays from another pool", code="wrong_pool",
                advice="give pool and contract as `medsync reward proof` shows them",
            )  # fmt: skip
        return Signed(
            proof=tree.prove(int(found.proof.payee, 16)), root=tree.root, recipient=recipient,
            signature=(int(found.r, 16), int(found.s, 16)),
        )  # fmt: skip

    return sign


async def claim(settings: Settings, at: PoolAddress, signer: Signer, tell: Tell) -> Paid:
    """Have a claim signed, and carry it.

    Raises Refused where the tree is not the active one, what the signer and what `bring_about` raise.
    """
    with open_home(settings.contract_home) as journal:
        async with connect(settings, journal, tell=tell) as bridge:
            view = (await known(bridge.chain, at)).view
            _, now, _ = await bridge.chain.latest()
            wanted = Claimed(at=at, chain_id=bridge.account.chain_id, deadline=now + GRACE, k=view.last_k)
            signed = await signer(wanted)
            if signed.root != view.active:
                raise Refused(
                    "this pay tree is not the pool's active one", code=PoolReason.BAD_PROOF.lower(),
                    advice="take the tree of the checkpoint that `medsync reward pool status` shows",
                )  # fmt: skip
            task = PayClaim(
                at=at, proof=signed.proof, recipient=signed.recipient, deadline=wanted.deadline,
                signature=signed.signature,
            )  # fmt: skip
            ended = await bridge.sender.bring_about(task)
    return Paid(cumulative=signed.proof.cumulative, transaction=ended.transaction)


async def known(chain: Chain, at: PoolAddress) -> Standing:
    """The pool as the chain has it. Raises Refused for an unknown pool, NotDeployed for another class."""
    _require(await chain.class_hash_at(at.contract), released_pool(), "the reward pool")
    try:
        found = Standing(view=await at.view(chain), pending=await at.pending(chain))
    except CallReverted as error:
        raise NotDeployed(f"the contract answers {error.reason}", "check --contract") from error
    if not found.view.token:
        raise Refused(
            "there is no such pool at this contract", code=PoolReason.UNKNOWN_POOL.lower(),
            advice="give what `medsync reward pool create` printed",
        )  # fmt: skip
    return found


def _require(class_hash: int | None, released: Released, what: str) -> None:
    if class_hash != released.class_hash:
        found = "nothing" if class_hash is None else f"a contract of class {class_hash:#x}"
        raise NotDeployed(f"{what} is not at this address but {found}", "give the address that was printed")


def _require_chain(bridge: Bridge, context: ChainAddress) -> None:
    if bridge.account.chain_id != context.chain_id:
        raise OperatorError(
            "the Starknet node follows another chain than the context's address names",
            advice="give --rpc the URL of a node of that chain",
        )
