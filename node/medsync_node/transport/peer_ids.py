"""Device keys as libp2p's PeerIds and back, and addresses taken apart; no connections here."""

from __future__ import annotations

from typing import Final

from libp2p.crypto.ed25519 import Ed25519PublicKey
from libp2p.peer.id import ID
from multiaddr import Multiaddr
from multiaddr.exceptions import Error as MultiaddrError

from medsync_protocol.ids import DeviceId
from medsync_protocol.ports import Unreachable

_ED25519_IDENTITY: Final = bytes.fromhex("002408011220")  # identity multihash of an Ed25519 key


def peer_id(device: DeviceId) -> ID:
    """The PeerId that a device's key makes."""
    return ID.from_pubkey(Ed25519PublicKey.from_bytes(device))


def device_id(peer: ID) -> DeviceId | None:
    """The device behind a PeerId; None for identities that are not Ed25519 keys, which no device has."""
    raw = peer.to_bytes()
    if len(raw) != len(_ED25519_IDENTITY) + 32 or not raw.startswith(_ED25519_IDENTITY):
        return None
    return DeviceId(raw[len(_ED25519_IDENTITY) :])


def parse_address(address: str) -> tuple[Multiaddr, DeviceId]:
    """A multiaddr and the device it ends in. Raises Unreachable: nothing can be dialled there."""
    try:
        whole = Multiaddr(address)
        named = whole.value_for_protocol("p2p")
        device = device_id(ID.from_base58(named)) if named else None
    except (MultiaddrError, ValueError, LookupError) as error:
        raise Unreachable(f"not an address with an identity: {address!r}") from error
    if device is None:
        raise Unreachable(f"the address names no device key: {address!r}")
    return whole, device


def full_address(address: Multiaddr, device: DeviceId) -> str:
    """The address with the device's identity at its end."""
    bare = str(address).split("/p2p/")[0]
    return f"{bare}/p2p/{peer_id(device).to_base58()}"
