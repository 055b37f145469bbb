"""A rogue admin admits a dozen accomplices, who vote themselves into the quorum."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from random import Random

from medsync_protocol.actions import Ballot
from medsync_protocol.errors import Refused
from medsync_protocol.kinds import Role
from medsync_sim.consortium import Setting
from medsync_sim.hostile import Forger, knowledge
from medsync_sim.ledger import Finding
from medsync_sim.scenario import Scenario, turn_hostile
from medsync_sim.steps import Move, Step, work
from medsync_sim.world import World


class SybilQuorum(Scenario):
    """Membership follows the policy at once; the voter list changes only by votes of q current voters."""

    name = "sybil-quorum"
    about = "A rogue admin admits outsiders; it and they cast ballots for a voter list full of them."
    oracle = "no outsider ever becomes a voter; checkpoints go on with the honest ones"
    operations = 12

    def setting(self) -> Setting:
        """Four outsiders."""
        return Setting(nodes=5, admins=2, outsiders=4)

    def plan(self, rng: Random, setting: Setting) -> list[Step]:
        """Admissions, then ballots again and again."""
        at = rng.randint(2_000, 5_000)
        steps = [Step(at, "turn_hostile", ("south",)), *work(rng, ("north", "west", "east", "lab"), self.ms, self.operations)]
        steps += [Step(at + 200 * i, "enter", ("south", name)) for i, name in enumerate(setting.outside)]
        steps += [Step(at + rng.randint(2_500, 12_000), "cast", ("south",)) for _ in range(3)]
        return sorted(steps)

    def moves(self) -> Mapping[str, Move]:
        """Entering and voting."""
        return {"turn_hostile": turn_hostile, "enter": enter, "cast": cast}

    def judge(self, world: World) -> Iterable[Finding]:
        """Who votes, by every honest member."""
        sybils = {world.nodes[name].member for name in world.outside}
        for node in world.members():
            replica = node.replica(world.the_context)
            world.facts["sybils in"] = len(sybils & set(replica.membership.members))
            if sybils & {member for member, _ in replica.membership.voters}:
                yield world.broke("S2", f"{node.name} counts an accomplice as a voter")
            history = node.engine.checkpoints(world.the_context).acceptance.history
            if history and sybils & {member for member, _ in history[-1].next_signers}:
                yield world.broke("S2", f"{node.name} has an accomplice on the list that signs")


def enter(world: World, villain: str, name: str) -> None:
    """The rogue admin's own engine admits it: the policy allows that."""
    world.nodes[name].honest = False
    node = world.nodes[villain]
    if node.up and node.replica(world.the_context).role is not None:
        member = world.nodes[name].member
        if member not in node.replica(world.the_context).membership.members:
            with suppress(Refused):  # a policy may leave it to others
                node.do(lambda engine, now: engine.admit(now, world.the_context, member, Role.MEMBER))


def cast(world: World, villain: str) -> None:
    """Everybody hostile signs a ballot for a list of accomplices and the rogue admin."""
    hostile = [n for n in world.nodes.values() if not n.honest and n.up and n.replica(world.the_context) is not None]
    state = world.nodes[villain].replica(world.the_context).membership
    listed = sorted(
        ((n.member, state.voter_keys[n.member]) for n in hostile if n.member in state.voter_keys),
        key=lambda pair: pair[1],
    )
    if not listed:
        return
    for node in hostile:
        forger = Forger(world, node)
        ballot = Ballot(base=state.voter_digest(), voters=tuple(listed))
        operation = forger.action(ballot, knowledge(node, world), chain=forger.chain(f"ballot{world.elapsed}"))
        forger.smuggle([operation], [n.name for n in world.honest()])


SCENARIO = SybilQuorum()
