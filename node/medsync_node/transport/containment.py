"""One bad input must not end the host: libp2p's two open doors are shut here (LIBP2P, first trap), and nowhere else."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final

import trio
from libp2p.network.swarm import Swarm

from medsync_node.transport.gate import Gate
from medsync_node.transport.peer_ids import device_id
from medsync_protocol.ids import DeviceId, short
from medsync_protocol.ports import Standing

MAX_INBOUND_STREAMS: Final = 16  # of one member at once: its link, gossip, identify and a few questions
RESET_SECONDS: Final = 2.0  # a peer that does not take even the reset is left behind

logger = logging.getLogger(__name__)


class Containment:
    """Counts what peers provoke, by device; each count is one stream or message that raised."""

    def __init__(self, gate: Gate) -> None:
        self.offences: Counter[DeviceId] = Counter()
        self._gate = gate
        self._open: Counter[DeviceId] = Counter()

    def install(self, swarm: Swarm) -> None:
        """Every inbound stream (negotiation, handlers, the gossip reader) passes here from now on."""
        handle = swarm.common_stream_handler

        async def contained(stream: Any) -> None:
            device = device_id(stream.muxed_conn.peer_id)
            if device is None or not self._may_open(device):
                await _reset(stream)
                return
            self._open[device] += 1
            try:
                await self.run(device, handle, stream)
            finally:
                self._open[device] -= 1
                if not self._open[device]:
                    del self._open[device]
                if (visit := self._gate.visit(device)) is not None:
                    visit.ended.set()

        swarm.set_stream_handler(contained)

    def _may_open(self, device: DeviceId) -> bool:
        standing = self._gate.standing(device)
        if standing is Standing.MEMBER:
            return self._open[device] < MAX_INBOUND_STREAMS
        visit = self._gate.visit(device)
        if standing is Standing.REFUSED or visit is None:
            return False
        visit.streams += 1
        if visit.streams > 1:
            visit.ended.set()
        return visit.streams == 1

    async def run(self, device: DeviceId, handle: Callable[[Any], Awaitable[None]], stream: Any) -> None:
        """Run a stream handler; what it raises resets that stream and counts against that peer."""
        try:
            await handle(stream)
        except Exception as error:  # whatever a stranger's bytes provoke inside libp2p: the list is not ours
            self.offences[device] += 1
            logger.info("a stream of %s failed: %r", short(device), error)
            await _reset(stream)

    async def push(
        self, forwarder: DeviceId | None, push: Callable[..., Awaitable[None]], *arguments: Any
    ) -> None:
        """Run pubsub's handling of one message; what it raises drops the message and counts."""
        try:
            await push(*arguments)
        except Exception as error:  # protobuf, key and signature errors of five libraries
            if forwarder is not None:
                self.offences[forwarder] += 1
                logger.info("a gossip message from %s failed: %r", short(forwarder), error)


async def _reset(stream: Any) -> None:
    with trio.move_on_after(RESET_SECONDS):
        await stream.reset()
