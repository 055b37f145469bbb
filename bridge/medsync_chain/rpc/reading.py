"""Methods that read blocks, transactions and state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from medsync_chain.blocks import Block, Included
from medsync_chain.chain import Chain
from medsync_chain.block_documents import diff_document, header_document, pending_header, receipt_document
from medsync_chain.documents import transaction_document
from medsync_chain.errors import Code, Unacceptable
from medsync_chain.felts import to_hex
from medsync_chain.blocks import SEQUENCER, STARKNET_VERSION
from medsync_chain.ledger import StateAt
from medsync_chain.rpc.dispatch import Method, Methods, Params
from medsync_chain.rpc.places import block_of, felt, finality, is_pending, state_of, list_of
from medsync_chain.transactions import Transaction

__all__ = ["reading_methods"]

SPEC_VERSION = "0.10.2"
MAX_FLAGS = 16  # the specification has two

Shown = Callable[[Included, str], Any]


class Reading:
    """Answers from what the chain already knows."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    def methods(self) -> Methods:
        """By name."""
        block, state = ("block_id",), ("block_id", "contract_address")
        return {
            "starknet_specVersion": Method(lambda _: SPEC_VERSION),
            "starknet_chainId": Method(lambda _: to_hex(self._chain.chain_id)),
            "starknet_syncing": Method(lambda _: False),
            "starknet_blockNumber": Method(lambda _: self._chain.history.latest.number),
            "starknet_blockHashAndNumber": Method(self._hash_and_number),
            "starknet_getBlockWithTxHashes": Method(self._with(_as_hash), block),
            "starknet_getBlockWithTxs": Method(
                self._with(lambda one, _: transaction_document(one.transaction)),
                (*block, "response_flags"),
                1,
            ),
            "starknet_getBlockWithReceipts": Method(self._with(_as_receipt), (*block, "response_flags"), 1),
            "starknet_getBlockTransactionCount": Method(self._transaction_count, block),
            "starknet_getStateUpdate": Method(self._state_update, (*block, "contract_addresses"), 1),
            "starknet_getTransactionByHash": Method(
                self._transaction, ("transaction_hash", "response_flags"), 1
            ),
            "starknet_getTransactionByBlockIdAndIndex": Method(
                self._transaction_at, (*block, "index", "response_flags"), 2
            ),
            "starknet_getTransactionReceipt": Method(self._receipt, ("transaction_hash",)),
            "starknet_getTransactionStatus": Method(self._status, ("transaction_hash",)),
            "starknet_getNonce": Method(self._nonce, state),
            "starknet_getClassHashAt": Method(self._class_hash_at, state),
            "starknet_getClass": Method(self._class, (*block, "class_hash")),
            "starknet_getClassAt": Method(self._class_at, state),
            "starknet_getCompiledCasm": Method(self._casm, ("class_hash",)),
            "starknet_getStorageAt": Method(
                self._storage, ("contract_address", "key", "block_id", "response_flags"), 3
            ),
        }

    def _hash_and_number(self, _: Params) -> Any:
        header = self._chain.history.latest
        return {"block_hash": to_hex(header.hash), "block_number": header.number}

    def _with(self, shown: Shown) -> Callable[[Params], Any]:
        def handler(params: Params) -> Any:
            chain = self._chain
            if is_pending(params["block_id"]):
                included, info = chain.pending.included(), chain.pending.info
                header = pending_header(
                    info.number, info.timestamp, chain.pending.prices, SEQUENCER, STARKNET_VERSION
                )
                return {**header, "transactions": [shown(one, "PRE_CONFIRMED") for one in included]}
            block = block_of(chain, params["block_id"])
            final = finality(chain, block.number)
            return {
                **header_document(block.header),
                "status": final,
                "transactions": [shown(one, final) for one in block.included],
            }

        return handler

    def _transaction_count(self, params: Params) -> int:
        if is_pending(params["block_id"]):
            return len(self._chain.pending.executed)
        return len(block_of(self._chain, params["block_id"]).included)

    def _state_update(self, params: Params) -> Any:
        chain = self._chain
        if is_pending(params["block_id"]):
            return {
                "old_root": to_hex(chain.history.latest.root),
                "state_diff": diff_document(chain.pending.state.diff()),
            }
        block = block_of(chain, params["block_id"])
        before = chain.history.headers[block.number - 1].root if block.number else 0
        return {
            "block_hash": to_hex(block.header.hash),
            "new_root": to_hex(block.header.root),
            "old_root": to_hex(before),
            "state_diff": diff_document(block.diff),
        }

    def _find(self, params: Params) -> tuple[Block | None, Included | None, Transaction]:
        """A transaction by its hash: in a block, pending (no block), or waiting (nothing but itself)."""
        chain, wanted = self._chain, felt(params["transaction_hash"], "transaction_hash")
        place = chain.history.place_of(wanted)
        if place is not None:
            block = chain.history.block(place[0])
            included = block.included[place[1]]
            return block, included, included.transaction
        for included in chain.pending.included():
            if included.transaction.hash == wanted:
                return None, included, included.transaction
        waiting = chain.pool.find(wanted)
        if waiting is None:
            raise Unacceptable(Code.TXN_HASH_NOT_FOUND)
        return None, None, waiting

    def _transaction(self, params: Params) -> Any:
        return transaction_document(self._find(params)[2])

    def _transaction_at(self, params: Params) -> Any:
        chain, index = self._chain, params["index"]
        if is_pending(params["block_id"]):
            transactions = [one.transaction for one in chain.pending.executed]
        else:
            transactions = [one.transaction for one in block_of(chain, params["block_id"]).included]
        if not isinstance(index, int) or not 0 <= index < len(transactions):
            raise Unacceptable(Code.INVALID_TXN_INDEX)
        return transaction_document(transactions[index])

    def _receipt(self, params: Params) -> Any:
        block, included, _ = self._find(params)
        if included is None:
            raise Unacceptable(Code.TXN_HASH_NOT_FOUND)
        if block is None:
            return {
                **receipt_document(included, "PRE_CONFIRMED"),
                "block_number": self._chain.pending.info.number,
            }
        return {
            **receipt_document(included, finality(self._chain, block.number)),
            "block_hash": to_hex(block.header.hash),
            "block_number": block.number,
        }

    def _status(self, params: Params) -> Any:
        block, included, _ = self._find(params)
        if included is None:
            return {"finality_status": "RECEIVED"}
        final = "PRE_CONFIRMED" if block is None else finality(self._chain, block.number)
        reverted = included.receipt.reverted
        if reverted is None:
            return {"finality_status": final, "execution_status": "SUCCEEDED"}
        return {"finality_status": final, "execution_status": "REVERTED", "failure_reason": reverted}

    def _nonce(self, params: Params) -> str:
        state = state_of(self._chain, params["block_id"])
        address = felt(params["contract_address"], "contract_address")
        if state.class_at(address) == 0:
            raise Unacceptable(Code.CONTRACT_NOT_FOUND)
        return to_hex(state.nonce(address))

    def _class_hash_at(self, params: Params) -> str:
        state = state_of(self._chain, params["block_id"])
        class_hash = state.class_at(felt(params["contract_address"], "contract_address"))
        if class_hash == 0:
            raise Unacceptable(Code.CONTRACT_NOT_FOUND)
        return to_hex(class_hash)

    def _class(self, params: Params) -> Any:
        state = state_of(self._chain, params["block_id"])
        class_hash = felt(params["class_hash"], "class_hash")
        if state.compiled_class_hash(class_hash) == 0:
            raise Unacceptable(Code.CLASS_HASH_NOT_FOUND)
        return self._chain.contract_class(class_hash).sierra.document

    def _class_at(self, params: Params) -> Any:
        return self._class({**params, "class_hash": self._class_hash_at(params)})

    def _casm(self, params: Params) -> Any:
        class_hash = felt(params["class_hash"], "class_hash")
        if self._chain.pending.state.compiled_class_hash(class_hash) == 0:
            raise Unacceptable(Code.CLASS_HASH_NOT_FOUND)
        return self._chain.contract_class(class_hash).casm_document

    def _storage(self, params: Params) -> Any:
        address, key = felt(params["contract_address"], "contract_address"), felt(params["key"], "key")
        state = state_of(self._chain, params["block_id"])
        if state.class_at(address) == 0 and state.storage(address, key) == 0:
            raise Unacceptable(Code.CONTRACT_NOT_FOUND)
        value = to_hex(state.storage(address, key))
        if "INCLUDE_LAST_UPDATE_BLOCK" not in list_of(
            params.get("response_flags"), "response_flags", MAX_FLAGS
        ):
            return value
        settled = state if isinstance(state, StateAt) else self._chain.history.ledger.at()
        return {"value": value, "last_update_block": settled.storage_updated(address, key)}


def _as_hash(included: Included, _: str) -> Any:
    return to_hex(included.transaction.hash)


def _as_receipt(included: Included, final: str) -> Any:
    transaction = transaction_document(included.transaction)
    del transaction["transaction_hash"]  # it stands in the receipt; clients refuse it here
    return {"transaction": transaction, "receipt": receipt_document(included, final)}


def reading_methods(chain: Chain) -> Methods:
    """By name."""
    return Reading(chain).methods()
