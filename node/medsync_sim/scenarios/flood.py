"""A member sends all that a member can send: gaps, chains without number, frames of nonsense, vectors that lie."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random

from medsync_protocol import frames
from medsync_protocol.application import Draft
from medsync_protocol.frames import FrameKind
from medsync_protocol.ids import ChainId
from medsync_protocol.kinds import EntryKind
from medsync_sim.consortium import Setting
from medsync_sim.hostile import Forger, knowledge
from medsync_sim.ledger import Finding
from medsync_sim.scenario import Scenario
from medsync_sim.steps import Move, Step, faults, work
from medsync_sim.world import World

MAX_PARKED_BY_ONE = 2_000  # what a run of this size may leave parked: far below the protocol's own bound


class Flood(Scenario):
    """Buffers stay bounded, nothing stops, and the honest members' operations settle as ever."""

    name = "flood"
    about = "A member floods: operations with gaps, many chains, spoilt frames, lying vectors, from the future."
    oracle = "no engine stops, buffers stay bounded (L6), and the honest ones are in step and settled (L1, L2)"
    hostile = ("lab",)
    operations = 20

    def plan(self, rng: Random, setting: Setting) -> list[Step]:
        """Waves of each kind."""
        honest = tuple(name for name in setting.names if name != "lab")
        waves = [
            Step(rng.randint(500, 27_000), rng.choice(("gaps", "chains", "nonsense", "lies", "future")), ("lab", rng.randint(5, 40)))
            for _ in range(14)
        ]
        return sorted([*work(rng, honest, self.ms, self.operations), *faults(rng, honest, self.ms, 3), *waves])

    def moves(self) -> Mapping[str, Move]:
        """Waves."""
        return {"gaps": gaps, "chains": chains, "nonsense": nonsense, "lies": lies, "future": future}

    def judge(self, world: World) -> Iterable[Finding]:
        """What was parked at most."""
        if int(world.facts.get("most parked", 0)) > MAX_PARKED_BY_ONE:
            yield world.broke("L6", f"{world.facts['most parked']} operations were parked")


def _writes(world: World, name: str) -> bool:
    node = world.nodes[name]
    return node.up and node.replica(world.the_context).role is not None


def gaps(world: World, name: str, count: int) -> None:
    """Operations whose predecessors never come."""
    if _writes(world, name):
        node = world.nodes[name]
        forger, known = Forger(world, node), knowledge(node, world)
        chain = forger.chain(f"gaps{world.elapsed}")
        made = [forger.batch([Draft(kind=EntryKind.NOTE, payload=b"x" * 64)], known, chain=chain) for _ in range(count)]
        forger.tell(made[1:])


def chains(world: World, name: str, count: int) -> None:
    """As many chains as it likes, one operation each."""
    if _writes(world, name):
        node = world.nodes[name]
        forger, known = Forger(world, node), knowledge(node, world)
        forger.tell([
            forger.batch([Draft(kind=EntryKind.NOTE, payload=b"y")], known, chain=forger.chain(f"{world.elapsed}/{i}"))
            for i in range(count)
        ])  # fmt: skip


def future(world: World, name: str, count: int) -> None:
    """Operations dated far ahead."""
    if _writes(world, name):
        node = world.nodes[name]
        known = knowledge(node, world)
        ahead = type(known)(known.heads, known.key_id, known.epoch, known.at + 86_400_000)
        forger = Forger(world, node)
        chain = forger.chain(f"future{world.elapsed}")
        forger.tell([forger.batch([Draft(kind=EntryKind.NOTE, payload=b"z")], ahead, chain=chain) for _ in range(count)])


def nonsense(world: World, name: str, count: int) -> None:
    """Random bytes, and honest-looking frames with flipped bits."""
    node = world.nodes[name]
    if not node.up:
        return
    for other in sorted(world.nodes):
        for _ in range(min(count, 12)):  # short of what gets it banned at once
            frame = bytearray(frames.encode(FrameKind.VECTOR, world.the_context, [], True))
            if node.rng.random() < 0.5:
                frame = bytearray(node.rng.randbytes(node.rng.randint(0, 200)))
            elif frame:
                frame[node.rng.randrange(len(frame))] ^= 1 << node.rng.randrange(8)
            if other != name:
                world.send(node, world.nodes[other].device, bytes(frame))


def lies(world: World, name: str, count: int) -> None:
    """Vectors of chains that nobody has, and acknowledgements of what it never took."""
    node = world.nodes[name]
    if not node.up:
        return
    vector = sorted((ChainId(node.rng.randbytes(40)), node.rng.randrange(1 << 40)) for _ in range(count))
    held = [(chain, upto + 1_000) for chain, upto in sorted(node.replica(world.the_context).vector.items())]
    for other in sorted(world.nodes):
        if other != name:
            for kind, fields in ((FrameKind.VECTOR, [vector, True]), (FrameKind.ACK, [held]), (FrameKind.VECTOR, [held, True])):
                world.send(node, world.nodes[other].device, frames.encode(kind, world.the_context, *fields))


SCENARIO = Flood()
