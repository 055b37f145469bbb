"""An honest member is removed, demoted or leaves while it and everybody else write, and the network is at its worst."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from medsync_protocol.ids import device_of
from medsync_protocol.kinds import Plane, Role
from medsync_sim.authority import Past
from medsync_sim.consortium import Setting
from medsync_sim.hostile import counts_against
from medsync_sim.ledger import Finding
from medsync_sim.scenario import Scenario
from medsync_sim.steps import Step, faults, work
from medsync_sim.world import World


class RemovalUnderLoad(Scenario):
    """Cut-offs: what the remover held stands, what came after it knew does not, and everybody says the same."""

    name = "removal-under-load"
    about = "Members are removed, admitted again and promoted while all of them write behind bad links."
    oracle = "what a remover held of its target stands, nothing signed after the target could know it counts (S3)"
    operations = 60

    def setting(self) -> Setting:
        """Seven, so that a quorum is left."""
        return Setting(nodes=7, admins=2)

    def plan(self, rng: Random, setting: Setting) -> list[Step]:
        """One removal, perhaps with re-admission, a rotation and a promotion beside it."""
        at = rng.randint(4_000, 12_000)
        steps = work(rng, setting.names, self.ms, self.operations)
        steps += [Step(rng.randint(500, 20_000), "note", ("lab", "lab", rng.randrange(1 << 16))) for _ in range(20)]
        steps.append(Step(at, "remove", ("north", "lab")))
        if rng.random() < 0.4:
            steps.append(Step(at + rng.randint(500, 8_000), "admit", (rng.choice(("north", "south")), "lab")))
        if rng.random() < 0.4:
            steps.append(Step(at + rng.randint(-500, 2_000), "set_role", ("north", "west", int(Role.ADMIN))))
        if rng.random() < 0.4:
            steps += [Step(at - 700, "cut", ("lab", "clinic")), Step(at + rng.randint(500, 8_000), "heal")]
        return sorted([*steps, *faults(rng, ("west", "east", "clinic", "hill"), self.ms, 4)])

    def judge(self, world: World) -> Iterable[Finding]:
        """Every effective removal's cut-off against what counts."""
        final = {
            place: k
            for (context, k), settled in world.ledger.settled.items()
            if context == world.context
            for place in settled.verdicts
        }
        for node in world.members():
            replica = node.replica(world.the_context)
            past = Past(replica)
            for removed in replica.membership.removed:
                if removed.device is not None:
                    continue
                target = world.node_of(removed.member)
                cut = dict(removed.cut_off)
                for chain, seq, slot in replica.chains.above({}):
                    if target is None or device_of(chain) != target.device or slot.plane != Plane.DATA:
                        continue
                    knew = any(h == removed.op_id or removed.op_id in past.of(h) for h in slot.heads)
                    if seq < cut.get(chain, 0) and not slot.verdict.effective:
                        yield world.broke("S3", f"{node.name} voids {target.name}'s {seq}, which its remover held")
                    before = final.get((chain, seq), 1 << 60) < final.get(replica.places[removed.op_id], 1 << 60)
                    if seq >= cut.get(chain, 0) and slot.verdict.effective and not knew and not before:
                        yield from counts_against(world, "S3", f"{node.name} counts {target.name}'s {seq} beyond the cut-off")


SCENARIO = RemovalUnderLoad()
