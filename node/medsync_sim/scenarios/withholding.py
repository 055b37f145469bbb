"""Colluding members withhold what they should relay and serve, prune it, and answer with empty hands."""

from __future__ import annotations

from random import Random

from medsync_protocol import frames
from medsync_protocol.errors import Malformed
from medsync_protocol.frames import FrameKind
from medsync_protocol.ids import DeviceId
from medsync_protocol.kinds import Plane
from medsync_protocol.operation import decode_body, decode_header, join, prune, split
from medsync_sim.consortium import Setting
from medsync_sim.node import Filter
from medsync_sim.scenario import Scenario
from medsync_sim.steps import Step, faults, work
from medsync_sim.timeline import stream
from medsync_sim.world import World

WITHHELD = (FrameKind.OPS, FrameKind.KEY_PUSH, FrameKind.HEARTBEAT, FrameKind.CERTIFICATE, FrameKind.ANSWER)


class Withholding(Scenario):
    """k colluders send nothing of use to some; the honest ones get everything from each other."""

    name = "withholding"
    about = "Two colluders of seven send those they dislike nothing of use, or all of others' operations pruned to hashes."
    oracle = "the honest members are in step within the bound (L1), and settle (L2)"
    hostile = ("lab", "clinic")
    operations = 24

    def setting(self) -> Setting:
        """Seven voters: q is five."""
        return Setting(nodes=7, admins=2)

    def prepare(self, world: World) -> None:
        """From the beginning, to a few or to all."""
        super().prepare(world)
        rng = stream(world.seed, "withholding")
        for name in self.hostile:
            victims = rng.sample([n for n in world.nodes if n not in self.hostile], rng.randint(1, 5))
            devices = {world.nodes[victim].device for victim in victims}
            world.nodes[name].filter = rng.choice((withhold, hollow))(devices)

    def plan(self, rng: Random, setting: Setting) -> list[Step]:
        """The colluders write, too: what they withhold is their own loss."""
        honest = tuple(name for name in setting.names if name not in self.hostile)
        return sorted([*work(rng, setting.names, self.ms, self.operations), *faults(rng, honest, self.ms, 6)])


def withhold(victims: set[DeviceId]) -> Filter:
    """Nothing of use to these."""

    def sent(peer: DeviceId, frame: bytes) -> list[bytes]:
        try:
            kind, _ = frames.decode(frame)
        except Malformed:
            return [frame]
        return [] if peer in victims and kind in WITHHELD else [frame]

    return sent


def hollow(victims: set[DeviceId]) -> Filter:
    """Operations pruned to hashes, and the lie that they were destroyed."""

    def sent(peer: DeviceId, frame: bytes) -> list[bytes]:
        try:
            kind, fields = frames.decode(frame)
        except Malformed:
            return [frame]
        if peer not in victims or kind != FrameKind.OPS:
            return [frame]
        context, wires = frames.want_ops(fields)
        pruned, lies = [], []
        for wire in wires:
            header, signature, body = split(wire)
            place = decode_header(header)
            if place.plane == Plane.DATA:
                body = prune(decode_body(body), frozenset(range(len(decode_body(body).entries))))
                lies.append(frames.encode(FrameKind.GONE, context, place.chain, place.seq))
            pruned.append(join(header, signature, body))
        return [*frames.ops_frames(context, pruned), *lies]

    return sent


SCENARIO = Withholding()
