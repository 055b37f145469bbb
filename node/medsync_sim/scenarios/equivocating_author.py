"""A member signs two operations for one place in its chain, and shows each half of the consortium another."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from medsync_protocol.application import Draft
from medsync_protocol.kinds import EntryKind
from medsync_sim.consortium import Setting
from medsync_sim.hostile import Forger, knowledge
from medsync_sim.scenario import Scenario
from medsync_sim.steps import Move, Step, work
from medsync_sim.world import World


class EquivocatingAuthor(Scenario):
    """S7 is looked at in the end of every run; here there is something to see."""

    name = "equivocating-author"
    about = "A member signs two branches of its chain and hands each to other members, or late to the same."
    oracle = "every honest member has the proof and counts neither branch, unless it was final before (S7)"
    hostile = ("lab",)
    operations = 14

    def plan(self, rng: Random, setting: Setting) -> list[Step]:
        """One to three forks; each half is drawn."""
        honest = tuple(name for name in setting.names if name != "lab")
        steps = work(rng, honest, self.ms, self.operations)
        for _ in range(rng.randint(1, 3)):
            half = rng.sample(honest, rng.randint(1, len(honest) - 1))
            steps.append(Step(rng.randint(1_000, 20_000), "fork", ("lab", rng.choice((0, 0, 500, 4_000)), *half)))
        steps.append(Step(500, "write_old", ("lab",)))
        if rng.random() < 0.5:
            steps.append(Step(rng.randint(4_000, 20_000), "refork", ("lab", *rng.sample(honest, rng.randint(1, 3)))))
        return sorted(steps)

    def moves(self) -> Mapping[str, Move]:
        """Forking."""
        return {"fork": fork, "write_old": write_old, "refork": refork}


def refork(world: World, name: str, *half: str) -> None:
    """A second branch to something old, perhaps settled long ago."""
    node = world.nodes[name]
    old = world.stash.get("old")
    if old is None or not node.up:
        return
    forger, chain = Forger(world, node), old[0].header.chain
    forger.begin(chain, 1, old[0].op_id)
    other = forger.batch([Draft(kind=EntryKind.NOTE, payload=b"rewritten")], world.stash["known"], chain=chain, branch=True)
    forger.smuggle([other], half)


def write_old(world: World, name: str) -> None:
    """Two honest-looking operations, to everybody."""
    node = world.nodes[name]
    forger, known = Forger(world, node), knowledge(node, world)
    chain = forger.chain("old")
    world.stash["known"] = known
    world.stash["old"] = [
        forger.batch([Draft(kind=EntryKind.NOTE, payload=text)], known, chain=chain) for text in (b"first", b"second")
    ]
    forger.smuggle(world.stash["old"], [n.name for n in world.honest()])


def fork(world: World, name: str, later: int, *half: str) -> None:
    """One branch to these, the other to the rest, `later` ms after."""
    node = world.nodes[name]
    if not node.up or node.replica(world.the_context).role is None:
        return
    forger, known = Forger(world, node), knowledge(node, world)
    chain = forger.chain(f"fork{world.elapsed}")
    one = forger.batch([Draft(kind=EntryKind.NOTE, payload=b"one")], known, chain=chain, branch=True)
    other = forger.batch([Draft(kind=EntryKind.NOTE, payload=b"other")], known, chain=chain)
    tail = forger.batch([Draft(kind=EntryKind.NOTE, payload=b"tail")], known, chain=chain)
    rest = [n.name for n in world.honest() if n.name not in half]
    forger.smuggle([one], half)
    world.timeline.after(later, lambda: forger.smuggle([other, tail], rest))


SCENARIO = EquivocatingAuthor()
