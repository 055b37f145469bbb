"""Failures of calls and simulated transactions, nested frame by frame as starknet-devnet and other nodes nest them."""

from __future__ import annotations

import json
from typing import Any

from medsync_chain.execution import Failure
from medsync_chain.felts import to_hex

__all__ = ["nested"]


def nested(failure: Failure) -> Any:
    """{contract_address, class_hash, selector, error}, the innermost error a text or a JSON list of felts in hex."""
    error: Any = failure.text
    if failure.panic is not None:
        error = json.dumps([to_hex(felt) for felt in failure.panic])
    for address, class_hash, selector in reversed(failure.frames):
        error = {
            "contract_address": to_hex(address),
            "class_hash": to_hex(class_hash),
            "selector": to_hex(selector),
            "error": error,
        }
    return error
