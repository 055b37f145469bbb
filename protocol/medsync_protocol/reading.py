"""Reads what a membership or keys operation says, with its certificates and proofs checked. Its verdict is membership.py's."""

from __future__ import annotations

from medsync_protocol.actions import Action, Admit, DeviceAdd, Genesis, Unreadable, VoterKey, decode_action
from medsync_protocol.errors import BadSignature, Malformed
from medsync_protocol.identity import check_certificate
from medsync_protocol.ids import ContextId
from medsync_protocol.voters import check_voter_key


def read_action(kind: int, payload: bytes, context: ContextId) -> Action:
    """An operation's meaning, with its certificates and proofs checked: Unreadable where they don't hold."""
    try:
        action = decode_action(kind, payload)
        match action:
            case Genesis(founder=card) | Admit(card=card):
                check_certificate(card.member, card.device, card.certificate)
            case DeviceAdd(member=member, device=device, certificate=certificate):
                check_certificate(member, device, certificate)
            case VoterKey():
                check_voter_key(action, context)
    except (Malformed, BadSignature):
        return Unreadable(kind=kind)
    return action
