"""What one home is: a member's seed and a device's, and every key derived from them (PROTOCOL §1)."""

from __future__ import annotations

from dataclasses import dataclass, field

from medsync_protocol.crypto import derive, sealing_public, sign, signing_public, verify
from medsync_protocol.ids import ContextId, DeviceId, MemberId
from medsync_protocol.stark import secret_from_seed

_DOMAIN_DEVICE = b"medsync/device/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A member's keys on one device. Seeds are 32 bytes and never leave the key file; `name` is public."""

    member_seed: bytes = field(repr=False)
    device_seed: bytes = field(repr=False)
    name: str

    @property
    def signing_seed(self) -> bytes:
        """Ed25519 seed of the member key."""
        return derive(self.member_seed, "member")

    @property
    def member(self) -> MemberId:
        """The member key's public half."""
        return MemberId(signing_public(self.signing_seed))

    @property
    def device(self) -> DeviceId:
        """The device key's public half; the PeerId derives from it."""
        return DeviceId(signing_public(self.device_seed))

    @property
    def sealing_secret(self) -> bytes:
        """X25519 secret that epoch keys are boxed to."""
        return derive(self.member_seed, "sealing")

    @property
    def sealing_public(self) -> bytes:
        """X25519 public key that others box epoch keys to."""
        return sealing_public(self.sealing_secret)

    @property
    def storage_key(self) -> bytes:
        """Seals secret values in this home's database."""
        return derive(self.device_seed, "storage")

    @property
    def index_key(self) -> bytes:
        """Keys the hashes that stand in for pseudonyms in this home's indexes."""
        return derive(self.device_seed, "index")

    def stark_secret(self, context: ContextId) -> int:
        """The Stark key for votes and payouts in one context only: the same in two would link them in public."""
        return secret_from_seed(derive(self.member_seed, "stark", context, size=48))

    def certificate(self) -> bytes:
        """The member's signature over this device."""
        return sign(self.signing_seed, _DOMAIN_DEVICE, self.device)


def check_certificate(member: MemberId, device: DeviceId, certificate: bytes) -> None:
    """Raises BadSignature unless the member certified the device."""
    verify(member, _DOMAIN_DEVICE, device, certificate)
