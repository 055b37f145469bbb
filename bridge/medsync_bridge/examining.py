"""`medsync bridge doctor`: looks at everything the bridge stands on. Changes nothing, sends nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from starknet_py.constants import EXPECTED_RPC_VERSION

from medsync_bridge.account import Account
from medsync_bridge.chain import STRK_TOKEN, CallReverted, Chain, version_of
from medsync_bridge.client import open_client
from medsync_bridge.connecting import accepts_key
from medsync_bridge.errors import strk
from medsync_bridge.home import read_home
from medsync_bridge.journal import State
from medsync_bridge.keys import read_secret
from medsync_bridge.released import released_anchor
from medsync_bridge.settings import Settings
from medsync_client import Address, Client, ClientError
from medsync_client.contexts import Context
from medsync_protocol.address import chain_name, parse_address, parse_chain
from medsync_protocol.anchor_abi import CLASS_HASH
from medsync_protocol.errors import Malformed, OperatorError

_FAST: Final = 60  # seconds a block may be ahead: sequencers' clocks are not ours
_STALE: Final = 900  # seconds: a public chain makes a block every few
_BUSY: Final = frozenset(map(parse_chain, ("SN_MAIN", "SN_SEPOLIA")))
_LOW: Final = 10**18  # fri: below a STRK the next checkpoints may not be paid for


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    name: str
    found: str
    well: bool = True
    advice: str = ""


async def examine(settings: Settings, node: Address, now: float) -> list[Finding]:
    """Everything, in the order in which one thing needs the other; it stops where nothing more can be asked.

    `now` is this machine's clock, in seconds.
    """
    return [finding async for finding in _examine(settings, node, now)]


async def _examine(settings: Settings, node: Address, now: float) -> AsyncIterator[Finding]:
    yield _journal(settings)
    try:
        secret = read_secret(settings.key)
    except OperatorError as error:
        yield _bad("key", error)
        return
    yield Finding(name="key", found="read")
    async with open_client(settings.rpc) as client, Client(node) as asked:
        chain = Chain(client)
        chain_id = None
        try:
            chain_id = await chain.chain_id()
            for finding in [
                await _node_of_chain(chain, chain_id),
                await _clock(chain, chain_id, now),
                await _class(chain),
                await _account(chain, Account(address=settings.account, chain_id=chain_id, secret=secret)),
                await _balance(chain, settings.account),
            ]:
                yield finding
        except OperatorError as error:
            yield _bad("chain", error)
        try:
            contexts = (await asked.contexts()).contexts
        except ClientError as error:
            yield Finding(name="node", found=str(error), well=False, advice=error.advice)
            return
        yield Finding(name="node", found=f"{len(contexts)} contexts")
        if chain_id is not None:
            for context in contexts:
                yield await _context(chain, chain_id, context)


def _journal(settings: Settings) -> Finding:
    try:
        with read_home(settings.home) as journal:
            unfinished = [] if journal is None else journal.unfinished()
    except OperatorError as error:
        return _bad("journal", error)
    stopped = [errand for errand in unfinished if errand.state is State.STOPPED]
    if not stopped:
        return Finding(name="journal", found=f"{len(unfinished)} unfinished, none stopped")
    return Finding(
        name="journal", found=f"{stopped[0].name} stopped: {stopped[0].reason}", well=False,
        advice="find the cause, then `medsync bridge resume`",
    )  # fmt: skip


async def _node_of_chain(chain: Chain, chain_id: int) -> Finding:
    spoken = await chain.specification()
    number, _, version = await chain.latest()
    fits = spoken.split(".")[:2] == EXPECTED_RPC_VERSION.split(".")[:2]
    return Finding(
        name="chain", well=fits,
        found=f"{chain_name(chain_id)}, block {number}, Starknet {version}, JSON-RPC {spoken}",
        advice="" if fits else f"give the --rpc of a node that speaks JSON-RPC {EXPECTED_RPC_VERSION}",
    )  # fmt: skip


async def _clock(chain: Chain, chain_id: int, now: float) -> Finding:
    """Whether this machine and the newest block agree about the time. A chain without traffic makes no blocks."""
    _, at, _ = await chain.latest()
    age = now - at
    if age < -_FAST:
        return Finding(
            name="clock", found=f"the newest block is {-age:.0f} s ahead of this machine", well=False,
            advice="set this machine's clock by NTP: `not_before` and the deadlines of claims go by it",
        )  # fmt: skip
    if age > _STALE and chain_id in _BUSY:
        return Finding(
            name="clock", found=f"the newest block is {age / 60:.0f} minutes old", well=False,
            advice="the Starknet node has fallen behind, or this machine's clock is fast: compare with an explorer",
        )  # fmt: skip
    return Finding(name="clock", found=f"the newest block is {max(age, 0):.0f} s old")


async def _class(chain: Chain) -> Finding:
    """Whether the released anchor is declared, and as what: networks price Sierra before 1.7.0 by Cairo steps."""
    released = version_of(released_anchor().sierra().sierra_program)
    found = await chain.sierra_version(CLASS_HASH)
    if found is None:
        return Finding(
            name="class", found=f"{CLASS_HASH:#066x} is not declared here", well=False,
            advice="`medsync contract declare` declares it, once on every chain",
        )  # fmt: skip
    well = found == released
    return Finding(
        name="class", found=f"{CLASS_HASH:#066x} is declared, Sierra {found}", well=well,
        advice="" if well else f"the released class is of Sierra {released}: the node hands out something else",
    )  # fmt: skip


async def _account(chain: Chain, account: Account) -> Finding:
    nonce = await chain.nonce(account.address)
    if await accepts_key(chain, account):
        return Finding(name="account", found=f"takes the key's signatures, nonce {nonce}")
    return Finding(
        name="account", found="does not take the key's signatures", well=False,
        advice="give the --key that belongs to --account",
    )  # fmt: skip


async def _balance(chain: Chain, account: int) -> Finding:
    try:
        balance = await chain.balance(STRK_TOKEN, account)
    except CallReverted as error:
        return Finding(
            name="balance", found=f"can't be read: {error}", well=False, advice="is this Starknet?"
        )
    well = balance >= _LOW
    return Finding(
        name="balance", found=strk(balance), well=well,
        advice="" if well else f"fund {account:#x}, or checkpoints will wait",
    )  # fmt: skip


async def _context(chain: Chain, chain_id: int, context: Context) -> Finding:
    """Whether the context's contract is the released one, and how far the two heads are apart."""
    name = f"context {context.name}"
    if context.address is None:
        return Finding(name=name, found="not anchored", advice="`medsync contract register` anchors it")
    try:
        address = parse_address(context.address)
        if address.chain_id != chain_id:
            return Finding(name=name, found=f"anchored on {chain_name(address.chain_id)}: not this bridge's")
        class_hash = await chain.class_hash_at(address.contract)
        k, digest = await chain.head(address.contract, address.context)
    except Malformed as error:
        return Finding(name=name, found=f"its address can't be read: {error}", well=False)
    except (OperatorError, CallReverted) as error:
        return Finding(name=name, found=str(error), well=False, advice=getattr(error, "advice", ""))
    if class_hash != CLASS_HASH:
        return Finding(
            name=name, found=f"the contract is of class {class_hash or 0:#x}, not of the released one", well=False,
            advice="another release's, or somebody else's: `medsync contract deploy` makes one",
        )  # fmt: skip
    opened = bool(digest)
    return Finding(
        name=name, well=opened, found=f"signed {context.checkpoint.signed}, accepted {k}" if opened else "not open",
        advice="" if opened else "`medsync contract register` opens it",
    )  # fmt: skip


def _bad(name: str, error: OperatorError) -> Finding:
    return Finding(name=name, found=str(error), well=False, advice=error.advice)
