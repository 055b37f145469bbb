"""From settings to a sender that can be used: the RPC answers, the account exists and takes the key's signatures."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

import trio

from medsync_bridge.account import Account
from medsync_bridge.chain import Chain
from medsync_bridge.client import open_client
from medsync_bridge.errors import ChainUnreachable, RpcError, WrongKey
from medsync_bridge.journal import Journal
from medsync_bridge.keys import read_secret
from medsync_bridge.sending import Sender, Tell, Terms
from medsync_bridge.settings import Settings

T = TypeVar("T")

_PROBE: Final = int.from_bytes(b"MEDSYNC_BRIDGE_PROBE")  # signed to see whether the account takes the key


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """What commands work with."""

    chain: Chain
    account: Account
    sender: Sender


@asynccontextmanager
async def connect(
    settings: Settings, journal: Journal, *, tell: Tell, patient: bool = False
) -> AsyncIterator[Bridge]:
    """A bridge for the block. Raises BadKey, AccountUnusable, JournalInUse, and ChainUnreachable unless `patient`."""
    secret = read_secret(settings.key)
    async with open_client(settings.rpc) as client:
        chain = Chain(client)
        pause = partial(trio.sleep, settings.poll)
        opening = partial(_open_account, chain, settings.account, secret)
        account = await (_insist(opening, pause, tell) if patient else opening())
        journal.bind(account.chain_id)
        terms = Terms(cap=settings.fee_cap, tip=settings.tip)
        sender = Sender(chain, journal, account, terms, pause=pause, tell=tell)
        yield Bridge(chain=chain, account=account, sender=sender)


async def accepts_key(chain: Chain, account: Account) -> bool:
    """Whether the account contract takes signatures of our key."""
    return await chain.accepts(account.address, _PROBE, account.signature(_PROBE))


async def _open_account(chain: Chain, address: int, secret: int) -> Account:
    account = Account(address=address, chain_id=await chain.chain_id(), secret=secret)
    await chain.nonce(address)  # says so where there is no such account
    if not await accepts_key(chain, account):
        raise WrongKey(address)
    return account


async def _insist(ask: Callable[[], Awaitable[T]], pause: Callable[[], Awaitable[None]], tell: Tell) -> T:
    """Ask until the RPC answers, telling once why it has to wait."""
    told = ""
    while True:
        try:
            return await ask()
        except (ChainUnreachable, RpcError) as error:
            if str(error) != told:
                told = str(error)
                tell(f"waiting: {error}")
        await pause()
