"""Everything a node says about one context at one block, gathered before any of it is judged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from typing import Final, TypeVar

from medsync_node.verify.chain_events import Executed, Opened, Posted, Told, read_events
from medsync_node.verify.rpc import Rpc
from medsync_protocol import calldata
from medsync_protocol.address import ChainAddress
from medsync_protocol.anchor_abi import CLASS_HASH, ENTRY_POINTS, EVENTS
from medsync_protocol.errors import Malformed

CONNECTIONS: Final = 8  # questions under way at once: most of an audit's time is waiting for a public node
Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainFacts:
    """`calldata` by transaction, `times` (seconds) by block, `digests` by k as the contract's views answer.

    `asked` is false where nothing was asked of the contract: the chain or the class is another one.
    """

    chain_id: int
    class_hash: int | None
    block: int
    block_hash: int
    asked: bool = False
    told: tuple[Told, ...] = ()
    calldata: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    times: Mapping[int, int] = field(default_factory=dict)
    head: tuple[int, int] = (0, 0)
    digests: Mapping[int, int] = field(default_factory=dict)
    settings: tuple[int, int] = (0, 0)


def gather(rpc: Rpc, address: ChainAddress, block: int, progress: Callable[[str], None]) -> ChainFacts:
    """Ask one node. Raises Unreachable, Malformed."""
    contract, context = address.contract, address.context
    chain_id, class_hash = rpc.chain_id(), rpc.class_hash(contract, block)
    block_hash = rpc.block(block).hash
    if chain_id != address.chain_id or class_hash != CLASS_HASH:
        return ChainFacts(chain_id=chain_id, class_hash=class_hash, block=block, block_hash=block_hash)
    told = read_events(rpc.events(contract, [sorted(EVENTS.values()), [context]], block))
    progress(f"{rpc.url}: {len(told)} steps of the context up to block {block}")
    ks = sorted({0, *(one.k for one in told if isinstance(one, Posted | Executed))})
    shown = [one for one in told if isinstance(one, Opened | Posted)]

    def ask(view: str, arguments: list[int], size: int) -> tuple[int, ...]:
        answer = tuple(rpc.call(contract, ENTRY_POINTS[view], arguments, block))
        if len(answer) != size:
            raise Malformed(
                f"the Starknet node at {rpc.url} answers `{view}` with {len(answer)} felts, not {size}"
            )
        return answer

    def digest_at(k: int) -> int:
        return ask("checkpoint", calldata.checkpoint(context, k), 1)[0]

    k, digest = ask("head", calldata.head(context), 2)
    verifier, delay = ask("settings", [context], 2)
    return ChainFacts(
        chain_id=chain_id, class_hash=class_hash, block=block, block_hash=block_hash,
        asked=True, told=tuple(told),
        calldata=_each(rpc.calldata, {one.transaction for one in shown}),
        times=_each(lambda number: rpc.block(number).time, {one.block for one in told}),
        head=(k, digest), settings=(verifier, delay), digests=_each(digest_at, ks),
    )  # fmt: skip


def _each(question: Callable[[Key], Value], keys: Iterable[Key]) -> dict[Key, Value]:
    """The answer for each key, several asked at a time. The first error ends it."""
    listed = list(keys)
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return dict(zip(listed, pool.map(question, listed), strict=True))


def differences(one: ChainFacts, other: ChainFacts) -> list[str]:
    """Names of what two nodes say differently about the same block."""
    return [part.name for part in fields(one) if getattr(one, part.name) != getattr(other, part.name)]
