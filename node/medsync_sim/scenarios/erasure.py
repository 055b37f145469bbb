"""Patients are forgotten while everything fails: orders, legal holds, writes that race with them, backups put back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from random import Random
from typing import Any, Final

from medsync_protocol.access import make_request
from medsync_protocol.application import Draft
from medsync_protocol.crypto import signing_public
from medsync_protocol.drafts import access_draft, subject_draft
from medsync_protocol.access import Answer, Half, half_of
from medsync_protocol.errors import NotPermitted, Refused
from medsync_protocol.erasure import EraseOrder, sign_order
from medsync_protocol.ids import Instant
from medsync_protocol.kinds import EntryKind
from medsync_protocol.rule import Effect, Rule, member_actor
from medsync_protocol.subject import decode_record, record_id
from medsync_sim.consortium import Setting
from medsync_sim.forgetting import Patient, Said, ended, kept, patients, shown
from medsync_sim.hostile import Forger, knowledge
from medsync_sim.ledger import Finding
from medsync_sim.moves import MOVES, PURPOSE, move, running, submit
from medsync_sim.node import SimNode
from medsync_sim.scenario import Scenario
from medsync_sim.steps import Move, Step, faults
from medsync_sim.timeline import stream
from medsync_sim.world import World

PATIENTS: Final = 4
OWN: Final = (
    "enrol_with_key", "order_by_patient", "order_by_custodian", "hold_back", "let_go", "use", "look_up", "carry_again",
    "write_later", "drop_key",
)  # fmt: skip


class Erasure(Scenario):
    """Hidden at once, destroyed only when settled and not held back, then for good (PROTOCOL §8, K3)."""

    name = "erasure"
    about = "Patients and custodians order erasures, others hold them back, write on behind cuts, put backups back."
    oracle = "an order hides at once; nothing goes before it is settled or while held; then no live disk tells of it (K3)"
    hostile = ("lab",)
    faults = 5

    def plan(self, rng: Random, setting: Setting) -> list[Step]:
        """Enrolled early, used all the time, ordered in the middle; two backups from before come back after."""
        honest = tuple(name for name in setting.names if name not in self.hostile)
        steps = faults(rng, honest, self.ms - 5_000, self.faults)
        for number in range(PATIENTS):
            at = rng.randint(100, 3_000)
            first, second = rng.sample(honest, 2)
            steps.append(Step(at, "enrol_with_key", (first, second, number)))
            steps += self._ordered(rng, honest, (first, second), number, rng.randint(6_000, 20_000))
            steps += [Step(rng.randint(at, self.ms), "use", (rng.choice(honest), rng.choice(honest), number)) for _ in range(7)]
            if rng.random() < 0.6:
                steps.append(Step(rng.randint(4_000, self.ms), "carry_again", ("lab", number)))
            if rng.random() < 0.6:
                steps.append(Step(rng.randint(9_000, self.ms), "write_later", ("lab", number)))
        for _ in range(2):
            name, at = rng.choice(honest), rng.randint(16_000, self.ms - 1_000)
            steps += [Step(rng.randint(3_000, 9_000), "backup", (name,)), Step(at, "restore", (name,)), Step(at + 900, "start", (name,))]
        side = tuple(sorted(rng.sample(honest, rng.randint(1, 2))))
        steps += [Step(cut := rng.randint(5_000, 16_000), "cut", side), Step(cut + rng.randint(2_000, 9_000), "heal")]
        steps += [Step(rng.randint(5_000, self.ms), "look_up", (rng.choice(honest),)) for _ in range(8)]
        return sorted(steps)

    def _ordered(
        self, rng: Random, honest: tuple[str, ...], custodians: tuple[str, str], number: int, at: int
    ) -> list[Step]:
        """By the patient, by two custodians, by one alone; one in three is held back, and let go of or not."""
        steps = []
        how = rng.choice(("patient", "both", "both", "one"))
        if how == "patient":
            steps.append(Step(at, "order_by_patient", (rng.choice(honest), number)))
        for custodian in () if how == "patient" else custodians[: 1 + (how == "both")]:
            steps.append(Step(at + rng.randint(0, 3_000), "order_by_custodian", (custodian, number)))
        if rng.random() < 0.35:
            holder = rng.choice(custodians)
            held = at + rng.randint(-3_000, 6_000)
            steps.append(Step(held, "hold_back", (holder, number)))
            if rng.random() < 0.6:
                steps.append(Step(held + rng.randint(500, 12_000), "let_go", (holder, number)))
        if how == "patient" and rng.random() < 0.5:
            steps.append(Step(at + rng.randint(-1_500, 4_000), "drop_key", (rng.choice(custodians), number)))
        return steps

    def moves(self) -> Mapping[str, Move]:
        """Everything about patients."""
        return {name: MOVES[name] for name in OWN}

    def judge(self, world: World) -> Iterable[Finding]:
        """How it ended."""
        return ended(world)


def _patient(world: World, number: int) -> Patient:
    """Raises Refused before it was enrolled."""
    if number >= len(patients(world)):
        raise Refused("nobody enrolled it yet", code="unknown_subject", advice="later")
    return patients(world)[number]


def _said(world: World, node: SimNode, signer: bytes, done: Any) -> Said:
    return Said(signer=signer, op_id=done.op_id, place=(world.the_context, done.chain, done.seq))


@move
def enrol_with_key(world: World, who: str, other: str, number: int) -> None:
    """A patient with a key of its own and two custodians."""
    node = running(world, who)
    seed = hashlib.sha256(f"medsync-sim/patient/{number}".encode()).digest()
    custodians = {node.member, world.nodes[other].member}
    homes = stream(world.seed, "homes", str(number)).sample(sorted(custodians), 1)
    subject, drafts = node.engine.desk(world.the_context).enrol(
        Instant(node.now), custodians=custodians, homes=homes, patient_keys=[signing_public(seed)]
    )
    done = submit(world, node, drafts)
    patients(world).append(
        Patient(
            number=number, subject=subject, seed=seed, public=signing_public(seed), payload=drafts[0].payload,
            key=decode_record(drafts[0].payload).subject_key, custodians=frozenset(custodians),
            enrolled=_said(world, node, node.member, done),
        )
    )  # fmt: skip


@move
def order_by_patient(world: World, carrier: str, number: int) -> None:
    """The patient signs, whoever it asked carries it."""
    node, patient = running(world, carrier), _patient(world, number)
    replica = node.replica(world.the_context)
    order = EraseOrder(
        network=replica.network, context=replica.context, subject=patient.subject, signer=patient.public,
        signed_at=Instant(node.now), salt=node.rng.randbytes(16),
    )  # fmt: skip
    signed = sign_order(order, patient.seed)
    _, drafts = node.engine.desk(world.the_context).erase_signed(signed.document, signed.signature)
    patient.orders.append(_said(world, node, patient.public, submit(world, node, drafts)))
    world.find(shown(world, node))


@move
def order_by_custodian(world: World, who: str, number: int) -> None:
    """One of the two that it takes."""
    node, patient = running(world, who), _patient(world, number)
    _, drafts = node.engine.desk(world.the_context).erase_attested(Instant(node.now), patient.subject)
    patient.orders.append(_said(world, node, node.member, submit(world, node, drafts)))
    world.find(shown(world, node))


@move
def hold_back(world: World, who: str, number: int) -> None:
    """A legal hold by a custodian."""
    node, patient = running(world, who), _patient(world, number)
    _, drafts = node.engine.desk(world.the_context).hold(patient.subject, "case 12/3")
    patient.holds.append(_said(world, node, node.member, submit(world, node, drafts)))


@move
def let_go(world: World, who: str, number: int) -> None:
    """The end of its own hold."""
    node, patient = running(world, who), _patient(world, number)
    for hold in patient.holds:
        if hold.signer == node.member and hold.op_id not in patient.releases:
            _, drafts = node.engine.desk(world.the_context).hold(patient.subject, "", hold.op_id)
            patient.releases[hold.op_id] = _said(world, node, node.member, submit(world, node, drafts))


@move
def use(world: World, who: str, recipient: str, number: int) -> None:
    """A grant, a decision with its receipt, a half of the log: all about one patient, by a custodian or whoever asks."""
    node, patient = running(world, who), _patient(world, number)
    desk, now = node.engine.desk(world.the_context), Instant(node.now)
    replica = node.replica(world.the_context)
    other = world.nodes[recipient].member
    request = make_request(
        replica.network, replica.context, patient.subject, other, purposes=(PURPOSE,), action="access", time=now,
        salt=node.rng.randbytes(16),
    )  # fmt: skip
    if node.member not in patient.custodians:
        standing = desk.application.subject(patient.subject)
        half = half_of(request, Half.REQUESTED, node.member, Answer.PERMIT, receipt=bytes(32), time=now)
        note = Draft(kind=EntryKind.NOTE, payload=b"seen", subject=patient.subject)
        submit(world, node, [access_draft(half, standing.homes), note])
        return
    entry, drafts = desk.decide(now, request)
    submit(world, node, drafts)
    if entry.receipt.decision.answer is Answer.PERMIT:
        world.find(shown(world, node))
    rule = Rule(effect=Effect.PERMIT, purposes=(PURPOSE,), actors=(member_actor(other),))
    submit(world, node, desk.grant_attested(now, patient.subject, rules=(rule,), valid_from=now)[1])


@move
def look_up(world: World, who: str) -> None:
    """Whom does it show? And nothing is taken about whom it destroyed."""
    node = running(world, who)
    world.find(shown(world, node))
    world.find(kept(world, node))
    replica = node.replica(world.the_context)
    for subject in sorted(replica.erased.closed):
        draft = Draft(kind=EntryKind.NOTE, payload=b"later", subject=subject)
        try:
            submit(world, node, [draft])
        except NotPermitted:
            return
        except Refused:
            continue
        world.find([world.broke("K3", f"{who} takes an entry about a subject that it destroyed")])


@move
def carry_again(world: World, lab: str, number: int) -> None:
    """Who kept a record carries it again, key and all."""
    node, patient = running(world, lab), _patient(world, number)
    submit(world, node, [subject_draft(decode_record(patient.payload))])


@move
def drop_key(world: World, custodian: str, number: int) -> None:
    """A custodian that would rather keep the record takes the patient's key out of it, whether its own desk lets it or not."""
    node, patient = running(world, custodian), _patient(world, number)
    before = decode_record(patient.payload)
    following = replace(before, revision=1, previous=record_id(patient.payload), patient_keys=())
    done = submit(world, node, [subject_draft(following)])
    if node.member in patient.custodians:  # what somebody else writes revises nothing
        patient.dropped = patient.dropped or _said(world, node, node.member, done)


@move
def write_later(world: World, lab: str, number: int) -> None:
    """Who kept the key writes on under the pseudonym, for whoever kept it too."""
    node, patient = running(world, lab), _patient(world, number)
    forger, known = world.stash.setdefault("forger", Forger(world, node)), knowledge(node, world)
    ring = node.replica(world.the_context).ring
    held = dict(node.replica(world.the_context).application.subject_keys())
    ring.set_subjects({**held, patient.subject: patient.key})
    draft = Draft(kind=EntryKind.NOTE, payload=b"later", subject=patient.subject)
    operation = forger.batch([draft], known)
    ring.set_subjects(held)
    forger.smuggle([operation], [one.name for one in world.honest()])


SCENARIO = Erasure()
