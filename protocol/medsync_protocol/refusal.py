"""Why the anchor contract refuses: its revert reasons, and the error that our own checks raise for them.

Python and Cairo say the same word for the same fault; `contracts/README.md` lists what each means.
"""

from __future__ import annotations

from enum import StrEnum

from medsync_protocol.errors import Invalid


class Reason(StrEnum):
    """The anchor's revert reasons (STARKNET §2), each a Cairo short string."""

    CONTEXT_EXISTS = "CONTEXT_EXISTS"
    UNKNOWN_CONTEXT = "UNKNOWN_CONTEXT"
    RECOVERY_DELAY = "RECOVERY_DELAY"
    MEMBERS_SIZE = "MEMBERS_SIZE"
    KEYS_NOT_ASCENDING = "KEYS_NOT_ASCENDING"
    K_TAKEN = "K_TAKEN"
    K_NOT_NEXT = "K_NOT_NEXT"
    WRONG_PREV = "WRONG_PREV"
    WRONG_MEMBERS = "WRONG_MEMBERS"
    WRONG_NEXT_MEMBERS = "WRONG_NEXT_MEMBERS"
    TOO_EARLY = "TOO_EARLY"
    BELOW_QUORUM = "BELOW_QUORUM"
    VOTES_NOT_ASCENDING = "VOTES_NOT_ASCENDING"
    UNKNOWN_SIGNER = "UNKNOWN_SIGNER"
    SIGNATURE_OUT_OF_RANGE = "SIGNATURE_OUT_OF_RANGE"
    BAD_SIGNATURE = "BAD_SIGNATURE"
    LOG_NOT_LARGER = "LOG_NOT_LARGER"
    LOG_TOO_LARGE = "LOG_TOO_LARGE"
    BAD_PEAKS = "BAD_PEAKS"
    BAD_APPEND_PROOF = "BAD_APPEND_PROOF"
    UNKNOWN_STATEMENT = "UNKNOWN_STATEMENT"
    BAD_PATH = "BAD_PATH"
    BAD_TERMINAL = "BAD_TERMINAL"
    NOT_UNDER_ROOT = "NOT_UNDER_ROOT"
    TRANSITION_REFUSED = "TRANSITION_REFUSED"
    NOT_MAJORITY = "NOT_MAJORITY"
    RECOVERY_PENDING = "RECOVERY_PENDING"
    RECOVERY_NOT_READY = "RECOVERY_NOT_READY"
    RECOVERY_CHANGES_ROOTS = "RECOVERY_CHANGES_ROOTS"


class AnchorRefusal(Invalid):
    """What the contract would refuse; `reason` is its word for it."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(f"the anchor would refuse this: {reason}")
        self.reason = reason


def require(holds: bool, reason: Reason) -> None:
    """Raises AnchorRefusal with this reason unless `holds`."""
    if not holds:
        raise AnchorRefusal(reason)
