"""A patient's old grant is held back and appears after the patient revoked everything up to it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from random import Random

from medsync_protocol.crypto import signing_public
from medsync_protocol.directive import (
    Basis, Directive, Revocation, Signed, directive_id, sign_directive, sign_revocation,
)  # fmt: skip
from medsync_protocol.drafts import directive_draft
from medsync_protocol.ids import Instant
from medsync_protocol.rule import Effect, Rule, member_actor
from medsync_sim.consortium import Setting
from medsync_sim.ledger import Finding
from medsync_sim.moves import MOVES, PURPOSE, move, record_revocation, running, submit
from medsync_sim.scenario import Scenario
from medsync_sim.steps import Move, Step, faults, work
from medsync_sim.world import World

PATIENT = hashlib.sha256(b"medsync-sim/patient").digest()


class WithheldGrant(Scenario):
    """`all_before` takes back what that key signed up to its number, seen or not (PROTOCOL §7)."""

    name = "withheld-grant"
    about = "A lab holds a patient's signed grant back, and shows it after `all_before` revoked it unseen."
    oracle = "no custodian permits on it once it holds the revocation, nor later than the guarantee (S10)"
    hostile = ("lab",)
    operations = 10

    def plan(self, rng: Random, setting: Setting) -> list[Step]:
        """Sign, revoke, show, ask and ask again."""
        honest = tuple(name for name in setting.names if name != "lab")
        at = rng.randint(3_000, 8_000)
        shown = at + rng.randint(-2_000, 9_000)
        asks = [Step(rng.randint(shown, self.ms), "ask_patient", (rng.choice(("north", "south")), rng.randrange(1 << 16))) for _ in range(14)]
        return sorted([
            *work(rng, honest, self.ms, self.operations), *faults(rng, honest, self.ms, 3), *asks,
            Step(200, "enrol_patient", ("north",)), Step(1_500, "sign_grants", ("lab",)),
            Step(at, "revoke_all", (rng.choice(("north", "south")),)), Step(shown, "show", ("lab",)),
        ])  # fmt: skip

    def moves(self) -> Mapping[str, Move]:
        """The patient's and the lab's."""
        return {name: MOVES[name] for name in ("enrol_patient", "sign_grants", "revoke_all", "show", "ask_patient")}

    def judge(self, world: World) -> Iterable[Finding]:
        """S10 was looked at when each answer was given; here only how many there were."""
        world.facts["asked"] = len(world.ledger.answers)
        return ()


@move
def enrol_patient(world: World, who: str) -> None:
    """A subject with a patient key; north and south are custodians and homes."""
    node = running(world, who)
    both = [world.nodes["north"].member, world.nodes["south"].member]
    subject, drafts = node.engine.desk(world.the_context).enrol(
        Instant(node.now), custodians=both, homes=both, patient_keys=[signing_public(PATIENT)]
    )
    if submit(world, node, drafts) is not None:
        world.stash["patient"] = subject


@move
def sign_grants(world: World, lab: str) -> None:
    """Two numbered grants by the patient's key for the lab, which keeps them."""
    if "patient" not in world.stash:
        return
    node = running(world, lab)
    replica = node.replica(world.the_context)
    rule = Rule(effect=Effect.PERMIT, purposes=(PURPOSE,), actors=(member_actor(node.member),))
    world.stash["signed"] = [
        sign_directive(
            Directive(
                network=replica.network, context=replica.context, subject=world.stash["patient"],
                signer=signing_public(PATIENT), number=number, base=None, rules=(rule,), valid_from=Instant(node.now),
                until=None, basis=Basis.PATIENT_SIGNED, signed_at=Instant(node.now), salt=node.rng.randbytes(16),
            ),
            PATIENT,
        )
        for number in (1, 2)
    ]  # fmt: skip


@move
def revoke_all(world: World, who: str) -> None:
    """The patient revokes all up to number 2, through a custodian that has seen neither."""
    node = running(world, who)
    if "patient" not in world.stash:
        return
    replica = node.replica(world.the_context)
    key = signing_public(PATIENT)
    signed = sign_revocation(
        Revocation(
            network=replica.network, context=replica.context, subject=world.stash["patient"], signer=key, series=key,
            all_before=2, signed_at=Instant(node.now), salt=node.rng.randbytes(16),
        ),
        PATIENT,
    )  # fmt: skip
    _, drafts = node.engine.desk(world.the_context).revoke_signed(
        Instant(node.now), signed.document, signed.signature
    )
    done = submit(world, node, drafts)
    record_revocation(world, done, world.stash["patient"], frozenset(), key, 2)


@move
def show(world: World, lab: str) -> None:
    """The lab carries the grants now, whatever its own desk would say."""
    node = running(world, lab)
    signed: list[Signed] = world.stash.get("signed", [])
    keys = node.replica(world.the_context).application.subject_keys()
    subject = world.stash.get("patient")
    if signed and subject is not None and subject in keys:
        submit(world, node, [directive_draft(one, keys[subject]) for one in signed])
        world.ledger.grants.append((subject, lab))
        world.stash["shown"] = [directive_id(one.document) for one in signed]


@move
def ask_patient(world: World, custodian: str, salt: int) -> None:
    """The lab asks a custodian for the patient's data."""
    if "patient" in world.stash:
        grants, world.ledger.grants = world.ledger.grants, [(world.stash["patient"], "lab")]
        try:
            MOVES["ask"](world, "lab", custodian, salt)
        finally:
            world.ledger.grants = grants


SCENARIO = WithheldGrant()
