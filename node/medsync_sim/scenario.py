"""What a scenario is: a setting, steps drawn from a seed, hostile moves of its own, and an oracle that says who won."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random

from medsync_sim.consortium import Setting
from medsync_sim.hostile import knowledge
from medsync_sim.ledger import Finding
from medsync_sim.network import HEAVY, Conditions
from medsync_sim.steps import Move, Step, faults, work
from medsync_sim.world import World


class Scenario:
    """Subclass it, one to a file in `scenarios/`: `oracle` states in words what `judge` looks at.

    As it stands: users at work on a bad network with failing machines, nobody hostile.
    """

    name = "faults"
    about = "Users at work while links, machines, disks, clocks and the chain fail; nobody is hostile."
    oracle = "every invariant of PROTOCOL §11 that can be looked at"
    ms = 30_000  # of virtual time before everything is mended
    settles = True  # whether quorum and chain are there in the end
    hostile: tuple[str, ...] = ()
    operations = 40
    faults = 8
    conditions: Conditions = HEAVY

    def setting(self) -> Setting:
        """Who there is."""
        return Setting()

    def prepare(self, world: World) -> None:
        """Before the first step: who is hostile, which clocks and disks are bad."""
        for name in self.hostile:
            world.nodes[name].honest = False

    def plan(self, rng: Random, setting: Setting) -> list[Step]:
        """The steps of one seed."""
        honest = tuple(name for name in setting.names if name not in self.hostile)
        return sorted([*work(rng, honest, self.ms, self.operations), *faults(rng, honest, self.ms, self.faults)])

    def moves(self) -> Mapping[str, Move]:
        """Hostile moves by name."""
        return {}

    def judge(self, world: World) -> Iterable[Finding]:
        """The oracle: findings for what must not be. What a weaker policy is known to lose goes to `attacker_won`."""
        return ()


def turn_hostile(world: World, name: str) -> None:
    """From now on the rules don't speak of this node; what it knows now is kept, to be back-dated to."""
    node = world.nodes[name]
    if node.up and node.replica(world.the_context) is not None:
        node.honest = False
        world.stash[name] = knowledge(node, world)
