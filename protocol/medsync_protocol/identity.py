"""What one home is: a member's seed and a device's, and every key derived from them (PROTOCOL §1)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from medsync_protocol.crypto import derive, sealing_public, sign, signing_public, verify
from medsync_protocol.ids import ContextId, DeviceId, MemberId
from medsync_protocol.stark import secret_from_seed

_DOMAIN_DEVICE = b"medsync/device/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A member's keys on one device. Seeds are 32 bytes and never leave the key file; `name` is public.

    Each `renewed` adds a sealing seed and keeps the device seed before it, both newest first: boxes made for an older
    sealing key open still, and the index of the home's database stays as it is.
    """

    member_seed: bytes = field(repr=False)
    device_seed: bytes = field(repr=False)
    name: str
    sealing_seeds: tuple[bytes, ...] = field(default=(), repr=False)
    former_devices: tuple[bytes, ...] = field(default=(), repr=False)

    def renewed(self, *, device_seed: bytes, sealing_seed: bytes) -> Identity:
        """The same member on a new device key, with a sealing key that derives from no older secret."""
        return replace(
            self, device_seed=device_seed, former_devices=(self.device_seed, *self.former_devices),
            sealing_seeds=(sealing_seed, *self.sealing_seeds),
        )  # fmt: skip

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
        return self.sealing_secrets[0]

    @property
    def sealing_secrets(self) -> tuple[bytes, ...]:
        """It and those before it, newest first; the first of all derives from the member seed."""
        return tuple(derive(seed, "sealing") for seed in (*self.sealing_seeds, self.member_seed))

    @property
    def retired(self) -> tuple[DeviceId, ...]:
        """Public halves of the device keys before this one."""
        return tuple(DeviceId(signing_public(seed)) for seed in self.former_devices)

    @property
    def sealing_public(self) -> bytes:
        """X25519 public key that others box epoch keys to."""
        return sealing_public(self.sealing_secret)

    @property
    def former_sealing_publics(self) -> tuple[bytes, ...]:
        """Public halves of the sealing keys before this one."""
        return tuple(sealing_public(secret) for secret in self.sealing_secrets[1:])

    @property
    def storage_key(self) -> bytes:
        """Seals secret values in this home's database."""
        return self.storage_keys[0]

    @property
    def storage_keys(self) -> tuple[bytes, ...]:
        """It and those before it, newest first: of what else lies in the home and was not sealed anew."""
        return tuple(derive(seed, "storage") for seed in (self.device_seed, *self.former_devices))

    @property
    def index_key(self) -> bytes:
        """Keys the hashes that stand in for pseudonyms in this home's indexes."""
        return derive((self.device_seed, *self.former_devices)[-1], "index")

    def stark_secret(self, context: ContextId) -> int:
        """The Stark key for votes and payouts in one context only: the same in two would link them in public."""
        return secret_from_seed(derive(self.member_seed, "stark", context, size=48))

    def certificate(self) -> bytes:
        """The member's signature over this device."""
        return sign(self.signing_seed, _DOMAIN_DEVICE, self.device)


def check_certificate(member: MemberId, device: DeviceId, certificate: bytes) -> None:
    """Raises BadSignature unless the member certified the device."""
    verify(member, _DOMAIN_DEVICE, device, certificate)
