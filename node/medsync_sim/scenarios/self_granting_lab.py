"""A lab grants itself access: as its own attestor, as its only recipient, and in the names of others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random

from medsync_protocol.directive import Basis, Directive, sign_directive
from medsync_protocol.drafts import directive_draft
from medsync_protocol.ids import Instant
from medsync_protocol.rule import Effect, Rule, member_actor
from medsync_sim.consortium import Setting
from medsync_sim.ledger import Finding
from medsync_sim.moves import MOVES, PURPOSE, move, running, submit, subjects
from medsync_sim.scenario import Scenario
from medsync_sim.steps import Move, Step, work
from medsync_sim.world import World


class SelfGrantingLab(Scenario):
    """A grant counts only by a key of the record, or attested by a custodian who is not its only recipient (§1)."""

    name = "self-granting-lab"
    about = "A lab signs grants for itself, as custodian of some subjects and as a stranger to others, and asks."
    oracle = "no honest custodian ever permits the lab anything (S2), for nobody else granted it anything"
    hostile = ("lab",)
    operations = 20

    def plan(self, rng: Random, setting: Setting) -> list[Step]:
        """The lab is made custodian of some subjects, grants itself, asks honest custodians."""
        honest = tuple(name for name in setting.names if name != "lab")
        steps = [s for s in work(rng, honest, self.ms, self.operations) if s.move not in ("grant", "ask")]
        steps += [Step(rng.randint(100, 4_000), "enrol", (rng.choice(honest), "lab", rng.randrange(1 << 16))) for _ in range(3)]
        steps += [Step(rng.randint(2_000, 20_000), "grant_itself", ("lab", rng.randrange(1 << 16))) for _ in range(8)]
        steps += [
            Step(rng.randint(4_000, self.ms), "ask_for_itself", (rng.choice(honest), rng.randrange(1 << 16))) for _ in range(25)
        ]
        return sorted(steps)

    def moves(self) -> Mapping[str, Move]:
        """The lab's."""
        return {name: MOVES[name] for name in ("grant_itself", "ask_for_itself")}

    def judge(self, world: World) -> Iterable[Finding]:
        """What it was given."""
        lab = world.nodes["lab"].member
        for answer in world.ledger.answers:
            if answer.permitted and answer.requester == lab:
                yield world.broke("S2", f"{answer.node} permits the lab what only the lab granted")


@move
def grant_itself(world: World, lab: str, salt: int) -> None:
    """A directive for the lab alone, signed by it, whatever its own desk would say."""
    node = running(world, lab)
    replica, known = node.replica(world.the_context), subjects(node, world)
    if not known:
        return
    subject = known[salt % len(known)]
    keys = replica.application.subject_keys()
    rule = Rule(effect=Effect.PERMIT, purposes=(PURPOSE,), actors=(member_actor(node.member),))
    directive = Directive(
        network=replica.network, context=replica.context, subject=subject, signer=node.member, number=1 + salt % 7,
        base=None, rules=(rule,), valid_from=Instant(node.now), until=None, basis=Basis.ATTESTED,
        signed_at=Instant(node.now), salt=node.rng.randbytes(16),
    )  # fmt: skip
    signed = sign_directive(directive, node.identity.signing_seed)
    submit(world, node, [directive_draft(signed, keys[subject])])
    world.ledger.grants.append((subject, lab))


@move
def ask_for_itself(world: World, custodian: str, salt: int) -> None:
    """The lab asks an honest custodian for what it granted itself."""
    MOVES["ask"](world, "lab", custodian, salt)


SCENARIO = SelfGrantingLab()
