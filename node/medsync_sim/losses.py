"""What is gone for good: signed, and on no honest disk any more. No protocol brings it back; nodes must say that they wait.

Only disks that lose what they promised to keep, several at once, bring a run here; ending.py asks.
"""

from __future__ import annotations

from collections.abc import Iterator

from medsync_protocol.ids import OpId
from medsync_sim.world import World


def lost_operations(world: World) -> set[OpId]:
    """Honest operations that no honest running node holds, nor waits to judge, and every one that rests on one of them."""
    held = set(_held(world))
    lost: set[OpId] = set()
    by_place = sorted(
        (write for write in world.ledger.writes.values() if write.honest), key=lambda write: (write.at, write.place)
    )
    for write in by_place:  # what an operation rests on was written before it
        context, chain, seq = write.place
        before = world.ledger.places.get((context, chain, seq - 1), set())
        if write.op_id not in held or not lost.isdisjoint(before) or not lost.isdisjoint(write.cites):
            lost.add(write.op_id)
    return lost


def _held(world: World) -> Iterator[OpId]:
    for node in world.honest():
        for replica in node.engine.replicas.values():
            for _, _, slot in replica.chains.above({}):
                yield slot.op_id
            yield from (op_id for _, _, op_id in replica.parking.places())


def lost_checkpoint(world: World) -> int | None:
    """The k that the chain holds and of which no honest running node has the candidate, though each asks for it."""
    assert world.chain is not None
    known = [node.engine.checkpoints(world.the_context) for node in world.members()]
    wanted = {checkpoints.lacking() for checkpoints in known}
    if len(wanted) != 1 or (lacking := wanted.pop()) is None:
        return None
    k, digest = lacking
    return k if world.chain.read(k)[0] == digest else None
