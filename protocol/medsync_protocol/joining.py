"""Invitations and the join handshake: one admitter, one use, one network (PROTOCOL §§1, 3; DESIGN §5).

An invitation is signed by the member who will admit; only that member's node honours it. The invitee shows the token
over a guest stream, on which Noise has already proved its device key.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from medsync_protocol.actions import MemberCard
from medsync_protocol.codec import pack, unpack, want_array, want_bytes, want_int, want_str
from medsync_protocol.crypto import sign, verify
from medsync_protocol.errors import BadSignature, Malformed, Refused
from medsync_protocol.frames import want_addresses
from medsync_protocol.identity import Identity, check_certificate
from medsync_protocol.ids import DeviceId, MemberId, NetworkId
from medsync_protocol.kinds import Role

_PREFIX: Final = "medsync-invite:"
_DOMAIN: Final = b"medsync/invitation/1"
JOIN_PROTOCOL: Final = "/medsync/join/1"
NOTICE_PROTOCOL: Final = "/medsync/notice/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """What the admitter promises. `expires` in ms; `bound_to` None: whoever holds the token first."""

    network: NetworkId
    invitation: bytes
    role: Role
    expires: int
    bound_to: MemberId | None
    admitter: MemberId
    device: DeviceId
    addresses: tuple[str, ...]

    def _fields(self) -> bytes:
        return pack([
            self.network, self.invitation, self.role, self.expires, self.bound_to, self.admitter, self.device,
            self.addresses,
        ])  # fmt: skip

    def token(self, identity: Identity) -> str:
        """Text to hand over; whoever holds it can use it once."""
        data = self._fields()
        signed = pack([data, sign(identity.signing_seed, _DOMAIN, data)])
        return _PREFIX + base64.urlsafe_b64encode(signed).decode().rstrip("=")


def parse_token(token: str) -> Invitation:
    """The invitation in a token, its signature checked. Raises Refused with advice."""
    try:
        if not token.startswith(_PREFIX):
            raise Malformed("no invitation")
        text = token[len(_PREFIX) :].strip()
        data, signature = want_array(unpack(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))), 2)
        invitation = _parse(want_bytes(data))
        verify(invitation.admitter, _DOMAIN, want_bytes(data), want_bytes(signature, 64))
    except (Malformed, BadSignature, binascii.Error, ValueError) as error:
        raise Refused(
            "this is no intact invitation",
            code="bad_invitation",
            advice="copy the whole token, from medsync-invite: to its end, or ask for a new one",
        ) from error
    return invitation


def _parse(data: bytes) -> Invitation:
    network, number, role, expires, bound_to, admitter, device, addresses = want_array(unpack(data), 8)
    return Invitation(
        network=NetworkId(want_bytes(network, 32)),
        invitation=want_bytes(number, 16),
        role=Role(want_int(role, 0, 2)),
        expires=want_int(expires),
        bound_to=None if bound_to is None else MemberId(want_bytes(bound_to, 32)),
        admitter=MemberId(want_bytes(admitter, 32)),
        device=DeviceId(want_bytes(device, 32)),
        addresses=want_addresses(addresses),
    )


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """What the invitee sends: where, on which guest protocol, which bytes."""

    addresses: tuple[str, ...]
    protocol: str
    frame: bytes
    invitation: Invitation


def join_request(token: str, identity: Identity, addresses: Sequence[str], now: int) -> JoinRequest:
    """Raises Refused when the token is not intact, expired, or bound to another member."""
    invitation = parse_token(token)
    if now > invitation.expires:
        raise Refused("the invitation has expired", code="invitation_expired", advice="ask the inviting member for another")
    if invitation.bound_to not in (None, identity.member):
        raise Refused(
            "the invitation is for another member", code="invitation_bound", advice="ask for one for this member's key"
        )
    return JoinRequest(
        invitation.addresses, JOIN_PROTOCOL, pack([token, card_of(identity).fields(), list(addresses)]), invitation
    )


def card_of(identity: Identity) -> MemberCard:
    """What this home shows to be admitted."""
    return MemberCard(
        member=identity.member, device=identity.device, certificate=identity.certificate(),
        sealing_key=identity.sealing_public, name=identity.name,
    )  # fmt: skip


def read_request(frame: bytes, peer: DeviceId) -> tuple[Invitation, MemberCard, tuple[str, ...]]:
    """An invitee's request, its card checked against the device that Noise proved. Raises Invalid or Refused."""
    token, card_fields, addresses = want_array(unpack(frame), 3)
    card = MemberCard.parse(card_fields)
    if card.device != peer:
        raise Malformed("the card is for another device than the one on this link")
    check_certificate(card.member, card.device, card.certificate)
    return parse_token(want_str(token, 4096)), card, want_addresses(addresses)


def check_invitation(invitation: Invitation, card: MemberCard, *, network: NetworkId, admitter: MemberId, used: MemberId | None, now: int) -> None:  # fmt: skip
    """Raises Refused unless this node may honour the invitation for this card, now."""
    if invitation.network != network:
        raise Refused("the invitation is for another network", code="invitation_network", advice="join the network it names")
    if invitation.admitter != admitter:
        raise Refused(
            "another member signed this invitation", code="invitation_admitter", advice="dial the member that invited you"
        )
    if now > invitation.expires:
        raise Refused("the invitation has expired", code="invitation_expired", advice="ask the inviting member for another")
    if invitation.bound_to not in (None, card.member):
        raise Refused(
            "the invitation is for another member", code="invitation_bound", advice="ask for one for this member's key"
        )
    if used not in (None, card.member):
        raise Refused("the invitation was used before", code="invitation_used", advice="ask for a new invitation")


def accepted_reply(network: NetworkId, genesis: bytes, directory: dict[DeviceId, tuple[str, ...]]) -> bytes:
    """The admitter's yes: the network's genesis and where its devices listen."""
    return pack(["admitted", network, genesis, sorted(directory.items())])


def refused_reply(refusal: Refused) -> bytes:
    """The admitter's no, in words."""
    return pack(["refused", refusal.code, str(refusal), refusal.advice])


def read_reply(reply: bytes) -> tuple[NetworkId, bytes, dict[DeviceId, tuple[str, ...]]]:
    """Network, genesis and directory. Raises Refused with the admitter's words, Malformed otherwise."""
    fields = want_array(unpack(reply), 4)
    if fields[0] == "refused":
        code, message, advice = (want_str(field, 1024) for field in fields[1:])
        raise Refused(message, code=code, advice=advice)
    if fields[0] != "admitted":
        raise Malformed("an answer that is neither admitted nor refused")
    listed = [want_array(item, 2) for item in want_array(fields[3], at_most=4096)]
    directory = {DeviceId(want_bytes(device, 32)): want_addresses(addresses) for device, addresses in listed}
    return NetworkId(want_bytes(fields[1], 32)), want_bytes(fields[2]), directory
