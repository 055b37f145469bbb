"""`medsync contract`: declare the anchor's class, deploy a contract of it, open a context there and tell the node."""

from __future__ import annotations

from dataclasses import dataclass

from medsync_bridge.certified import read_opening
from medsync_bridge.connecting import connect
from medsync_bridge.errors import NodeDisagrees, NotDeployed
from medsync_bridge.home import open_home
from medsync_bridge.journal import State
from medsync_bridge.released import released_anchor
from medsync_bridge.sending import Ended, Tell
from medsync_bridge.settings import Settings
from medsync_bridge.tasks import DeclareClass, DeployContract
from medsync_client import Address, Client
from medsync_client.checkpoints import ChainInfo, ChainRegistration, OpeningRequest
from medsync_protocol.transition import Anchor


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """The class, and the transaction that declared it; None when it was known."""

    class_hash: int
    transaction: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """The contract, and the transaction that deployed it; None when it stood there."""

    contract: int
    class_hash: int
    transaction: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """Where the context is now, as the node says, and the transaction that opened it; None when it was open."""

    info: ChainInfo
    transaction: int | None


async def declare(settings: Settings, tell: Tell) -> Declared:
    """Declare the released class. Raises what `connect` and `Sender.bring_about` raise."""
    released = released_anchor()
    with open_home(settings.contract_home) as journal:
        async with connect(settings, journal, tell=tell) as bridge:
            _, _, version = await bridge.chain.latest()
            ended = await bridge.sender.bring_about(DeclareClass(released=released, starknet_version=version))
    return Declared(class_hash=released.class_hash, transaction=ended.transaction)


async def deploy(settings: Settings, salt: int, tell: Tell) -> Deployed:
    """Deploy a contract of the released class; the same salt names the same contract. Raises NotDeployed."""
    released = released_anchor()
    with open_home(settings.contract_home) as journal:
        async with connect(settings, journal, tell=tell) as bridge:
            if not await bridge.chain.is_declared(released.class_hash):
                raise NotDeployed(
                    "the anchor's class is not declared on this chain", "run `medsync contract declare`"
                )
            task = DeployContract(class_hash=released.class_hash, account=settings.account, salt=salt)
            ended = await bridge.sender.bring_about(task)
    return Deployed(contract=task.address, class_hash=ended.found, transaction=ended.transaction)


async def register(
    settings: Settings, node: Address, context: str, contract: int, recovery_delay: int, tell: Tell
) -> Registered:
    """Have the founder's node sign the opening, open the context on the contract, tell the node where.

    `recovery_delay` in seconds. Raises NotDeployed, NodeDisagrees, the client's errors, and what `connect` and
    `Sender.bring_about` raise. May be repeated after any failure.
    """
    with open_home(settings.contract_home) as journal:
        async with Client(node) as client, connect(settings, journal, tell=tell) as bridge:
            _require_released(await bridge.chain.class_hash_at(contract))
            anchor = Anchor(chain_id=bridge.account.chain_id, contract=contract)
            request = OpeningRequest(
                chain_id=hex(anchor.chain_id), contract=hex(contract), recovery_delay=recovery_delay
            )
            opening = await client.opening(context, request)
            task = read_opening(opening, anchor)
            ended = await bridge.sender.bring_about(task)
            _require_ours(ended)
            block = await bridge.chain.opened_in(contract, task.context)
            registration = ChainRegistration(
                chain_id=hex(anchor.chain_id), contract=hex(contract), block=block, opening=opening
            )
            info = await client.register_chain(context, registration)
    return Registered(info=info, transaction=ended.transaction)


def _require_released(class_hash: int | None) -> None:
    if class_hash is None:
        raise NotDeployed("there is no contract at this address", "run `medsync contract deploy`")
    if class_hash != released_anchor().class_hash:
        raise NotDeployed(
            f"the contract is of class {class_hash:#x}, not of the released one",
            "give the address that `medsync contract deploy` printed",
        )


def _require_ours(ended: Ended) -> None:
    if ended.state is State.ADOPTED:
        raise NodeDisagrees("the context is open there with another voter list")
