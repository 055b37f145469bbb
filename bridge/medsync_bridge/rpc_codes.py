"""What each answer to a sent transaction asks for (STARKNET §8; codes of Starknet's JSON-RPC specification 0.10)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

from medsync_bridge.errors import RpcError


class Course(Enum):
    """What to do next."""

    LOOK = "look at the chain: it is sent, or its nonce is used"
    OFFER_MORE = "sign again with the same nonce and a higher offer"
    ESTIMATE_AGAIN = "sign again with the same nonce for a fresh estimate"
    ALERT = "tell the operator and try again later"
    STOP = "stop: the key is not the account's"
    GIVE_UP = "stop this errand: no node will take it"
    UNCLEAR = "it may be sent or not: tell, and look at the chain"


COURSES: Final[Mapping[int, Course]] = {
    51: Course.LOOK,  # class already declared
    52: Course.LOOK,  # invalid nonce
    53: Course.ESTIMATE_AGAIN,  # insufficient resources for validation
    54: Course.ALERT,  # insufficient account balance
    55: Course.STOP,  # validation failure
    56: Course.GIVE_UP,  # compilation failed
    57: Course.GIVE_UP,  # class too large
    58: Course.GIVE_UP,  # sender is no account
    59: Course.LOOK,  # already in the mempool
    60: Course.GIVE_UP,  # compiled class hash mismatch
    61: Course.GIVE_UP,  # unsupported transaction version
    62: Course.GIVE_UP,  # unsupported class version
    64: Course.OFFER_MORE,  # replacement underpriced
    65: Course.ESTIMATE_AGAIN,  # fee below minimum
}
"""Every other code is UNCLEAR."""


def course_of(error: RpcError) -> Course:
    """What this answer asks for. Some gateways report a used nonce as a failed validation."""
    course = COURSES.get(error.rpc_code, Course.UNCLEAR)
    if course is Course.STOP and "nonce" in str(error.data).lower():
        return Course.LOOK
    return course
