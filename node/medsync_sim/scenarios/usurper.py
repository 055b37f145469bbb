"""A plain member, and an institution outside the context, sign what only an admin may."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random

from medsync_protocol.actions import Action, Admit, Rotate, SetRole
from medsync_protocol.application import Draft
from medsync_protocol.ids import NETWORK_CONTEXT
from medsync_protocol.kinds import EntryKind, Role
from medsync_protocol.sealing import make_rotation
from medsync_sim.authority import Past
from medsync_sim.consortium import Setting
from medsync_sim.hostile import Forger, effective_at, knowledge
from medsync_sim.ledger import Finding
from medsync_sim.node import SimNode
from medsync_sim.scenario import Scenario
from medsync_sim.steps import Move, Step, work
from medsync_sim.world import World


class Usurper(Scenario):
    """Authority is judged in each operation's own past (PROTOCOL §3.1)."""

    name = "usurper"
    about = "A member without the role admits, removes, promotes itself and rotates; then it writes as an admin would."
    oracle = "nothing of it is effective, nobody's standing changes (S2)"
    hostile = ("lab",)
    operations = 14

    def setting(self) -> Setting:
        """One outsider, whom the usurper admits."""
        return Setting(nodes=5, admins=2, outsiders=1)

    def plan(self, rng: Random, setting: Setting) -> list[Step]:
        """Every kind of act, in any order."""
        honest = tuple(name for name in setting.names if name != "lab")
        acts = [
            Step(rng.randint(1_000, 25_000), "usurp", ("lab", kind, rng.choice(honest)))
            for kind in rng.choices(("promote", "admit", "remove", "rotate"), k=8)
        ]
        return sorted([*work(rng, honest, self.ms, self.operations), *acts])

    def moves(self) -> Mapping[str, Move]:
        """Acting as an admin."""
        return {"usurp": usurp}

    def judge(self, world: World) -> Iterable[Finding]:
        """What counts of it."""
        past = Past(world.members()[0].replica(world.the_context))
        for kind, operation in world.stash.get("usurped", ()):
            if effective_at(world, operation) and not past.is_proposal(operation.op_id):
                yield world.broke("S2", f"a plain member's {kind} counts")


def usurp(world: World, name: str, kind: str, whom: str) -> None:
    """One act, to everybody, and data of its own beside it."""
    node, target = world.nodes[name], world.nodes[whom]
    forger, known = Forger(world, node), knowledge(node, world)
    chain = forger.chain(f"usurp{world.elapsed}")
    if kind == "remove":
        operation = forger.removal(target, known, chain=chain)
    else:
        operation = forger.action(_act(world, node, kind), known, chain=chain)
    world.stash.setdefault("usurped", []).append((kind, operation))
    tail = forger.batch([Draft(kind=EntryKind.NOTE, payload=b"mine")], knowledge(node, world), chain=chain)
    forger.smuggle([operation, tail], [n.name for n in world.honest()])


def _act(world: World, node: SimNode, kind: str) -> Action:
    state = node.replica(world.the_context).membership
    if kind == "promote":
        return SetRole(member=node.member, role=Role.ADMIN)
    if kind == "admit":
        outsider = next(n for n in world.nodes.values() if n.member not in state.members)
        card = node.engine.replicas[NETWORK_CONTEXT].membership.cards[outsider.member]
        return Admit(card=card, role=Role.ADMIN, key_id=knowledge(node, world).key_id, wrap=b"")
    recipients = {member: held.sealing_key for member, held in state.members.items()}
    return Rotate(
        rotation=make_rotation(
            epoch=1 + state.highest_epoch(), key=node.rng.randbytes(32), recipients=recipients, previous=None,
            entropy=lambda label, n: node.rng.randbytes(n),
        )
    )  # fmt: skip


SCENARIO = Usurper()
