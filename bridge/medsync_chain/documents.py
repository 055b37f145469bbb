"""JSON forms of transactions, both ways: what clients send and see, and what is kept on disk. Blocks are `block_documents.py`'s.

Shapes: Starknet's JSON-RPC specification 0.10.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from medsync_chain import costs
from medsync_chain.classes import SierraClass
from medsync_chain.errors import Code, Unacceptable
from medsync_chain.felts import from_hex, to_hex
from medsync_chain.hashes import ADDRESS_LIMIT
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

__all__ = ["Document", "hexes", "parse_broadcast", "parse_transaction", "transaction_document"]

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
        "signature": hexes(transaction.signature),
        "resource_bounds": {
            name: {
                "max_amount": to_hex(getattr(transaction.bounds, name).amount),
                "max_price_per_unit": to_hex(getattr(transaction.bounds, name).price),
            }
            for name in _RESOURCES
        },
        "tip": to_hex(transaction.tip),
        "paymaster_data": hexes(transaction.paymaster_data),
        "nonce_data_availability_mode": _DA_MODES[transaction.nonce_da_mode],
        "fee_data_availability_mode": _DA_MODES[transaction.fee_da_mode],
    }
    match transaction:
        case DeployAccount():
            document |= {
                "class_hash": to_hex(transaction.class_hash),
                "contract_address_salt": to_hex(transaction.salt),
                "constructor_calldata": hexes(transaction.constructor_calldata),
            }
        case Declare():
            document |= {
                "sender_address": to_hex(transaction.sender_address),
                "class_hash": to_hex(transaction.class_hash),
                "compiled_class_hash": to_hex(transaction.compiled_class_hash),
                "account_deployment_data": hexes(transaction.account_deployment_data),
            }
        case Invoke():
            document |= {
                "sender_address": to_hex(transaction.sender_address),
                "calldata": hexes(transaction.calldata),
                "account_deployment_data": hexes(transaction.account_deployment_data),
            }
            if transaction.facts:
                document["proof_facts"] = hexes(transaction.facts)
    return document


def hexes(values: Iterable[int]) -> list[str]:
    """Felts in hex."""
    return [to_hex(value) for value in values]
