"""What a transaction did, call by call (the trace part of Starknet's JSON-RPC specification).

Traces are not kept: a sealed transaction's is made by running its block again, which gives the same.
"""

from __future__ import annotations

from typing import Any

from medsync_chain.blocks import revert_reason
from medsync_chain.block_documents import diff_document
from medsync_chain.chain import Chain
from medsync_chain.errors import Code, Unacceptable
from medsync_chain.execution import CallInfo
from medsync_chain.felts import to_hex
from medsync_chain.rpc.dispatch import Method, Methods, Params
from medsync_chain.rpc.places import block_of, felt
from medsync_chain.sequencer import Executed

__all__ = ["trace_document", "trace_methods"]


class Traces:
    """Runs blocks again."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    def of_transaction(self, params: Params) -> Any:
        """Raises Unacceptable: 29, 10 for one that is in no block yet."""
        wanted = felt(params["transaction_hash"], "transaction_hash")
        for executed in self._chain.pending.executed:
            if executed.transaction.hash == wanted:
                return trace_document(executed)
        place = self._chain.history.place_of(wanted)
        if place is None:
            if self._chain.pool.find(wanted) is not None:
                raise Unacceptable(Code.NO_TRACE_AVAILABLE, {"status": "RECEIVED"})
            raise Unacceptable(Code.TXN_HASH_NOT_FOUND)
        return trace_document(self._chain.replay(place[0])[place[1]])

    def of_block(self, params: Params) -> Any:
        """Raises Unacceptable (24)."""
        block = block_of(self._chain, params["block_id"])
        return [
            {"transaction_hash": to_hex(executed.transaction.hash), "trace_root": trace_document(executed)}
            for executed in self._chain.replay(block.number)
        ]


def trace_methods(chain: Chain) -> Methods:
    """By name."""
    traces = Traces(chain)
    return {
        "starknet_traceTransaction": Method(traces.of_transaction, ("transaction_hash",)),
        "starknet_traceBlockTransactions": Method(traces.of_block, ("block_id",)),
    }


def trace_document(executed: Executed) -> dict[str, Any]:
    """The trace of a transaction."""
    trace, used = executed.trace, executed.used
    document: dict[str, Any] = {
        "type": executed.transaction.TYPE,
        "execution_resources": {
            "l1_gas": used.l1_gas,
            "l1_data_gas": used.l1_data_gas,
            "l2_gas": used.l2_gas,
        },
        "state_diff": diff_document(executed.diff),
    }
    for name, call in (
        ("constructor_invocation", trace.constructor),
        ("validate_invocation", trace.validation),
        ("execute_invocation", trace.execution),
        ("fee_transfer_invocation", trace.fee_transfer),
    ):
        if call is not None:
            document[name] = _invocation(call)
    if executed.failure is not None:
        document["execute_invocation"] = {"revert_reason": revert_reason(executed.failure)}
    return document


def _invocation(info: CallInfo) -> dict[str, Any]:
    call = info.call
    return {
        "contract_address": to_hex(call.address),
        "entry_point_selector": to_hex(call.selector),
        "calldata": [to_hex(value) for value in call.calldata],
        "caller_address": to_hex(call.caller),
        "class_hash": to_hex(info.class_hash),
        "entry_point_type": call.kind.value,
        "call_type": call.type.value,
        "result": [to_hex(value) for value in info.result],
        "calls": [_invocation(inner) for inner in info.calls],
        "events": [
            {
                "keys": [to_hex(key) for key in event.keys],
                "data": [to_hex(value) for value in event.data],
                "order": event.order,
            }
            for event in info.own_events
        ],
        "messages": [
            {
                "from_address": to_hex(message.sender),
                "to_address": to_hex(message.recipient),
                "payload": [to_hex(value) for value in message.payload],
                "order": message.order,
            }
            for message in info.own_messages
        ],
        "execution_resources": {"l1_gas": 0, "l2_gas": info.gas},
        "is_reverted": info.failed,
    }
