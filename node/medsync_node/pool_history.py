"""What a reward pool did on the chain: roots proposed, activated and vetoed, payments, deposits. Read, and not believed.

Events and their order are contracts/src/reward_pool.cairo's; what a pool may do is medsync_protocol/reward_pool.py's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import httpx

from medsync_client.errors import Unreachable
from medsync_client.rewards import PoolHistory, PoolStep, StepName
from medsync_node.verify.rpc import RawEvent, Rpc
from medsync_protocol.errors import Malformed
from medsync_protocol.reward_pool import Pool
from medsync_protocol.reward_pool_abi import CLASS_HASH, EVENTS

MAX_STEPS: Final = 1_000  # newest ones of one answer: a pool that pays a hundred members monthly, for most of a year
_STEPS: Final[Mapping[str, tuple[StepName, int, int]]] = {
    "Deposited": ("deposited", 2, 2), "RootProposed": ("proposed", 3, 3), "RootVetoed": ("vetoed", 3, 0),
    "RootActivated": ("activated", 3, 2), "Claimed": ("claimed", 3, 3), "Swept": ("swept", 2, 2),
}  # fmt: skip
"""By event: what it is, and how many keys and data felts it has."""
_NAMES: Final = {selector: name for name, selector in EVENTS.items()}


def steps_of(events: Iterable[RawEvent], names: Mapping[int, str]) -> Iterator[PoolStep]:
    """Events of one pool as steps, oldest first; `names` of members by payee key. Raises Malformed."""
    for one in events:
        name = _NAMES.get(one.keys[0] if one.keys else 0, "")
        if name not in _STEPS:
            continue
        what, keys, size = _STEPS[name]
        if (len(one.keys), len(one.data)) != (keys, size):
            raise Malformed(f"the Starknet node tells a pool's event {name} with another number of felts")
        second = one.keys[2] if keys == 3 else None
        payee = second if what == "claimed" else None
        amount = {"proposed": 1, "activated": 1, "claimed": 1, "deposited": 0, "swept": 0}.get(what)
        yield PoolStep(
            what=what, block=one.block, transaction=hex(one.transaction), k=None if payee is not None else second,
            amount=None if amount is None else str(one.data[amount]), payee=None if payee is None else hex(payee),
            name="" if payee is None else names.get(payee, ""),
        )  # fmt: skip


def read_steps(rpc: Rpc, pool: Pool, names: Mapping[int, str]) -> PoolHistory:
    """Ask one node; blocks. Raises Unreachable, Malformed."""
    block = rpc.latest()
    if rpc.chain_id() != pool.chain_id or rpc.class_hash(pool.contract, block) != CLASS_HASH:
        raise Malformed("the chain that this node reads has no released reward pool there")
    events = rpc.events(pool.contract, [sorted(EVENTS[name] for name in _STEPS), [pool.id]], block)
    return history_of(block, tuple(steps_of(events, names)))


def history_of(block: int, steps: tuple[PoolStep, ...], shown: int = MAX_STEPS) -> PoolHistory:
    """The newest steps, and what those before them came to."""
    before = steps[:-shown]
    promised = [one.amount for one in before if one.what == "activated"]
    paid: dict[str, int] = {}
    for one in before:
        if one.payee is not None:
            paid[one.payee] = paid.get(one.payee, 0) + int(one.amount or 0)
    return PoolHistory(
        block=block, steps=steps[-shown:], total=len(steps), promised_before=(promised[-1] if promised else None) or "0",
        paid_before={payee: str(amount) for payee, amount in paid.items()},
    )


def read_pool(url: str | None, pool: Pool, names: Mapping[int, str]) -> PoolHistory:
    """The same by the node's RPC; an answer with `trouble` where there is none, or it doesn't answer. Blocks."""
    if url is None:
        return PoolHistory(trouble="this node reads no chain: `medsync config set chain.rpc URL` gives it one")
    try:
        with httpx.Client(trust_env=False) as http:
            return read_steps(Rpc(url, http), pool, names)
    except (Unreachable, Malformed) as error:
        return PoolHistory(trouble=str(error))
