"""Reads what a membership or keys operation says, with its certificates and proofs checked. Its verdict is membership.py's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from medsync_protocol.actions import (
    Action, Admit, DeviceAdd, Genesis, Rekey, Unknown, Unreadable, VoterKey, decode_action,
)  # fmt: skip
from medsync_protocol.errors import BadSignature, Malformed
from medsync_protocol.identity import check_certificate
from medsync_protocol.ids import ContextId
from medsync_protocol.kinds import OpKind, Plane
from medsync_protocol.operation import UNBORN, Body, Header
from medsync_protocol.voters import check_voter_key

_PLANE_OF: Final[Mapping[int, Plane]] = {
    kind: Plane.KEYS if kind is OpKind.ROTATE else Plane.MEMBERSHIP
    for kind in OpKind
    if kind is not OpKind.BATCH
}


def read_action(header: Header, body: Body, context: ContextId) -> Action:
    """An operation's meaning: Unreadable where its payload, certificate, proof or plane doesn't hold; else Unknown.

    Only the genesis that names the context founds it: one written later, inside the context, is Unreadable.
    """
    kind = header.kind
    if header.plane not in (Plane.MEMBERSHIP, Plane.KEYS):
        return Unknown(kind=kind)
    payload = body.entries[0].ciphertext if len(body.entries) == 1 else None
    if payload is None or _PLANE_OF.get(kind, header.plane) != header.plane:
        return Unreadable(kind=kind)
    try:
        action = decode_action(kind, payload)
        match action:
            case Genesis(founder=card) if UNBORN in (header.network, header.context):
                check_certificate(card.member, card.device, card.certificate)
            case Genesis():
                return Unreadable(kind=kind)
            case Admit(card=card) | Rekey(card=card):
                check_certificate(card.member, card.device, card.certificate)
            case DeviceAdd(member=member, device=device, certificate=certificate):
                check_certificate(member, device, certificate)
            case VoterKey():
                check_voter_key(action, context)
    except (Malformed, BadSignature):
        return Unreadable(kind=kind)
    return action
