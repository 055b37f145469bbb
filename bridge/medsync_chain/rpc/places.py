"""Block ids and numbers as clients write them, resolved against the chain."""

from __future__ import annotations

from typing import Any

from medsync_chain.blocks import Block
from medsync_chain.chain import Chain
from medsync_chain.errors import Code, Unacceptable
from medsync_chain.felts import from_hex
from medsync_chain.state import Reader

__all__ = [
    "PRE_CONFIRMED",
    "block_of",
    "felt",
    "finality",
    "is_pending",
    "list_of",
    "list_of_felts",
    "state_of",
]

PRE_CONFIRMED = "pre_confirmed"
ON_L1, ON_L2 = "ACCEPTED_ON_L1", "ACCEPTED_ON_L2"


def felt(value: Any, name: str) -> int:
    """A felt parameter. Raises Unacceptable."""
    try:
        return from_hex(value)
    except ValueError as error:
        raise Unacceptable.malformed(f"{name}: {error}") from error


def list_of_felts(value: Any, name: str, limit: int) -> list[int]:
    """A list of felts. Raises Unacceptable."""
    if not isinstance(value, list) or len(value) > limit:
        raise Unacceptable.malformed(f"{name} must be a list of at most {limit} felts")
    return [felt(item, name) for item in value]


def list_of(value: Any, name: str, limit: int) -> list[Any]:
    """A list of anything, empty for None. Raises Unacceptable."""
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > limit:
        raise Unacceptable.malformed(f"{name} must be a list of at most {limit} entries")
    return value


def is_pending(block_id: Any) -> bool:
    """True for the block under way."""
    return bool(block_id == PRE_CONFIRMED)


def block_of(chain: Chain, block_id: Any) -> Block:
    """A sealed block. Raises Unacceptable (24)."""
    history = chain.history
    if block_id == "latest":
        return history.block(history.latest.number)
    if block_id == "l1_accepted":
        if history.accepted_on_l1 < 0:
            raise Unacceptable(Code.BLOCK_NOT_FOUND, "no block is accepted on L1 yet")
        return history.block(history.accepted_on_l1)
    if isinstance(block_id, dict) and len(block_id) == 1:
        number = block_id.get("block_number")
        if "block_hash" in block_id:
            number = history.number_of(felt(block_id["block_hash"], "block_hash"))
        elif not isinstance(number, int):
            raise Unacceptable.malformed("block_number must be a number")
        if number is None or not 0 <= number < len(history):
            raise Unacceptable(Code.BLOCK_NOT_FOUND)
        return history.block(number)
    raise Unacceptable.malformed(f"not a block id: {str(block_id)[:80]}")


def state_of(chain: Chain, block_id: Any) -> Reader:
    """The state after a block, or of the one under way. Raises Unacceptable (24)."""
    if is_pending(block_id):
        return chain.pending.state
    return chain.history.ledger.at(block_of(chain, block_id).number)


def finality(chain: Chain, block: int) -> str:
    """How final a sealed block is."""
    return ON_L1 if block <= chain.history.accepted_on_l1 else ON_L2
