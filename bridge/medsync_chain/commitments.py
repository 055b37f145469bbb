"""Hashes of blocks and commitments to their parts, as Starknet computes them since 0.13.4.

Rules: Starknet's documentation, "Block structure", and starkware-libs/sequencer, crates/starknet_api/src/block_hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from medsync_chain.blocks import Commitments, Header, Included
from medsync_chain.execution import BlockInfo, Message
from medsync_chain.felts import short
from medsync_chain.fees import Prices
from medsync_chain.hashes import poseidon_many, poseidon_pair
from medsync_chain.keccak import starknet_keccak
from medsync_chain.patricia import Trie
from medsync_chain.state import StateDiff

__all__ = ["block_hash", "commitments", "seal"]

HEIGHT = 64  # of the tries over transactions, receipts and events
WEI = 1  # per fri, in prices: this chain has one token
_BLOCK, _PRICES, _DIFF = (
    short("STARKNET_BLOCK_HASH1"),
    short("STARKNET_GAS_PRICES0"),
    short("STARKNET_STATE_DIFF0"),
)
_BLOB = 1 << 63  # how data is made available, in the lowest of the packed counts


def commitments(included: Sequence[Included], diff: StateDiff) -> Commitments:
    """To a block's parts."""
    transactions = [poseidon_many([one.transaction.hash, *one.transaction.signature]) for one in included]
    events = [
        poseidon_many(
            [
                event.address,
                one.transaction.hash,
                len(event.keys),
                *event.keys,
                len(event.data),
                *event.data,
            ]
        )
        for one in included
        for event in one.receipt.events
    ]
    return Commitments(
        transactions=_over(transactions),
        receipts=_over([_receipt(one) for one in included]),
        events=_over(events),
        state_diff=_state_diff(diff),
    )


def seal(
    info: BlockInfo, included: Sequence[Included], diff: StateDiff, *, root: int, prices: Prices, parent: int
) -> Header:
    """The header, with its hash, of a block with this content; `root` of the state after it."""
    header = Header(
        number=info.number,
        hash=0,
        parent_hash=parent,
        root=root,
        timestamp=info.timestamp,
        prices=prices,
        commitments=commitments(included, diff),
        transaction_count=len(included),
        event_count=sum(len(one.receipt.events) for one in included),
        state_diff_length=diff.length,
        sequencer=info.sequencer,
    )
    return replace(header, hash=block_hash(header))


def block_hash(header: Header) -> int:
    """The hash of a block, from everything else in its header."""
    parts, prices = header.commitments, header.prices
    counts = (
        header.transaction_count << 192 | header.event_count << 128 | header.state_diff_length << 64 | _BLOB
    )
    price_hash = poseidon_many([_PRICES, WEI, prices.l1_gas, WEI, prices.l1_data_gas, WEI, prices.l2_gas])
    # fmt: off
    return poseidon_many([
        _BLOCK, header.number, header.root, header.sequencer, header.timestamp, counts, parts.state_diff,
        parts.transactions, parts.events, parts.receipts, price_hash, short(header.version), 0, header.parent_hash,
    ])
    # fmt: on


def _over(leaves: Sequence[int]) -> int:
    return Trie(HEIGHT, poseidon_pair).updated(enumerate(leaves)).root


def _receipt(included: Included) -> int:
    receipt, used = included.receipt, included.receipt.used
    reason = 0 if receipt.reverted is None else starknet_keccak(receipt.reverted.encode())
    return poseidon_many(
        [
            included.transaction.hash,
            receipt.fee,
            _messages(receipt.messages),
            reason,
            used.l2_gas,
            used.l1_gas,
            used.l1_data_gas,
        ]
    )


def _messages(messages: Sequence[Message]) -> int:
    felts = [len(messages)]
    for message in messages:
        felts += [message.sender, message.recipient, len(message.payload), *message.payload]
    return poseidon_many(felts)


def _state_diff(diff: StateDiff) -> int:
    contracts = dict(sorted({**diff.deployed, **diff.replaced}.items()))
    felts = [_DIFF, len(contracts), *(felt for row in contracts.items() for felt in row)]
    felts += [len(diff.declared), *(felt for row in sorted(diff.declared.items()) for felt in row)]
    felts += [0, 1, 0, len(diff.storage)]  # no old classes; one data availability mode: L1
    for address, changes in sorted(diff.storage.items()):
        felts += [address, len(changes), *(felt for row in sorted(changes.items()) for felt in row)]
    felts += [len(diff.nonces), *(felt for row in sorted(diff.nonces.items()) for felt in row)]
    return poseidon_many(felts)
