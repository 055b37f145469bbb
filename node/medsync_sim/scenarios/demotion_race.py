"""An admin is demoted while, unheard, it admits and promotes accomplices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random
from typing import Any

from medsync_protocol.actions import Admit, SetRole
from medsync_protocol.ids import OpId, device_of
from medsync_protocol.kinds import Role
from medsync_protocol.ruling import Voting
from medsync_sim.authority import Past
from medsync_sim.consortium import Setting
from medsync_sim.hostile import counts_against, settled_in, standing
from medsync_sim.ledger import Finding
from medsync_sim.scenario import Scenario, turn_hostile
from medsync_sim.steps import Move, Step, work
from medsync_sim.world import World


class DemotionRace(Scenario):
    """What the demoted admin did concurrently in its old role does not count (PROTOCOL §3.2)."""

    name = "demotion-race"
    about = "A partitioned admin admits an outsider and promotes an accomplice while it is demoted."
    oracle = "nobody holds a role that the race gave (S3), unless it was settled before the demotion: attacker_won"
    operations = 10

    def setting(self) -> Setting:
        """One institution of the network is not in the context."""
        return Setting(nodes=5, admins=2, outsiders=1)

    def plan(self, rng: Random, setting: Setting) -> list[Step]:
        """south is alone with east when the demotion comes."""
        at = rng.randint(3_000, 6_000)
        outsider = setting.outside[0]
        first = [Step(at + rng.randint(-800, 800), "admit", ("south", outsider))] if rng.random() < 0.5 else []
        return sorted([
            *first,
            *work(rng, ("north", "west", "lab"), self.ms, self.operations),
            Step(at - 1_500, "cut", ("east", "south")), Step(at - 1_400, "turn_hostile", ("south",)),
            Step(at, "set_role", ("north", "south", int(Role.MEMBER))),
            Step(at + rng.randint(-800, 800), "set_role", ("south", "east", int(Role.ADMIN))),
            Step(at + rng.randint(900, 2_000), "admit", ("east", outsider)),
            Step(at + rng.randint(3_000, 12_000), "heal"),
        ])  # fmt: skip

    def moves(self) -> Mapping[str, Move]:
        """Turning."""
        return {"turn_hostile": turn_hostile}

    def judge(self, world: World) -> Iterable[Finding]:
        """Roles at every honest member; what was settled before the demotion was held, is lost by the rules."""
        outsider = world.outside[0]
        for node in world.members():
            state = node.replica(world.the_context).membership
            race = _race(node.replica(world.the_context), world)
            if race is None or _voted(node.replica(world.the_context)):
                continue
            demotion, gains = race
            held = {name for name, gain in gains.items() if state.verdicts[gain].effective}
            at = settled_in(world, demotion)
            early = {name for name in held if (k := settled_in(world, gains[name])) is not None and (at is None or k < at)}
            if early:
                world.won(f"{', '.join(sorted(early))} by a race that was settled before the demotion")
            if held - early:
                told = f"{node.name} counts what the demoted admin gave {', '.join(sorted(held - early))}"
                yield from counts_against(world, "S3", told)
            if "east" not in held and standing(world, world.nodes[outsider].member):
                if outsider not in held:
                    yield world.broke("S3", "the outsider is in though nobody who could had admitted it")


def _voted(replica: Any) -> bool:
    """Whether the policy leaves such things to votes: then a race between proposals is not south's to win."""
    return isinstance(replica.fold.rules(), Voting)


def _race(replica: Any, world: World) -> tuple[OpId, dict[str, OpId]] | None:
    """The demotion, and by whom it benefits what the demoted admin did beside it."""
    past = Past(replica)
    south, gains, demotion = world.nodes["south"], {}, None
    for op_id, (header, action) in past.read.items():
        if isinstance(action, SetRole) and action.member == south.member and action.role < Role.ADMIN:
            demotion = op_id
        elif device_of(header.chain) == south.device and isinstance(action, SetRole | Admit):
            target = action.member if isinstance(action, SetRole) else action.card.member
            node = world.node_of(target)
            if node is not None:
                gains[node.name] = op_id
    return None if demotion is None else (demotion, gains)


SCENARIO = DemotionRace()
