"""The node's way to other nodes: libp2p for real networks, memory for tests; what frames mean is the engine's.

libp2p is loaded only when a transport is opened: its import costs seconds of CPU (LIBP2P, Cost).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from medsync_node.transport.memory import MemoryNetwork, MemoryTransport

if TYPE_CHECKING:
    from medsync_protocol.ids import DeviceId
    from medsync_node.transport.libp2p_transport import Libp2pTransport

__all__ = ["MemoryNetwork", "MemoryTransport", "open_libp2p", "with_identity"]


@asynccontextmanager
async def open_libp2p(*, device_seed: bytes, listen: Sequence[str]) -> AsyncIterator[Libp2pTransport]:
    """A transport for the device with this 32-byte Ed25519 seed, listening on these multiaddrs (port 0: any).

    Nothing it started outlives the block. Raises medsync_protocol.errors.OperatorError for an unusable address.
    """
    from medsync_node.transport.libp2p_transport import running

    async with running(device_seed=device_seed, listen=listen) as transport:
        yield transport


def with_identity(addresses: Sequence[str], device: DeviceId) -> tuple[str, ...]:
    """Addresses as an operator writes them, each with the identity of the device that is reached there."""
    from multiaddr import Multiaddr

    from medsync_node.transport.peer_ids import full_address

    return tuple(full_address(Multiaddr(address), device) for address in addresses)
