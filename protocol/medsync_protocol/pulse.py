"""Heartbeats of one context: when this member emits one, what it keeps of the others' (PROTOCOL §7, Freshness)."""

from __future__ import annotations

from typing import Final

from medsync_protocol import frames
from medsync_protocol.consent import MedSyncApplication
from medsync_protocol.effects import Effect, Notify, Persist, Send
from medsync_protocol.frames import FrameKind
from medsync_protocol.heartbeat import HeartbeatBook, UnknownDevice, encode_heartbeat, make_heartbeat, open_heartbeat
from medsync_protocol.ids import ChainId, DeviceId, Instant
from medsync_protocol.journal import ValueRecord
from medsync_protocol.replica import Replica

PROMPT_MS: Final = 150  # after a directive or revocation arrived, so that `recorded` soon becomes `effective`


class Pulse:
    """The heartbeats of one context as this node has them."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self.book = HeartbeatBook()
        self._emitted_at = 0
        self._covered: dict[ChainId, int] = {}
        self._prompt_since: int | None = None

    def consents_changed(self, now: int) -> None:
        """A directive, revocation or subject record was taken: others wait to hear that this home holds it."""
        if self._prompt_since is None:
            self._prompt_since = now

    def is_home(self) -> bool:
        """Whether this member is home of a subject here, so that others need its heartbeat."""
        application, replica = self._replica.application, self._replica
        return isinstance(application, MedSyncApplication) and application.is_home(replica.member)

    def due(self, now: int) -> bool:
        """Whether it is time to emit one."""
        application = self._replica.application
        if not isinstance(application, MedSyncApplication) or self._replica.role is None:
            return False
        prompt = self._prompt_since is not None and now - self._prompt_since >= PROMPT_MS
        if not prompt and now - self._emitted_at < application.settings.heartbeat_interval:
            return False
        return self.is_home()

    def emit(self, now: int, peers: list[DeviceId]) -> list[Effect]:
        """A heartbeat over everything held, released after all of it is durable."""
        replica = self._replica
        self._emitted_at, self._prompt_since = now, None
        beat = make_heartbeat(
            replica.network, replica.context, replica.member, device=replica.identity.device,
            device_seed=replica.identity.device_seed, time=Instant(now), vector=replica.readable(),
        )  # fmt: skip
        self.book.take(beat, Instant(now))
        data = encode_heartbeat(beat)
        record = ValueRecord("heartbeat", replica.context, b"", data)
        frame = frames.encode(FrameKind.HEARTBEAT, replica.context, data)
        return [
            Persist((record,), True), *(Send(peer, frame) for peer in peers),
            Notify("heartbeat", replica.context),
        ]  # fmt: skip

    def take(self, now: int, peer: DeviceId, data: bytes) -> list[Effect]:
        """Another home's heartbeat, from any device. Raises Invalid."""
        replica = self._replica
        try:
            beat = open_heartbeat(data, replica.network, replica.context, replica.membership.devices)
        except UnknownDevice:  # who relays it may have heard of a device, or not yet of its revocation, unlike us
            return []
        news = self.book.take(beat, Instant(now), direct=peer == beat.device)
        return [Notify("heartbeat", replica.context)] if news else []

    def newest(self) -> list[bytes]:
        """Frames with the newest heartbeat of each home, for a peer."""
        return [
            frames.encode(FrameKind.HEARTBEAT, self._replica.context, encode_heartbeat(beat))
            for beat in self.book.newest()
        ]
