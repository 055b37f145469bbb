"""Step 5, `removal`: an admin removes the lab; the key rotates in the same operation; the lab reads nothing more."""

from __future__ import annotations

from typing import Any

from medsync_client.consents import DirectiveText, Grant
from medsync_client.errors import ClientError
from medsync_node.demo.chain import ANCHOR_SECONDS
from medsync_node.demo.chapter import Chapter
from medsync_node.demo.decision import ask
from medsync_node.demo.world import FOUNDER, LAB, SECOND, THIRD, World
from medsync_protocol.application import Draft
from medsync_protocol.crypto import aead_open, derive
from medsync_protocol.effects import Effect
from medsync_protocol.errors import Malformed
from medsync_protocol.ids import KeyId, OpId, SubjectRef
from medsync_protocol.kinds import EntryKind, OpKind, Plane
from medsync_protocol.operation import Header, Operation, build, decode, sealing_context
from medsync_protocol.replica import Replica


async def tell(world: World, chapter: Chapter) -> None:
    """See the module."""
    lab, at = world[LAB], world.facts["context"]
    stale = _late_operation(world)
    before = world.replica(FOUNDER).membership
    removal = OpId(bytes.fromhex((await world[FOUNDER].client.remove_from_context(at, lab.member.hex())).op))
    left = [name for name in world.places if name != LAB]
    await world.everywhere(
        left, lambda name: lab.member not in world.replica(name).membership.members, "the removal"
    )
    after = world.replica(FOUNDER).membership
    new = {key_id: epoch for key_id, epoch in after.keys.items() if key_id not in before.keys}
    chapter.check("the_key_rotated_in_the_same_operation", [one.op_id for one in new.values()] == [removal])
    chapter.check("the_lab_is_no_recipient", all(lab.member not in one.recipients for one in new.values()))
    chapter.check("it_is_the_key_to_write_under", after.usable_key() in new)
    await world.until(LAB, lambda: world.replica(LAB).role is None, "the lab to learn of it")
    shown = await lab.client.context(at)
    chapter.check("the_lab_learns_of_it", shown.role is None)
    chapter.show(
        removal=removal, epoch=f"{before.highest_epoch()} → {after.highest_epoch()}", new_key=list(new)
    )
    await _reads_nothing(world, chapter, next(iter(new)))
    await _writes_nothing(world, chapter, stale)
    await _new_voters(world, chapter)


async def _reads_nothing(world: World, chapter: Chapter, new_key: KeyId) -> None:
    """Hand the lab the very bytes of what is written now about an old subject, and try every key it holds."""
    anna = SubjectRef(bytes.fromhex(world.facts["anna"]))
    denial = Grant(attest=DirectiveText(subject=anna.hex(), base="deny"))
    written = await world[FOUNDER].client.grant(world.facts["context"], denial)
    mine, theirs = world.replica(FOUNDER), world.replica(LAB)
    operation = _own(world, mine, OpId(bytes.fromhex(written.op)))
    chapter.check("it_is_written_under_the_new_key", operation.header.key_id == new_key)
    chapter.check("the_lab_has_the_subjects_key", _application(theirs).subject_keys().get(anna) is not None)
    chapter.check("the_lab_lacks_the_new_key", new_key not in theirs.ring)
    tried = [_opens(theirs, operation, key, anna) for key in theirs.ring.epochs().values()]
    chapter.check("no_key_of_the_lab_opens_it", bool(tried) and not any(tried))
    chapter.check("those_who_stayed_open_it", await _opened_by(world, SECOND, written.id))
    chapter.show(
        could_not_be_opened=(operation.body.entries[0].ciphertext or b"")[:48],
        keys_tried=len(tried),
        operation=written.op,
    )


def _application(replica: Replica) -> Any:
    return replica.application


def _opens(theirs: Replica, operation: Operation, epoch_key: bytes, subject: SubjectRef) -> bool:
    """Whether an epoch key of the lab, with the subject's, opens the entry: the way every member opens entries."""
    ciphertext = operation.body.entries[0].ciphertext
    assert ciphertext is not None
    at = bytes(4)
    key = derive(epoch_key, "entry", _application(theirs).subject_keys()[subject])
    try:
        aead_open(
            key, operation.body.nonce[:20] + at, ciphertext[17:], sealing_context(operation.header) + at
        )
    except Malformed:
        return False
    return True


async def _opened_by(world: World, name: str, named: str) -> bool:
    await world.until(name, lambda: _readable(world, name, named), "the operation to be readable")
    return (await world[name].client.consent(world.facts["context"], named)).id == named


def _readable(world: World, name: str, named: str) -> bool:
    return bool(_application(world.replica(name)).carried_by(SubjectRef(bytes.fromhex(world.facts["anna"])), bytes.fromhex(named)))  # fmt: skip


def _own(world: World, replica: Replica, op_id: OpId) -> Operation:
    """An operation of the replica's own chain, from its journal."""
    seq = next(seq for chain, seq, slot in replica.chains.above({}) if slot.op_id == op_id)
    wire = world[FOUNDER].node.store.reader.read_ops(replica.context, replica.chain, seq, seq + 1, 1 << 24)[0]
    return decode(wire, network=replica.network, context=replica.context)


def _late_operation(world: World) -> Operation:
    """What the lab's program could sign now and hand in after its removal: its next operation, under the old key."""
    replica = world.replica(LAB)
    key_id = replica.membership.usable_key()
    assert key_id is not None
    header = Header(
        network=replica.network, context=replica.context, plane=Plane.DATA, chain=replica.chain,
        seq=replica.chains.next_seq(replica.chain), prev=replica.chains.head(replica.chain),
        membership_heads=replica.fold.heads(), seen_k=0, seen_root=bytes(32), key_id=key_id,
        hlc=world[LAB].node.now() << 16, kind=OpKind.BATCH, entries_root=bytes(32), count=1,
    )  # fmt: skip
    draft = Draft(kind=EntryKind.NOTE, payload=b"late")
    nonce = world[LAB].node.engine.entropy("entry nonce", 24)
    sealed = replica.ring.seal_entries(
        [draft], key_id=key_id, nonce=nonce, place=sealing_context(header), sealing_keys={}
    )
    return build(header, nonce, sealed, replica.identity.device_seed)


async def _writes_nothing(world: World, chapter: Chapter, late: Operation) -> None:
    """Its late operation, whoever carries it, is kept and void everywhere; asking gets no decision."""

    def carry(now: int) -> tuple[None, list[Effect]]:
        return None, world.replica(THIRD).receive(now, late.wire)

    await world[THIRD].node.perform(carry)
    place = (late.header.chain, late.header.seq)
    left = [name for name in world.places if name != LAB]
    await world.everywhere(
        left, lambda name: world.replica(name).vector.get(place[0], 0) > place[1], "the late operation"
    )
    verdicts = {name: world.replica(name).verdict(*place) for name in left}
    chapter.check(
        "its_later_operation_is_void_everywhere", all(not one.effective for one in verdicts.values())
    )
    chapter.check(
        "and_kept_as_evidence", all(world.replica(n).chains.slot(*place).op_id == late.op_id for n in left)
    )
    code: str
    try:
        code = (await ask(world, "bob", THIRD)).answer
    except ClientError as error:
        code = error.code
    chapter.check("it_gets_no_decision", code != "PERMIT")
    chapter.show(late_operation=late.op_id, verdict=verdicts[FOUNDER].name.lower(), lab_was_told=code)


async def _new_voters(world: World, chapter: Chapter) -> None:
    """The voters, the lab among them on paper, vote for a list without it: the contract was opened with it."""
    await world.anchoring.done(ANCHOR_SECONDS)
    writers = tuple(name for name in world.hospitals)
    for name in writers:
        await world[name].client.vote_voters(world.facts["context"], writers)
    wanted = {world[name].member for name in writers}

    def listed(name: str) -> bool:
        return {member for member, _ in world.replica(name).membership.voters} == wanted

    left = [name for name in world.places if name != LAB]
    await world.everywhere(left, listed, "the new voter list")
    found = await world[FOUNDER].client.voters(world.facts["context"])
    chapter.check(
        "the_voters_voted_it_off_the_list", {v.member for v in found.voters} == {m.hex() for m in wanted}
    )
    chapter.show(voters=[voter.name for voter in found.voters], quorum=found.quorum)
