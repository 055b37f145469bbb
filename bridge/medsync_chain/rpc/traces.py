"""What a transaction did, call by call (the trace part of Starknet's JSON-RPC specification)."""

from __future__ import annotations

from typing import Any

from medsync_chain.blocks import revert_reason
from medsync_chain.block_documents import diff_document
from medsync_chain.execution import CallInfo
from medsync_chain.felts import to_hex
from medsync_chain.sequencer import Executed

__all__ = ["trace_document"]


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
