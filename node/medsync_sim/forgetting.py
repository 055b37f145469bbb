"""K3, by what really took place: who ordered which erasure, who held it back, and what any disk can still be made to say.

PROTOCOL §8: an order hides at once, destroys only when settled with no hold in force, and then for good. No node's own
idea of what it destroyed is believed: disks are read with the keys as they were when the subject was enrolled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from medsync_protocol.errors import Malformed, Refused
from medsync_protocol.ids import KeyId, MemberId, OpId, SubjectRef
from medsync_protocol.journal import Kept, OpRecord, ValueRecord
from medsync_protocol.kinds import Plane
from medsync_protocol.operation import decode_body, decode_header, sealing_context
from medsync_protocol.sealing import KeyRing
from medsync_sim.disk import Disk
from medsync_sim.ledger import Finding, Place

if TYPE_CHECKING:
    from medsync_sim.node import SimNode
    from medsync_sim.world import World

ATTEST_MS: Final = 60_000  # within which every member says that it destroyed what is to be destroyed
_STASH: Final = "forgetting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """An order or a hold, and where it stands. `signer`: a patient's key, or a custodian's member key."""

    signer: bytes
    op_id: OpId
    place: Place


@dataclass(slots=True, kw_only=True)
class Patient:
    """A subject as it was enrolled: what its record's payload was, and its key."""

    number: int
    subject: SubjectRef
    seed: bytes
    public: bytes
    payload: bytes
    key: bytes
    custodians: frozenset[MemberId]
    enrolled: Said
    orders: list[Said] = field(default_factory=list)
    holds: list[Said] = field(default_factory=list)
    releases: dict[OpId, Said] = field(default_factory=dict)
    dropped: Said | None = None
    """When a custodian took the patient's key out of the record."""


def patients(world: World) -> list[Patient]:
    """Everybody who was enrolled by a scenario that erases, in order."""
    found: list[Patient] = world.stash.setdefault(_STASH, [])
    return found


def holds(world: World, node: SimNode, said: Said) -> bool:
    """Whether the node has this operation, can read it, and it counts there."""
    _, chain, seq = said.place
    replica = node.replica(world.the_context)
    if replica.readable().get(chain, 0) <= seq:
        return False
    slot = replica.chains.slot(chain, seq)
    return bool(slot.op_id == said.op_id and slot.verdict.effective)


def held_back(world: World, node: SimNode, patient: Patient) -> bool:
    """Whether the node knows of a hold of which no release is settled, and never said that it destroyed the subject."""
    known = [hold for hold in patient.holds if holds(world, node, hold)]
    released = {op_id for op_id, release in patient.releases.items() if final(world, node, release)}
    attested = node.replica(world.the_context).application.erasure.attested(patient.subject)
    return node.member not in attested and any(hold.op_id not in released for hold in known)


def final(world: World, node: SimNode, said: Said) -> bool:
    """Whether a checkpoint that the node calls settled holds the operation, as one that counts."""
    return _settled_in(world, node, said) is not None


def _settled_in(world: World, node: SimNode, said: Said) -> int | None:
    for k in range(1, node.engine.checkpoints(world.the_context).settled + 1):
        settled = world.ledger.settled.get((world.the_context, k))
        verdict = None if settled is None else settled.verdicts.get(said.place[1:])
        if verdict is not None:
            return k if verdict[0] == said.op_id and verdict[1].effective else None
    return None


def _dropped_in(world: World, node: SimNode, patient: Patient) -> int | None:
    """The first settled checkpoint that holds the key's removal and the enrolment that it revises; None for none."""
    if patient.dropped is None:
        return None
    both = [_settled_in(world, node, said) for said in (patient.enrolled, patient.dropped)]
    return None if None in both else max(k for k in both if k is not None)


def suffices(world: World, node: SimNode, patient: Patient, orders: Iterable[Said]) -> bool:
    """Whether these orders do: one by the patient, unless its key was out of the record at an earlier checkpoint, or two
    custodians'."""
    dropped = _dropped_in(world, node, patient)
    signers = set()
    for order in orders:
        at = _settled_in(world, node, order)
        if order.signer != patient.public or dropped is None or (at is not None and at <= dropped):
            signers.add(order.signer)
    return patient.public in signers or len(signers & patient.custodians) >= 2


# -- when something is destroyed ------------------------------------------------------------------------------


def destroyed(world: World, node: SimNode) -> Iterator[Finding]:
    """A node destroyed what it closed last: was that ordered, settled, and held back by nothing it knew of?"""
    replica = node.replica(world.the_context)
    for patient in patients(world):
        told = world.stash.setdefault("destroyed", {})
        if patient.subject not in replica.erased.closed or (node.name, patient.subject) in told:
            continue
        told[node.name, patient.subject] = world.now
        if not suffices(world, node, patient, [order for order in patient.orders if final(world, node, order)]):
            yield world.broke("K3", f"{node.name} destroyed a subject of which no order that suffices is settled")
        if held_back(world, node, patient):
            yield world.broke("K3", f"{node.name} destroyed a subject that a custodian holds back")


# -- what an order hides --------------------------------------------------------------------------------------


def shown(world: World, node: SimNode) -> Iterator[Finding]:
    """Whom the node shows, though it holds an order that suffices or destroyed it."""
    replica = node.replica(world.the_context)
    for patient in patients(world):
        known = [order for order in patient.orders if holds(world, node, order)]
        if not suffices(world, node, patient, known) and patient.subject not in replica.erased.closed:
            continue
        if patient.subject in replica.application.subjects() or _answers(replica, patient.subject):
            yield world.broke("K3", f"{node.name} shows a subject whose erasure it knows to be ordered")


def _answers(replica: Any, subject: SubjectRef) -> bool:
    try:
        replica.application.subject(subject)
    except Refused:
        return False
    return True


# -- how it ends ----------------------------------------------------------------------------------------------


def ended(world: World) -> Iterator[Finding]:
    """Whoever is to be forgotten is: closed at every member, attested by every writer, on no live disk, in no memory."""
    members = world.members()
    if not members or world.facts.get("without a quorum"):
        return
    due = [patient for patient in patients(world) if _due(world, members[0], patient)]
    world.facts["to be forgotten"] = len(due)

    def told() -> bool:
        return all(_attested(world, patient) for patient in due)

    if not world.until(told, ATTEST_MS):
        yield world.broke("K3", "a minute later not every member destroyed what is to be destroyed and said so")
    for node in world.members():
        yield from shown(world, node)
        yield from kept(world, node)


def _due(world: World, node: SimNode, patient: Patient) -> bool:
    """Ordered by what is settled, and never held back, or every hold released by what is settled."""
    ordered = suffices(world, node, patient, [order for order in patient.orders if final(world, node, order)])
    free = all(
        hold.op_id in patient.releases and final(world, node, patient.releases[hold.op_id])
        for hold in patient.holds
        if holds(world, node, hold)
    )
    return ordered and free


def _attested(world: World, patient: Patient) -> bool:
    """Every honest member closed the subject, and everybody heard so."""
    members = world.members()
    said = {node.member for node in members}
    for node in members:
        replica = node.replica(world.the_context)
        if patient.subject not in replica.erased.closed or replica.erased.marks:
            return False
        if not said <= replica.application.erasure.attested(patient.subject).keys():
            return False
    return True


def kept(world: World, node: SimNode) -> Iterator[Finding]:
    """What the node's disk or memory still says of anybody it closed."""
    replica = node.replica(world.the_context)
    gone = {p.subject: p for p in patients(world) if p.subject in replica.erased.closed}
    if not gone or node.stuck or replica.erased.marks:
        return
    keys = {patient.key for patient in gone.values()}
    if not keys.isdisjoint(replica.application.subject_keys().values()):
        yield world.broke("K3", f"{node.name} keeps the key of an erased subject in memory")
    if any(told(record, world, gone, keys) for record in Disk(node.disk.image()).replay()):
        yield world.broke("K3", f"the disk of {node.name} still tells of an erased subject")


def told(record: Kept, world: World, gone: dict[SubjectRef, Patient], keys: set[bytes]) -> bool:
    """Whether a record that lies on a disk contains one of these keys, or opens with one of them."""
    if isinstance(record, ValueRecord):
        return any(key in (record.value or b"") for key in keys)
    if record.plane != Plane.DATA or record.context != world.the_context:
        return False
    answers: dict[Any, bool] = world.stash.setdefault("told", {})
    ring = _every_key(world, gone)
    asked = (record.header, record.body, tuple(gone), len(ring.epochs()))
    if asked not in answers:
        answers[asked] = any(key in record.body for key in keys) or _opens(record, ring, gone, keys)
    return answers[asked]


def _opens(record: OpRecord, ring: KeyRing, gone: dict[SubjectRef, Patient], keys: set[bytes]) -> bool:
    header, body = decode_header(record.header), decode_body(record.body)
    place = sealing_context(header)
    for index, entry in enumerate(body.entries):
        if entry.ciphertext is None:
            continue
        try:
            got = ring.open_entry(entry.ciphertext, index, key_id=header.key_id, nonce=body.nonce, place=place)
        except Malformed:
            continue
        if got is not None and got[1] is not None and (got[0] in gone or any(key in got[1] for key in keys)):
            return True
    return False


def _every_key(world: World, gone: dict[SubjectRef, Patient]) -> KeyRing:
    """All that anybody ever had: every epoch key that some node holds, and the subjects' keys from their enrolment."""
    ring: KeyRing = world.stash.setdefault("every key", KeyRing(bytes(32)))
    held: dict[KeyId, bytes] = {}
    for node in world.nodes.values():
        if node.up and (replica := node.replica(world.the_context)) is not None:
            held.update(replica.ring.epochs())
    for key in held.values():
        ring.take(key)
    ring.set_subjects({subject: patient.key for subject, patient in gone.items()})
    return ring
