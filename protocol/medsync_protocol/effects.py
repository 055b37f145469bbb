"""What the engine asks of the world. The driver performs effects in order; `Outbox` holds back what must wait.

Must (DESIGN §3): an effect that leaves the node is released only after the Persist before it is committed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from medsync_protocol import frames
from medsync_protocol.candidate import Plan
from medsync_protocol.frames import FrameKind
from medsync_protocol.ids import ChainId, ContextId, DeviceId
from medsync_protocol.journal import Record


@dataclass(frozen=True, slots=True)
class Persist:
    """Commit these together, before anything after them leaves. `durable`: to the platter, not only to the system."""

    records: tuple[Record, ...]
    durable: bool


@dataclass(frozen=True, slots=True)
class Send:
    """One frame to one connected device, in order."""

    peer: DeviceId
    frame: bytes


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Tell the peer that everything below `upto` of a chain is committed here; `Outbox` joins these into one frame."""

    peer: DeviceId
    context: ContextId
    chain: ChainId
    upto: int


@dataclass(frozen=True, slots=True)
class Serve:
    """Send the held operations first ≤ seq < end of a chain: read, `Engine.redacted` for the peer, paced chunks."""

    peer: DeviceId
    context: ContextId
    chain: ChainId
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Reread:
    """Read this held operation again and give wire form and `offered` to `Engine.reread`: a key or a body arrived."""

    context: ContextId
    chain: ChainId
    seq: int
    offered: bytes = b""


@dataclass(frozen=True, slots=True)
class RereadAbout:
    """As `Reread`, for every operation that the journal's index names for this subject: it was erased."""

    context: ContextId
    subject_tag: int


@dataclass(frozen=True, slots=True)
class ReadBranch:
    """Give the wire forms of the held operations first ≤ seq < end of a forked chain to `Engine.branch_read`."""

    context: ContextId
    chain: ChainId
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Evaluate:
    """Run `plan.build()`, pure and perhaps long, wherever it holds nobody up; give the result to `Engine.evaluated`."""

    context: ContextId
    plan: Plan


@dataclass(frozen=True, slots=True)
class Knock:
    """Ask on a guest protocol at any of these addresses; give an answer to `Engine.answered`."""

    addresses: tuple[str, ...]
    protocol: str
    frame: bytes


@dataclass(frozen=True, slots=True)
class Publish:
    """A sealed hint on a gossip topic; may be lost."""

    topic: bytes
    frame: bytes


@dataclass(frozen=True, slots=True)
class Topics:
    """From now on, exactly these gossip topics."""

    topics: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class Expel:
    """The device is no longer a member: after what was sent before, close its link and refuse it."""

    peer: DeviceId


@dataclass(frozen=True, slots=True)
class Misbehaved:
    """The peer sent something Invalid: count it, close the link beyond the limit."""

    peer: DeviceId
    reason: str


@dataclass(frozen=True, slots=True)
class Dial:
    """Addresses changed: these are the devices to keep links to."""

    peers: tuple[tuple[DeviceId, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Notify:
    """Something the node's users may want to know: `what` names it, `fields` are plain values without patient data."""

    what: str
    context: ContextId | None
    fields: tuple[tuple[str, Any], ...] = ()


Effect = (
    Persist
    | Send
    | Acknowledge
    | Serve
    | Reread
    | RereadAbout
    | ReadBranch
    | Evaluate
    | Knock
    | Publish
    | Topics
    | Expel
    | Misbehaved
    | Dial
    | Notify
)


class Outbox:
    """Keeps effects in order and gives them out as commits: the records first, the rest once they are committed."""

    def __init__(self) -> None:
        self._waiting: list[list[Effect]] = []

    def push(self, effects: list[Effect]) -> None:
        """Queue what one event caused."""
        if effects:
            self._waiting.append(effects)

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def take(self) -> tuple[list[Record], bool, list[Effect]]:
        """Everything queued: (records to commit together, whether durably, effects to release after that commit)."""
        records: list[Record] = []
        durable = False
        release: list[Effect] = []
        acks: dict[tuple[DeviceId, ContextId], dict[ChainId, int]] = {}
        for effects in self._waiting:
            for effect in effects:
                if isinstance(effect, Persist):
                    records.extend(effect.records)
                    durable = durable or effect.durable
                elif isinstance(effect, Acknowledge):
                    acks.setdefault((effect.peer, effect.context), {})[effect.chain] = effect.upto
                else:
                    release.append(effect)
        self._waiting = []
        for (peer, context), upto in acks.items():
            release.append(Send(peer, frames.encode(FrameKind.ACK, context, frames.vector_fields(upto))))
        return records, durable, release
