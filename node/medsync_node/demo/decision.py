"""Step 3, `decision`: the lab asks, the custodian permits with a receipt that others re-compute; both halves are logged."""

from __future__ import annotations

from dataclasses import replace

from medsync_client.accesses import AccessAnswer, AccessRequest, AccessRow
from medsync_node.demo.chapter import Chapter
from medsync_node.demo.world import AUDITOR, FOUNDER, LAB, SECOND, THIRD, World
from medsync_protocol.errors import BadSignature
from medsync_protocol.ids import ContextId, MemberId
from medsync_protocol.kinds import Audience
from medsync_protocol.operation import decode, decode_label
from medsync_protocol.receipt import ReceiptEntry, Recomputed, decode_receipt, verify_receipt


async def tell(world: World, chapter: Chapter) -> None:
    """See the module."""
    answer = await ask(world, "anna", FOUNDER)
    chapter.check("the_custodian_permits", answer.answer == "PERMIT")
    chapter.check("the_patients_grant_decided", tuple(rule.split(":")[0] for rule in answer.rules) == (world.facts["anna_grant"],))  # fmt: skip
    entry = decode_receipt(bytes.fromhex(answer.receipt or ""))
    _check_receipt(world, chapter, entry)
    await _check_log(world, chapter, answer)
    await _check_outsider(world, chapter, entry)
    marketing = await ask(world, "anna", FOUNDER, purpose="HMARKT")
    chapter.check("another_purpose_is_not_permitted", marketing.answer == "NO_CONSENT")
    chapter.show(
        answer=answer.answer, receipt=answer.receipt_id, rules=answer.rules, marketing=marketing.answer
    )


async def ask(
    world: World, patient: str, custodian: str, *, by: str = LAB, purpose: str = "HRESCH"
) -> AccessAnswer:
    """A member asks a custodian for observations."""
    body = AccessRequest(
        subject=world.facts[patient],
        custodian=world[custodian].member.hex(),
        purposes=(purpose,),
        types=("Observation",),
    )
    return await world[by].client.request_access(world.facts["context"], body)


def _check_receipt(world: World, chapter: Chapter, entry: ReceiptEntry) -> None:
    receipt = entry.receipt
    try:
        verify_receipt(receipt)
        genuine = receipt.signer == world[FOUNDER].member
    except BadSignature:
        genuine = False
    chapter.check("the_custodian_signed_the_receipt", genuine)
    found = {name: world.desk(name).recompute(entry) for name in (LAB, SECOND, AUDITOR)}
    chapter.check("others_recompute_it_bit_for_bit", set(found.values()) == {Recomputed.MATCHES})
    lied = replace(entry, receipt=replace(receipt, signer=MemberId(world[THIRD].member)))
    chapter.check(
        "a_receipt_with_another_signer_fails", world.desk(SECOND).recompute(lied) is Recomputed.BAD_SIGNATURE
    )
    chapter.show(
        recomputed={name: one.value for name, one in found.items()},
        inputs=receipt.inputs,
        view=receipt.view_id,
    )


async def _check_log(world: World, chapter: Chapter, answer: AccessAnswer) -> None:
    """Both halves, as a home sees them, under one mark; and who read the log stands in it."""
    city, at, anna = world[SECOND].client, world.facts["context"], world.facts["anna"]
    op = bytes.fromhex(answer.op or "")
    await world.until(SECOND, lambda: op in _held_ops(world, SECOND), "the requester's half")
    await world.until(SECOND, lambda: _custodian_half_held(world), "the custodian's half")
    rows = [row for row in (await city.accesses(at, anna)).entries if row.receipt == answer.receipt_id]
    halves = {row.half: row for row in rows}
    chapter.check("both_halves_stand_in_the_log", set(halves) == {"requested", "disclosed"})
    chapter.check("the_halves_match", len({row.match for row in rows}) == 1)
    again = (await city.accesses(at, anna)).entries
    chapter.check("reading_the_log_is_logged", _read_by(again, world[SECOND].member))
    world.facts["permit_receipt"] = answer.receipt_id
    chapter.show(halves={half: f"operation {row.op[:16]}, entry {row.index}" for half, row in halves.items()})


def _read_by(rows: tuple[AccessRow, ...], member: MemberId) -> bool:
    return any(row.half == "log-read" and row.requester == member.hex() for row in rows)


def _held_ops(world: World, name: str) -> list[bytes]:
    return [slot.op_id for _, _, slot in world.replica(name).chains.above({})]


def _custodian_half_held(world: World) -> bool:
    """Whether a home holds as much of the custodian's chain as the custodian."""
    chain = world.replica(FOUNDER).chain
    return world.replica(SECOND).vector.get(chain, 0) >= world.replica(FOUNDER).vector[chain]


async def _check_outsider(world: World, chapter: Chapter, entry: ReceiptEntry) -> None:
    """A hospital that is no party holds hash and size of the entries, and the operation still verifies there."""
    coast, at = world[THIRD], ContextId(world.context)
    mine = world.replica(FOUNDER)
    await world.until(THIRD, lambda: world.replica(THIRD).vector.get(mine.chain, 0) >= mine.vector[mine.chain], "the operations to arrive")  # fmt: skip
    count = world.replica(THIRD).vector[mine.chain]
    wires = coast.node.store.reader.read_ops(at, mine.chain, 0, count, 1 << 24)
    operations = [
        decode(wire, network=mine.network, context=at) for wire in wires
    ]  # checks roots against headers
    closed = [
        one
        for operation in operations
        if operation.header.plane == 2
        for one in operation.body.entries
        if decode_label(one.label).audience is Audience.PARTIES
    ]
    chapter.check("a_party_outside_holds_hashes_only", bool(closed) and all(one.pruned for one in closed))
    chapter.check("their_operations_still_verify_there", [o.op_id for o in operations] == [mine.chains.slot(mine.chain, seq).op_id for seq in range(count)])  # fmt: skip
    rows = (await coast.client.accesses(world.facts["context"], world.facts["anna"])).entries
    others = [row for row in rows if row.half != "log-read"]
    chapter.check("its_list_shows_nothing_of_others", not others)
    chapter.show(outsider_holds=[f"{one.hash.hex()} ({one.size} bytes)" for one in closed[:3]])
