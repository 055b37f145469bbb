"""Builds the one kind of libp2p host that MedSync uses: TCP, Noise, yamux, nothing that dials or tells by itself."""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import trio
from libp2p import new_swarm
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.identity.identify_push.identify_push import ID_PUSH
from libp2p.network.auto_connector import AutoConnector
from libp2p.network.config import ConnectionConfig, RetryConfig
from libp2p.network.connection import swarm_connection
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from libp2p.transport.tcp.tcp import TCP
from multiaddr import Multiaddr

from medsync_node.transport import lean_yamux
from medsync_protocol.errors import OperatorError

MAX_CONNECTIONS: Final = 512  # all peers, guests and duplicates of one moment
CLOSING_SECONDS: Final = 2.0  # for all connections together; after that their sockets are closed anyway
UPGRADE_SECONDS: Final = 10.0  # a handshake that takes longer is given up: half-open connections end


class AddressUnusable(OperatorError):
    """A configured address can't be listened on."""


class QuietHost(BasicHost):
    """A host that asks nobody who they are: the gate knows, and each question is a stream and a system task."""

    def _schedule_identify(self, peer_id: ID, *, reason: str) -> None:
        return


class IdleConnector(AutoConnector):
    """Dials nobody. The stock one dials known peers up to the mean of low and high watermark, a low one of 0 or not."""

    async def maybe_connect(self) -> None:
        """Nothing: redial.py keeps the links that are wanted."""


def build(device_seed: bytes) -> tuple[QuietHost, Swarm]:
    """A host for a device's Ed25519 seed, not running yet."""
    _quiet_logs()
    lean_yamux.install()
    keys = create_new_key_pair(device_seed)
    noise = NoiseTransport(keys, noise_privkey=create_noise_key_pair().private_key)
    swarm = new_swarm(
        key_pair=keys,
        sec_opt={NOISE: noise},
        muxer_opt={TProtocol(YAMUX): lean_yamux.LeanYamux},
        transports=[TCP()],
        retry_config=RetryConfig(max_retries=0),
        connection_config=ConnectionConfig(
            max_connections=MAX_CONNECTIONS,
            min_connections=0,
            low_watermark=0,
            high_watermark=MAX_CONNECTIONS,
            max_connections_per_peer=4,
            inbound_upgrade_timeout=UPGRADE_SECONDS,
            outbound_upgrade_timeout=UPGRADE_SECONDS,
        ),
    )
    if not isinstance(swarm, Swarm):
        raise TypeError(f"libp2p built a {type(swarm).__name__}, not a Swarm")
    swarm.auto_connector = IdleConnector(swarm)
    host = QuietHost(swarm, disable_identify_address_discovery=True)
    host.remove_stream_handler(ID_PUSH)
    return host, swarm


@asynccontextmanager
async def running(
    host: QuietHost, swarm: Swarm, listen: Sequence[str]
) -> AsyncIterator[tuple[Multiaddr, ...]]:
    """The host, listening; at the end every socket closed, whatever ended it. Raises AddressUnusable."""
    wanted = [_listenable(address) for address in listen]
    async with host.run(listen_addrs=wanted):
        try:
            bound = _bound(swarm)
            if len(bound) < len(wanted):
                raise AddressUnusable(
                    f"can't listen on all of {', '.join(listen)}",
                    advice="choose other addresses or port 0, or stop what listens there",
                )
            yield bound
        finally:
            with trio.move_on_after(CLOSING_SECONDS) as scope:
                scope.shield = True
                async with trio.open_nursery() as nursery:
                    for connection in swarm.get_connections():
                        nursery.start_soon(connection.close)
                await swarm.close()


def _bound(swarm: Swarm) -> tuple[Multiaddr, ...]:
    return tuple(address for listener in swarm.listeners.values() for address in listener.get_addrs())


def _listenable(address: str) -> Multiaddr:
    """Check that nobody listens there: libp2p sets SO_REUSEPORT, and two daemons would share the port in silence."""
    try:
        parsed = Multiaddr(address)
        host = parsed.value_for_protocol("ip6" if address.startswith("/ip6/") else "ip4")
        port = int(parsed.value_for_protocol("tcp") or 0)
    except (ValueError, LookupError) as error:
        raise AddressUnusable(
            f"not an address to listen on: {address!r}", advice="write it like /ip4/0.0.0.0/tcp/4001"
        ) from error
    family = socket.AF_INET6 if address.startswith("/ip6/") else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise AddressUnusable(
                f"can't listen on {address}: {error.strerror}",
                advice="choose another address or port 0, or stop what listens there",
            ) from error
    return parsed


def _quiet_logs() -> None:
    """libp2p logs per message and dropped stream; only what is critical stays. One module logs on the root logger."""
    logger = logging.getLogger("libp2p")
    logger.setLevel(logging.CRITICAL)
    setattr(swarm_connection, "logging", logger.getChild("connection"))  # noqa: B010 - a module it imported
    for noisy in ("multiaddr", "async_service"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
