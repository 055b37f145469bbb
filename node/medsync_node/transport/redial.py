"""Keeps links up: nobody else redials. Back-off with jitter per device; how a dial is made is the caller's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import trio

from medsync_protocol.ids import DeviceId
from medsync_protocol.ports import Unreachable

FIRST_PAUSE: Final = 0.25  # seconds; doubled after every failure
LONGEST_PAUSE: Final = 30.0  # seconds: how long a peer that came back may wait for us
COURTESY: Final = 0.25  # seconds the device with the larger key waits at first: so mostly one side dials
STEADY: Final = 5.0  # seconds a link must have lasted for the back-off to start over
DIAL_SECONDS: Final = 10.0  # one address, handshake and link included
MAX_DIALS: Final = 8  # at once: handshakes are CPU (LIBP2P, Cost)

Dial = Callable[[DeviceId, str], Awaitable[None]]
"""Returns when the link is up; raises Unreachable."""


class Redialer:
    """One task per wanted device. `jitter` gives numbers in [0, 1)."""

    def __init__(
        self,
        own: DeviceId,
        nursery: trio.Nursery,
        *,
        dial: Dial,
        jitter: Callable[[], float],
        linked: Callable[[DeviceId], bool],
    ) -> None:
        self.troubles: dict[DeviceId, str] = {}
        self._own = own
        self._nursery = nursery
        self._dial = dial
        self._jitter = jitter
        self._linked = linked
        self._wanted: dict[DeviceId, tuple[str, ...]] = {}
        self._tasks: dict[DeviceId, trio.CancelScope] = {}
        self._changed: dict[DeviceId, trio.Event] = {}
        self._dialling = trio.CapacityLimiter(MAX_DIALS)

    def set_peers(self, peers: Mapping[DeviceId, Sequence[str]]) -> None:
        """Keep links to exactly these; a device whose addresses changed is tried at once."""
        wanted = {device: tuple(addresses) for device, addresses in peers.items() if device != self._own}
        for device in self._wanted.keys() - wanted.keys():
            self._tasks.pop(device).cancel()
            self._changed.pop(device).set()
            self.troubles.pop(device, None)
        before, self._wanted = self._wanted, wanted
        for device, addresses in wanted.items():
            if device not in before:
                scope = trio.CancelScope()
                self._tasks[device] = scope
                self._changed[device] = trio.Event()
                self._nursery.start_soon(self._keep, device, scope)
            elif before[device] != addresses:
                self.nudge(device)

    def nudge(self, device: DeviceId) -> None:
        """Its link came or went, or its addresses changed: look again now."""
        if (event := self._changed.get(device)) is not None:
            self._changed[device] = trio.Event()
            event.set()

    def forget(self, device: DeviceId) -> None:
        """Redial it no more until it is wanted again."""
        self.set_peers({other: addresses for other, addresses in self._wanted.items() if other != device})

    async def _keep(self, device: DeviceId, scope: trio.CancelScope) -> None:
        with scope:
            failures = 0
            if self._own > device:
                await self._pause(device, COURTESY)
            while True:
                changed, began = self._changed[device], trio.current_time()
                if self._linked(device):
                    self.troubles.pop(device, None)
                    await changed.wait()
                    if trio.current_time() - began >= STEADY:
                        failures = 0
                elif await self._try(device):
                    continue
                pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**failures)
                failures += 1
                await self._pause(device, pause * (0.5 + self._jitter() / 2))

    async def _pause(self, device: DeviceId, seconds: float) -> None:
        with trio.move_on_after(seconds):
            await self._changed[device].wait()

    async def _try(self, device: DeviceId) -> bool:
        for address in self._wanted[device]:
            try:
                async with self._dialling:
                    with trio.fail_after(DIAL_SECONDS):
                        await self._dial(device, address)
            except Unreachable as error:
                self.troubles[device] = str(error)
            except trio.TooSlowError:
                self.troubles[device] = f"no link to {address} within {DIAL_SECONDS:.0f} s"
            if self._linked(device):
                return True
        return False
