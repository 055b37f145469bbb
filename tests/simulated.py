"""The simulator's world as a test uses it: calm links, nobody votes unasked, and a fact that never comes true fails."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from medsync_protocol.ids import ContextId
from medsync_sim.node import SimNode
from medsync_sim.world import World


class CalmWorld(World):
    """See the module."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.people_vote = False

    def until(self, fact: Callable[[], bool], ms: int = 120_000, step: int = 250) -> bool:
        """Let time pass until a fact holds; fails the test when it never does."""
        assert super().until(fact, ms, step), "the fact did not come true in time"
        return True

    def partition(self, *sides: list[SimNode]) -> None:
        """Nothing gets from one side to another any more, and links between them end."""
        for side, other in itertools.permutations(sides, 2):
            self.network.cut([node.device for node in side], [node.device for node in other])
            for one, two in itertools.product(side, other):
                self.network.drop(one.device, two.device)

    def heal(self) -> None:
        """Every direction is open again."""
        self.network.heal()

    def converged(self, context: ContextId) -> bool:
        """Whether all running members of the context hold equal sets and say equal things of them."""
        running = [node for node in self.nodes.values() if node.up]
        replicas = [node.replica(context) for node in running]
        replicas = [replica for replica in replicas if replica is not None and replica.role is not None]
        members = set(replicas[0].membership.members) if replicas else set()
        return (
            len(replicas) == len(members & {node.member for node in running})
            and len({tuple(sorted(replica.vector.items())) for replica in replicas}) == 1
            and len({replica.membership.root() for replica in replicas}) == 1
        )
