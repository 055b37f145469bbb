"""Heartbeats of homes, and whether a view is fresh enough to permit on (PROTOCOL §7, Freshness).

A heartbeat says: at time T everything in this vector was durable here. It is no operation and is relayed by
anyone. Who is a home of whom is `subject.py`'s; sending every D_min/3 is the node's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from medsync_protocol.codec import pack, unpack, want_array, want_bytes, want_int
from medsync_protocol.crypto import blake2b, sign, verify
from medsync_protocol.errors import Malformed
from medsync_protocol.ids import ChainId, ContextId, DeviceId, Instant, MemberId, NetworkId

HEARTBEAT_VERSION: Final = 1
MAX_CHAINS: Final = 10_000  # chains of one context in a heartbeat
KEPT_PER_HOME: Final = 4  # an older one may be covered by what we hold while the newest is not yet
_DOMAIN: Final = b"medsync/heartbeat/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """`vector`: chain → how many of its operations were durable at `time` on `device`, which `home` certified."""

    network: NetworkId
    context: ContextId
    home: MemberId
    device: DeviceId
    time: Instant
    vector: tuple[tuple[ChainId, int], ...]
    signature: bytes

    @property
    def id(self) -> bytes:
        """16 bytes that name it in a receipt."""
        return blake2b(_text(self), size=16)

    def covered_by(self, held: Mapping[ChainId, int]) -> bool:
        """True when everything it covers is in `held` (chain → next seq that is held, readable and judged)."""
        return all(held.get(chain, 0) >= count for chain, count in self.vector)

    def covers(self, chain: ChainId, seq: int) -> bool:
        """True when the operation at (chain, seq) was durable at this home."""
        return dict(self.vector).get(chain, 0) > seq


def _text(h: Heartbeat) -> bytes:
    return pack([HEARTBEAT_VERSION, h.network, h.context, h.home, h.device, h.time, h.vector])


def make_heartbeat(
    network: NetworkId, context: ContextId, home: MemberId, *, device: DeviceId, device_seed: bytes, time: Instant,
    vector: Mapping[ChainId, int],
) -> Heartbeat:  # fmt: skip
    """Sign a heartbeat by the home's device. Release it only after all it covers is durable."""
    bare = Heartbeat(
        network=network, context=context, home=home, device=device, time=time,
        vector=tuple(sorted(vector.items())), signature=b"",
    )  # fmt: skip
    return Heartbeat(
        network=network, context=context, home=home, device=device, time=time, vector=bare.vector,
        signature=sign(device_seed, _DOMAIN, _text(bare)),
    )  # fmt: skip


def encode_heartbeat(heartbeat: Heartbeat) -> bytes:
    """Canonical bytes: [text, signature]."""
    return pack([_text(heartbeat), heartbeat.signature])


class UnknownDevice(Malformed):
    """Not a device of that member, as far as is known here: not yet, no more, or never."""


def open_heartbeat(
    data: bytes, network: NetworkId, context: ContextId, devices: Mapping[DeviceId, MemberId]
) -> Heartbeat:
    """The heartbeat in `data`, of this context, by a device of the member it names, verified. Raises Invalid."""
    text, signature = want_array(unpack(data), 2)
    fields = want_array(unpack(want_bytes(text)), 7)
    version, named, inside, home, device, time, vector = fields
    want_int(version, HEARTBEAT_VERSION, HEARTBEAT_VERSION)
    pairs = [want_array(pair, 2) for pair in want_array(vector, at_most=MAX_CHAINS)]
    heartbeat = Heartbeat(
        network=NetworkId(want_bytes(named, 32)),
        context=ContextId(want_bytes(inside, 32)),
        home=MemberId(want_bytes(home, 32)),
        device=DeviceId(want_bytes(device, 32)),
        time=Instant(want_int(time)),
        vector=tuple((ChainId(want_bytes(chain, 40)), want_int(count, 1)) for chain, count in pairs),
        signature=want_bytes(signature, 64),
    )
    if (heartbeat.network, heartbeat.context) != (network, context):
        raise Malformed("the heartbeat is of another network or context")
    chains = [chain for chain, _ in heartbeat.vector]
    if any(a >= b for a, b in pairwise(chains)):
        raise Malformed("a heartbeat's chains ascend without repeats")
    if devices.get(heartbeat.device) != heartbeat.home:
        raise UnknownDevice("the heartbeat's device is not certified by the member it names")
    verify(heartbeat.device, _DOMAIN, text, heartbeat.signature)
    return heartbeat


@dataclass(frozen=True, slots=True)
class Pulse:
    """What a decision needs of a heartbeat, everything that it covers being held, readable and judged."""

    home: MemberId
    time: Instant
    id: bytes


def pulse_of(heartbeat: Heartbeat) -> Pulse:
    """The part of a heartbeat that decides."""
    return Pulse(heartbeat.home, heartbeat.time, heartbeat.id)


def is_fresh(
    home_sets: Sequence[Sequence[MemberId]], pulses: Iterable[Pulse], *, now: int, max_age: int, skew: int
) -> bool:
    """PROTOCOL §7: heartbeats, all they cover held, with now − max_age ≤ T ≤ now + skew from ⌊h/2⌋+1 of each set of homes."""
    alive = {one.home for one in pulses if now - max_age <= one.time <= now + skew}
    return bool(home_sets) and all(
        sum(home in alive for home in homes) >= len(homes) // 2 + 1 for homes in home_sets
    )


class HeartbeatBook:
    """The newest heartbeats of each home, with what each tells of its clock."""

    def __init__(self) -> None:
        self._held: dict[MemberId, list[tuple[Heartbeat, int | None]]] = {}  # with how far its clock is ahead by it

    def take(self, heartbeat: Heartbeat, now: Instant, *, direct: bool = True) -> bool:
        """Keep a verified heartbeat; False when it is older than those kept, or known. `direct`: from its own device.

        One from the future tells of a clock for certain. One from the past does only if it was sent as it was signed: the
        first that is heard of a home, and what others relay, may have waited until there was a link.
        """
        held = self._held.setdefault(heartbeat.home, [])
        if any(one.id == heartbeat.id for one, _ in held):
            return False
        fresh = direct and any(one.time < heartbeat.time for one, _ in held)
        held.append((heartbeat, heartbeat.time - now if fresh or heartbeat.time >= now else None))
        held.sort(key=lambda pair: (-pair[0].time, pair[0].id))
        dropped = held[KEPT_PER_HOME:]
        del held[KEPT_PER_HOME:]
        return all(one is not heartbeat for one, _ in dropped)

    def newest(self) -> list[Heartbeat]:
        """The newest of each home, to be relayed."""
        return [self._held[home][0][0] for home in sorted(self._held)]

    def of(self, homes: Iterable[MemberId]) -> list[Heartbeat]:
        """All kept of these homes, newest first per home."""
        return [one for home in sorted(set(homes)) for one, _ in self._held.get(home, ())]

    def usable(
        self, homes: Iterable[MemberId], held: Mapping[ChainId, int], latest: int
    ) -> tuple[Heartbeat, ...]:
        """Per home the newest not after `latest` whose cover is in `held` (held, readable and judged)."""
        found: dict[MemberId, Heartbeat] = {}
        for one in self.of(homes):
            if one.home not in found and one.time <= latest and one.covered_by(held):
                found[one.home] = one
        return tuple(found.values())

    def clock_offset(self) -> int | None:
        """How far the homes' clocks are ahead of ours in ms: median over homes of T − arrival, the best of each.

        A delayed heartbeat looks like a slow clock, so of each home the least delayed one counts. None: nothing tells.
        """
        told = ([ahead for _, ahead in held if ahead is not None] for held in self._held.values())
        best = sorted(max(of_home) for of_home in told if of_home)
        return best[len(best) // 2] if best else None

    def holders(self, homes: Iterable[MemberId], chain: ChainId, seq: int) -> int:
        """How many of the homes have said that they hold the operation at (chain, seq)."""
        return sum(
            any(one.covers(chain, seq) for one, _ in self._held.get(home, ())) for home in sorted(set(homes))
        )
