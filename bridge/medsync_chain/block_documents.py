"""JSON forms of receipts, state changes and blocks, both ways: what clients see and what is kept on disk.

Shapes: Starknet's JSON-RPC specification 0.10.2. Transactions are `documents.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from medsync_chain.blocks import Block, Commitments, Header, Included, Outline, Receipt
from medsync_chain.documents import Document, hexes, parse_transaction, transaction_document
from medsync_chain.execution import Event, Message
from medsync_chain.felts import from_hex, to_hex
from medsync_chain.fees import Consumption, Prices
from medsync_chain.state import StateDiff

__all__ = [
    "block_document",
    "diff_document",
    "event_document",
    "header_document",
    "parse_block",
    "parse_outline",
    "pending_header",
    "receipt_document",
]


def receipt_document(included: Included, finality: str) -> Document:
    """Without the block it stands in."""
    receipt, transaction = included.receipt, included.transaction
    document: Document = {
        "type": transaction.TYPE,
        "transaction_hash": to_hex(transaction.hash),
        "actual_fee": {"amount": to_hex(receipt.fee), "unit": "FRI"},
        "execution_status": "SUCCEEDED" if receipt.reverted is None else "REVERTED",
        "finality_status": finality,
        "messages_sent": [
            {
                "from_address": to_hex(message.sender),
                "to_address": to_hex(message.recipient),
                "payload": hexes(message.payload),
            }
            for message in receipt.messages
        ],
        "events": [event_document(event) for event in receipt.events],
        "execution_resources": {
            "l1_gas": receipt.used.l1_gas,
            "l1_data_gas": receipt.used.l1_data_gas,
            "l2_gas": receipt.used.l2_gas,
        },
    }
    if receipt.reverted is not None:
        document["revert_reason"] = receipt.reverted
    if receipt.contract_address is not None:
        document["contract_address"] = to_hex(receipt.contract_address)
    return document


def event_document(event: Event) -> Document:
    """Without where it was emitted."""
    return {"from_address": to_hex(event.address), "keys": hexes(event.keys), "data": hexes(event.data)}


def _parse_receipt(document: Mapping[str, Any]) -> Receipt:
    used = document["execution_resources"]
    return Receipt(
        fee=from_hex(document["actual_fee"]["amount"]),
        used=Consumption(l1_gas=used["l1_gas"], l2_gas=used["l2_gas"], l1_data_gas=used["l1_data_gas"]),
        events=tuple(
            Event(
                address=from_hex(event["from_address"]),
                keys=_numbers(event["keys"]),
                data=_numbers(event["data"]),
                order=order,
            )
            for order, event in enumerate(document["events"])
        ),
        messages=tuple(
            Message(
                sender=from_hex(message["from_address"]),
                recipient=from_hex(message["to_address"]),
                payload=_numbers(message["payload"]),
                order=order,
            )
            for order, message in enumerate(document["messages_sent"])
        ),
        reverted=document.get("revert_reason"),
        contract_address=from_hex(document["contract_address"]) if "contract_address" in document else None,
    )


def diff_document(diff: StateDiff) -> Document:
    """A state diff."""
    return {
        "storage_diffs": [
            {
                "address": to_hex(address),
                "storage_entries": [
                    {"key": to_hex(key), "value": to_hex(value)} for key, value in changes.items()
                ],
            }
            for address, changes in diff.storage.items()
        ],
        "deprecated_declared_classes": [],
        "declared_classes": _rows(diff.declared, "class_hash", "compiled_class_hash"),
        "migrated_compiled_classes": [],
        "deployed_contracts": _rows(diff.deployed, "address", "class_hash"),
        "replaced_classes": _rows(diff.replaced, "contract_address", "class_hash"),
        "nonces": _rows(diff.nonces, "contract_address", "nonce"),
    }


def _parse_diff(document: Mapping[str, Any]) -> StateDiff:
    return StateDiff(
        storage={
            from_hex(changed["address"]): {
                from_hex(entry["key"]): from_hex(entry["value"]) for entry in changed["storage_entries"]
            }
            for changed in document["storage_diffs"]
        },
        declared=_parse_rows(document["declared_classes"], "class_hash", "compiled_class_hash"),
        deployed=_parse_rows(document["deployed_contracts"], "address", "class_hash"),
        replaced=_parse_rows(document["replaced_classes"], "contract_address", "class_hash"),
        nonces=_parse_rows(document["nonces"], "contract_address", "nonce"),
    )


def pending_header(number: int, timestamp: int, prices: Prices, sequencer: int, version: str) -> Document:
    """The eight fields that a pre-confirmed block has, and no more: clients refuse others."""
    return {
        "block_number": number,
        "timestamp": timestamp,
        "sequencer_address": to_hex(sequencer),
        "l1_gas_price": _price(prices.l1_gas),
        "l2_gas_price": _price(prices.l2_gas),
        "l1_data_gas_price": _price(prices.l1_data_gas),
        "l1_da_mode": "BLOB",
        "starknet_version": version,
    }


def header_document(header: Header) -> Document:
    """A sealed block's header, without its status."""
    return {
        **pending_header(header.number, header.timestamp, header.prices, header.sequencer, header.version),
        "block_hash": to_hex(header.hash),
        "parent_hash": to_hex(header.parent_hash),
        "new_root": to_hex(header.root),
        "event_commitment": to_hex(header.commitments.events),
        "transaction_commitment": to_hex(header.commitments.transactions),
        "receipt_commitment": to_hex(header.commitments.receipts),
        "state_diff_commitment": to_hex(header.commitments.state_diff),
        "event_count": header.event_count,
        "transaction_count": header.transaction_count,
        "state_diff_length": header.state_diff_length,
    }


def _parse_header(document: Mapping[str, Any]) -> Header:
    return Header(
        number=document["block_number"],
        hash=from_hex(document["block_hash"]),
        parent_hash=from_hex(document["parent_hash"]),
        root=from_hex(document["new_root"]),
        timestamp=document["timestamp"],
        prices=Prices(
            l1_gas=from_hex(document["l1_gas_price"]["price_in_fri"]),
            l2_gas=from_hex(document["l2_gas_price"]["price_in_fri"]),
            l1_data_gas=from_hex(document["l1_data_gas_price"]["price_in_fri"]),
        ),
        commitments=Commitments(
            transactions=from_hex(document["transaction_commitment"]),
            receipts=from_hex(document["receipt_commitment"]),
            events=from_hex(document["event_commitment"]),
            state_diff=from_hex(document["state_diff_commitment"]),
        ),
        transaction_count=document["transaction_count"],
        event_count=document["event_count"],
        state_diff_length=document["state_diff_length"],
        sequencer=from_hex(document["sequencer_address"]),
        version=document["starknet_version"],
    )


def block_document(block: Block) -> Document:
    """A whole block, as it is kept."""
    return {
        "header": header_document(block.header),
        "included": [
            {"transaction": transaction_document(one.transaction), "receipt": receipt_document(one, "")}
            for one in block.included
        ],
        "diff": diff_document(block.diff),
    }


def parse_block(document: Mapping[str, Any], chain_id: int) -> Block:
    """A whole block, as it was kept."""
    return Block(
        header=_parse_header(document["header"]),
        included=tuple(
            Included(
                transaction=parse_transaction(one["transaction"], chain_id),
                receipt=_parse_receipt(one["receipt"]),
            )
            for one in document["included"]
        ),
        diff=_parse_diff(document["diff"]),
    )


def parse_outline(document: Mapping[str, Any]) -> Outline:
    """A whole block's outline, without parsing its transactions."""
    included = document["included"]
    emitters = {event["from_address"] for one in included for event in one["receipt"]["events"]}
    return Outline(
        header=_parse_header(document["header"]),
        diff=_parse_diff(document["diff"]),
        transactions=tuple(from_hex(one["transaction"]["transaction_hash"]) for one in included),
        emitters=frozenset(from_hex(emitter) for emitter in emitters),
    )


def _price(fri: int) -> Document:
    return {"price_in_fri": to_hex(fri), "price_in_wei": to_hex(1)}


def _numbers(values: Iterable[str]) -> tuple[int, ...]:
    return tuple(from_hex(value) for value in values)


def _rows(values: Mapping[int, int], key: str, value: str) -> list[Document]:
    return [{key: to_hex(left), value: to_hex(right)} for left, right in values.items()]


def _parse_rows(rows: Iterable[Mapping[str, str]], key: str, value: str) -> dict[int, int]:
    return {from_hex(row[key]): from_hex(row[value]) for row in rows}
