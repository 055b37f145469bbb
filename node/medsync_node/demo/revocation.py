"""Step 4, `revocation`: the patient takes back at the other hospital: recorded, then effective; the lab gets DENY."""

from __future__ import annotations

from medsync_client.consents import DirectiveText, Revoke, SignedDocument, WireActor, WireRule
from medsync_client.documents import Signing, signed_revocation
from medsync_client.consents import RevocationText
from medsync_node.demo.chapter import Chapter
from medsync_node.demo.children import run_once
from medsync_node.demo.consent import sign_and_grant
from medsync_node.demo.decision import ask
from medsync_node.demo.world import FOUNDER, LAB, SECOND, THIRD, World
from medsync_protocol.directive import Basis
from medsync_protocol.ids import Instant, SubjectRef

EXIT_DENIED = 3


async def tell(world: World, chapter: Chapter) -> None:
    """See the module."""
    subject = SubjectRef(bytes.fromhex(world.facts["anna"]))
    done = await world[SECOND].client.revoke(world.facts["context"], _revocation(world, subject))
    chapter.check("first_it_is_recorded", done.state == "recorded")
    named = bytes.fromhex(done.id)

    def level(name: str) -> str:
        book = world[name].node.engine.book(world.context)
        return world.desk(name).application.revocation_level(subject, named, book)

    await world.everywhere(
        [SECOND, FOUNDER], lambda name: level(name) == "effective", "the revocation to be effective"
    )
    chapter.check("then_it_is_effective", level(SECOND) == level(FOUNDER) == "effective")
    gone = await ask(world, "anna", FOUNDER)
    chapter.check("the_permit_is_gone", gone.answer == "NO_CONSENT")
    await _deny(world, chapter)
    bob = await ask(world, "bob", THIRD)
    chapter.check("another_patients_grant_is_untouched", bob.answer == "PERMIT")
    chapter.show(revocation=done.id, after_revocation=gone.answer, bob=bob.answer)


def _revocation(world: World, subject: SubjectRef) -> Revoke:
    held, node = world.patient("anna"), world[SECOND].node
    assert node.engine.network is not None
    place = Signing(
        network=node.engine.network, context=world.context, subject=subject, signer=held.public, seed=held.seed,
        basis=Basis.PATIENT_SIGNED, now=Instant(node.now()), salt=node.engine.entropy("revocation salt", 16),
    )  # fmt: skip
    text = RevocationText(subject=subject.hex(), series=held.public.hex(), all_before=1)
    signed = signed_revocation(text, place)
    return Revoke(signed=SignedDocument(document=signed.document.hex(), signature=signed.signature.hex()))


async def _deny(world: World, chapter: Chapter) -> None:
    """She also says no in so many words; the lab asks on the command line."""
    rule = WireRule(effect="deny", actors=(WireActor(member=LAB),))
    denial = await sign_and_grant(
        world, "anna", SECOND, DirectiveText(subject=world.facts["anna"], rules=(rule,)), number=2
    )
    op = bytes.fromhex(denial.op)
    await world.until(FOUNDER, lambda: _holds(world, op), "the denial to arrive")
    code, answer = await run_once(
        "access", "request", world.facts["context"], world.facts["anna"], "--purpose", "HRESCH", "--type", "Observation",
        "--from-custodian", world[FOUNDER].member.hex(), "--home", str(world[LAB].home),
    )  # fmt: skip
    chapter.check("the_lab_gets_deny", answer.get("answer") == "DENY")
    chapter.check("the_command_line_exits_with_3", code == EXIT_DENIED)
    chain = world.replica(FOUNDER).chain
    await world.until(
        SECOND,
        lambda: world.replica(SECOND).vector.get(chain, 0) >= world.replica(FOUNDER).vector[chain],
        "the refusal",
    )
    rows = (await world[SECOND].client.accesses(world.facts["context"], world.facts["anna"])).entries
    refusals = [row for row in rows if row.half == "refused" and row.receipt == answer.get("receipt_id")]
    chapter.check("the_refusal_is_logged", [row.outcome for row in refusals] == ["DENY"])
    decided = [rule.split(":")[0] for rule in answer.get("rules", ())]
    chapter.check("her_denial_decided", decided == [denial.id])
    chapter.show(
        denial=denial.id,
        exit_code=code,
        answer=answer.get("answer", answer.get("error")),
        refusal=[row.op for row in refusals],
    )


def _holds(world: World, op: bytes) -> bool:
    return any(slot.op_id == op for _, _, slot in world.replica(FOUNDER).chains.above({}))
