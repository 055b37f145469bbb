"""A member's Stark key in one context, and the proof that it holds it (PROTOCOL §1)."""

from __future__ import annotations

from medsync_protocol.actions import VoterKey
from medsync_protocol.ids import ContextId, MemberId
from medsync_protocol.poseidon import Felt, split_digest, tagged_hash
from medsync_protocol.stark import public_key, sign, verify

_TAG = "MEDSYNC_VOTER_1"


def _message(context: ContextId, member: MemberId) -> Felt:
    return tagged_hash(_TAG, [*split_digest(context), *split_digest(member)])


def prove_voter_key(secret: int, context: ContextId, member: MemberId) -> VoterKey:
    """The action that announces the key of `secret`."""
    r, s = sign(_message(context, member), secret)
    return VoterKey(member=member, key=public_key(secret), r=r, s=s)


def check_voter_key(action: VoterKey, context: ContextId) -> None:
    """Raises BadSignature unless the key signed for this context and member."""
    verify(_message(context, action.member), action.key, action.r, action.s)
