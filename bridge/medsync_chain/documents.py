"""JSON forms of transactions, receipts, state changes and blocks, both ways: what clients see and what is kept on disk.

Shapes: Starknet's JSON-RPC specification 0.10.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from medsync_chain import costs
from medsync_chain.blocks import Block, Commitments, Header, Included, Receipt
from medsync_chain.classes import SierraClass
from medsync_chain.errors import Code, Unacceptable
from medsync_chain.execution import Event, Message
from medsync_chain.felts import from_hex, to_hex
from medsync_chain.fees import Consumption, Prices
from medsync_chain.hashes import ADDRESS_LIMIT
from medsync_chain.state import StateDiff
from medsync_chain.transactions import (
    QUERY_VERSION,
    VERSION,
    Bound,
    Bounds,
    Declare,
    DeployAccount,
    Invoke,
    Transaction,
)

__all__ = [
    "block_document",
    "diff_document",
    "header_document",
    "parse_block",
    "parse_broadcast",
    "pending_header",
    "receipt_document",
    "transaction_document",
]

_U64, _U128 = 1 << 64, 1 << 128
_DA_MODES = ("L1", "L2")
_RESOURCES = ("l1_gas", "l2_gas", "l1_data_gas")

Document = dict[str, Any]


def parse_broadcast(document: Mapping[str, Any], chain_id: int) -> tuple[Transaction, SierraClass | None]:
    """A transaction as a client sends it, and the class it declares. Raises Unacceptable."""
    sierra = None
    if isinstance(document, Mapping) and document.get("type") == Declare.TYPE:
        if not isinstance(document.get("contract_class"), Mapping):
            raise Unacceptable.malformed("contract_class is missing")
        sierra = SierraClass.parse(document["contract_class"])
        document = {**document, "class_hash": to_hex(sierra.class_hash)}
    return parse_transaction(document, chain_id), sierra


def parse_transaction(document: Mapping[str, Any], chain_id: int) -> Transaction:
    """Raises Unacceptable for what is no transaction of version 3."""
    try:
        version = from_hex(document["version"])
        if version not in (VERSION, QUERY_VERSION):
            raise Unacceptable(Code.UNSUPPORTED_TX_VERSION)
        common: Document = {
            "chain_id": chain_id,
            "version": version,
            "nonce": from_hex(document["nonce"]),
            "signature": _felts(document["signature"], costs.MAX_SIGNATURE),
            "bounds": _parse_bounds(document["resource_bounds"]),
            "tip": from_hex(document["tip"], _U64),
            "paymaster_data": _felts(document.get("paymaster_data", []), 0),
            "nonce_da_mode": _da_mode(document["nonce_data_availability_mode"]),
            "fee_da_mode": _da_mode(document["fee_data_availability_mode"]),
        }
        return _PARSERS[document["type"]](document, common)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unacceptable.malformed(f"not a transaction: {error!r}") from error


def _parse_invoke(document: Mapping[str, Any], common: Document) -> Invoke:
    return Invoke(
        sender_address=from_hex(document["sender_address"], ADDRESS_LIMIT),
        calldata=_felts(document["calldata"], costs.MAX_CALLDATA),
        account_deployment_data=_felts(document.get("account_deployment_data", []), 0),
        facts=_felts(document.get("proof_facts") or [], costs.MAX_CALLDATA),
        **common,
    )


def _parse_declare(document: Mapping[str, Any], common: Document) -> Declare:
    return Declare(
        sender_address=from_hex(document["sender_address"], ADDRESS_LIMIT),
        class_hash=from_hex(document["class_hash"]),
        compiled_class_hash=from_hex(document["compiled_class_hash"]),
        account_deployment_data=_felts(document.get("account_deployment_data", []), 0),
        **common,
    )


def _parse_deploy_account(document: Mapping[str, Any], common: Document) -> DeployAccount:
    return DeployAccount(
        class_hash=from_hex(document["class_hash"]),
        salt=from_hex(document["contract_address_salt"]),
        constructor_calldata=_felts(document["constructor_calldata"], costs.MAX_CALLDATA),
        **common,
    )


_PARSERS = {
    Invoke.TYPE: _parse_invoke,
    Declare.TYPE: _parse_declare,
    DeployAccount.TYPE: _parse_deploy_account,
}


def _parse_bounds(document: Mapping[str, Any]) -> Bounds:
    rows = {
        name: Bound(
            from_hex(document[name]["max_amount"], _U64),
            from_hex(document[name]["max_price_per_unit"], _U128),
        )
        for name in _RESOURCES
    }
    return Bounds(**rows)


def _felts(values: Any, limit: int) -> tuple[int, ...]:
    if not isinstance(values, list):
        raise ValueError("a list of felts is missing")
    if len(values) > limit:
        raise ValueError(f"{len(values)} felts, at most {limit}")
    return tuple(from_hex(value) for value in values)


def _da_mode(value: str) -> int:
    return _DA_MODES.index(value) if value in _DA_MODES else (0, 1).index(from_hex(value))


def transaction_document(transaction: Transaction) -> Document:
    """With its hash, without the class it declares."""
    document: Document = {
        "transaction_hash": to_hex(transaction.hash),
        "type": transaction.TYPE,
        "version": to_hex(transaction.version),
        "nonce": to_hex(transaction.nonce),
        "signature": _hexes(transaction.signature),
        "resource_bounds": {
            name: {
                "max_amount": to_hex(getattr(transaction.bounds, name).amount),
                "max_price_per_unit": to_hex(getattr(transaction.bounds, name).price),
            }
            for name in _RESOURCES
        },
        "tip": to_hex(transaction.tip),
        "paymaster_data": _hexes(transaction.paymaster_data),
        "nonce_data_availability_mode": _DA_MODES[transaction.nonce_da_mode],
        "fee_data_availability_mode": _DA_MODES[transaction.fee_da_mode],
    }
    match transaction:
        case DeployAccount():
            document |= {
                "class_hash": to_hex(transaction.class_hash),
                "contract_address_salt": to_hex(transaction.salt),
                "constructor_calldata": _hexes(transaction.constructor_calldata),
            }
        case Declare():
            document |= {
                "sender_address": to_hex(transaction.sender_address),
                "class_hash": to_hex(transaction.class_hash),
                "compiled_class_hash": to_hex(transaction.compiled_class_hash),
                "account_deployment_data": _hexes(transaction.account_deployment_data),
            }
        case Invoke():
            document |= {
                "sender_address": to_hex(transaction.sender_address),
                "calldata": _hexes(transaction.calldata),
                "account_deployment_data": _hexes(transaction.account_deployment_data),
            }
            if transaction.facts:
                document["proof_facts"] = _hexes(transaction.facts)
    return document


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
                "payload": _hexes(message.payload),
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
    return {"from_address": to_hex(event.address), "keys": _hexes(event.keys), "data": _hexes(event.data)}


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


def _price(fri: int) -> Document:
    return {"price_in_fri": to_hex(fri), "price_in_wei": to_hex(1)}


def _hexes(values: Iterable[int]) -> list[str]:
    return [to_hex(value) for value in values]


def _numbers(values: Iterable[str]) -> tuple[int, ...]:
    return tuple(from_hex(value) for value in values)


def _rows(values: Mapping[int, int], key: str, value: str) -> list[Document]:
    return [{key: to_hex(left), value: to_hex(right)} for left, right in values.items()]


def _parse_rows(rows: Iterable[Mapping[str, str]], key: str, value: str) -> dict[int, int]:
    return {from_hex(row[key]): from_hex(row[value]) for row in rows}
