"""Where devices listen, and which of them may connect: the network's address book and door (PROTOCOL §1, LIBP2P)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from medsync_protocol import frames
from medsync_protocol.codec import pack, unpack
from medsync_protocol.effects import Dial, Effect, Persist
from medsync_protocol.frames import FrameKind, want_addresses
from medsync_protocol.ids import NETWORK_CONTEXT, DeviceId, MemberId
from medsync_protocol.journal import ValueRecord
from medsync_protocol.ports import Standing
from medsync_protocol.replica import Replica

MAX_ADDRESSES: Final = 4096  # devices: members times a few


class Directory:
    """Addresses by device. Until this member is in the membership it holds, devices listed here count as members'."""

    def __init__(self, me: DeviceId) -> None:
        self._me = me
        self._addresses: dict[DeviceId, tuple[str, ...]] = {}
        self._dialled: tuple[tuple[DeviceId, tuple[str, ...]], ...] = ()

    def addresses(self) -> Mapping[DeviceId, tuple[str, ...]]:
        """Where every known device listens."""
        return self._addresses

    def learn(self, found: Mapping[DeviceId, Iterable[str]], *, hearsay: bool = False) -> list[Effect]:
        """Keep addresses that are new. What a device says of itself replaces what was known, hearsay does not."""
        records = []
        for device, addresses in found.items():
            listed = tuple(addresses)
            known = self._addresses.get(device)
            if not listed or device == self._me or known == listed or (hearsay and known is not None):
                continue
            if len(self._addresses) < MAX_ADDRESSES or device in self._addresses:
                self._addresses[device] = listed
                records.append(ValueRecord("address", NETWORK_CONTEXT, device, pack(listed)))
        return [Persist(tuple(records), False)] if records else []

    def replay(self, record: ValueRecord) -> None:
        """An address from the journal."""
        if record.value is not None:
            self._addresses[DeviceId(record.key)] = want_addresses(unpack(record.value))

    def dial(self, network: Replica | None) -> list[Effect]:
        """The devices to keep links to, when they changed."""
        if network is None:
            return []
        wanted = tuple(
            (device, addresses)
            for device, addresses in sorted(self._addresses.items())
            if self.standing(network, device) is Standing.MEMBER
        )
        if wanted == self._dialled:
            return []
        self._dialled = wanted
        return [Dial(wanted)]

    def frame(self) -> bytes:
        """What we know, for a peer."""
        return frames.encode(FrameKind.ADDRESSES, sorted(self._addresses.items()))

    def standing(self, network: Replica | None, device: DeviceId) -> Standing:
        """The gate's answer for a device. Unknown and removed ones are guests: they may ask to join, or learn why not."""
        if network is None:
            return Standing.GUEST
        if device in network.membership.devices:
            return Standing.MEMBER
        if is_founding(network) and device in self._addresses:
            return Standing.MEMBER
        return Standing.GUEST


def is_founding(network: Replica) -> bool:
    """While we don't see ourselves in it, and no removal of ours, the membership is too incomplete to say who is not."""
    if network.role is not None:
        return False
    return all(removed.member != network.member for removed in network.membership.removed)




def member_of(network: Replica | None, device: DeviceId) -> MemberId | None:
    """The network member whose device this is."""
    return None if network is None else network.membership.devices.get(device)
