"""What a transaction costs, from what it did (blockifier's fee model of Starknet 0.14.4, blob data availability).

Approximate in one place: the discount for values that compress well in a blob is not given.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from medsync_chain.costs import Resources
from medsync_chain.execution import CallInfo, Event
from medsync_chain.state import StateDiff
from medsync_chain.transactions import Bounds, Declare, DeployAccount, Transaction

__all__ = ["Consumption", "Prices", "consumption"]

FELT_BYTES = 32
DATA_FELT_GAS = 5_120  # L2 gas of a felt of calldata, signature or event data kept for good
EVENT_KEY_FACTOR = 2
CODE_BYTE_GAS = 1_280
CELL_ALLOCATION_GAS = 402_000  # of a cell that was 0 before
CELL_ALLOCATION_DATA = 32  # L1 data gas
DATA_GAS_PER_FELT = 32  # 131,072 for a blob of 4,096 field elements
MESSAGE_L1_GAS = 30_000  # roughly what Ethereum charges the message bridge for one message

_INVOKE = (Resources(steps=4_348, range_check=90, pedersen=4, poseidon=12), Resources(steps=11, poseidon=1))
_DEPLOY = (
    Resources(steps=4_583, range_check=93, pedersen=11, poseidon=11),
    Resources(steps=37, pedersen=2, poseidon=1),
)
_DECLARE = Resources(steps=3_523, range_check=72, pedersen=4, poseidon=15)
_CALLDATA_PAIR = 2  # felts that the calldata factors are per
_DATA_SEGMENT_FELT = Resources(steps=113, range_check=17)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """In fri per unit of gas."""

    l1_gas: int = 50_000_000_000_000
    l2_gas: int = 3_000_000_000
    l1_data_gas: int = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumption:
    """Units of the three resources."""

    l1_gas: int = 0
    l2_gas: int = 0
    l1_data_gas: int = 0

    def fee(self, prices: Prices, tip: int) -> int:
        """In fri; the tip is per unit of L2 gas."""
        l1 = self.l1_gas * prices.l1_gas + self.l1_data_gas * prices.l1_data_gas
        return l1 + self.l2_gas * (prices.l2_gas + tip)

    def beyond(self, bounds: Bounds) -> str | None:
        """What went beyond its bound, as a sequencer says it; None when nothing did."""
        rows = (
            ("L1Gas", self.l1_gas, bounds.l1_gas.amount),
            ("L2Gas", self.l2_gas, bounds.l2_gas.amount),
            ("L1DataGas", self.l1_data_gas, bounds.l1_data_gas.amount),
        )
        for name, used, most in rows:
            if used > most:
                return f"Insufficient max {name}: max amount: {most}, actual used: {used}."
        return None

    def capped(self, bounds: Bounds) -> Consumption:
        """At most what the sender bid for."""
        return Consumption(
            l1_gas=min(self.l1_gas, bounds.l1_gas.amount),
            l2_gas=min(self.l2_gas, bounds.l2_gas.amount),
            l1_data_gas=min(self.l1_data_gas, bounds.l1_data_gas.amount),
        )


def consumption(
    transaction: Transaction, calls: Iterable[CallInfo], diff: StateDiff, allocated: int, code_bytes: int = 0
) -> Consumption:
    """What a transaction used. `calls` are its outermost ones; `allocated` counts cells that were 0 before."""
    calls = list(calls)
    data_felts = _data_segment(diff)
    events = [event for call in calls for event in call.events()]
    messages = sum(1 for call in calls for _ in call.messages())
    l2_gas = (
        sum(call.gas for call in calls)
        + _overhead(transaction)
        + _archive(transaction, events)
        + _DATA_SEGMENT_FELT.gas * data_felts
        + CELL_ALLOCATION_GAS * allocated
        + CODE_BYTE_GAS * code_bytes
    )
    return Consumption(
        l1_gas=MESSAGE_L1_GAS * messages,
        l2_gas=l2_gas,
        l1_data_gas=DATA_GAS_PER_FELT * data_felts + CELL_ALLOCATION_DATA * allocated,
    )


def minimum(transaction: Transaction) -> int:
    """The L2 gas that any transaction of this kind and size uses before a contract runs."""
    return _overhead(transaction) + _archive(transaction, ())


def _overhead(transaction: Transaction) -> int:
    if isinstance(transaction, Declare):
        return _DECLARE.gas
    fixed, pair = _DEPLOY if isinstance(transaction, DeployAccount) else _INVOKE
    return fixed.gas + pair.gas * len(_calldata(transaction)) // _CALLDATA_PAIR


def _archive(transaction: Transaction, events: Sequence[Event]) -> int:
    felts = len(_calldata(transaction)) + len(transaction.signature)
    felts += sum(EVENT_KEY_FACTOR * len(event.keys) + len(event.data) for event in events)
    return DATA_FELT_GAS * felts


def _calldata(transaction: Transaction) -> Sequence[int]:
    return () if isinstance(transaction, Declare) else transaction.validation_calldata


def _data_segment(diff: StateDiff) -> int:
    """Felts that a state diff takes in a blob."""
    contracts = {*diff.storage, *diff.deployed, *diff.replaced, *diff.nonces}
    cells = sum(len(changes) for changes in diff.storage.values())
    return 2 * len(contracts) + 2 * cells + len(diff.deployed) + len(diff.replaced) + 2 * len(diff.declared)
