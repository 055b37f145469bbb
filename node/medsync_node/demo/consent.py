"""Step 2, `consent`: HL7's examples attested or refused with the reason; two patients sign grants with their own keys."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any, Final

from medsync_client.consents import DirectiveText, Grant, Recorded, SignedDocument, WireActor, WireRule
from medsync_client.contexts import Admission, ContextCreate
from medsync_client.documents import Signing, signed_directive
from medsync_client.errors import ClientError
from medsync_client.subjects import SubjectEnrol
from medsync_node.demo.chapter import Chapter
from medsync_node.demo.world import AUDITOR, CONTEXT_NAME, FOUNDER, LAB, SECOND, THIRD, World
from medsync_node.fhir import directive_text
from medsync_node.fhir.references import by_reference
from medsync_protocol.directive import Basis
from medsync_protocol.errors import Refused
from medsync_protocol.ids import ContextId, Instant, SubjectRef

COMPUTED: Final = frozenset({"r4/notOrg", "r4/smartonfhir", "r5/notOrg", "r5/pkb", "r5/basic"})
"""HL7's examples that say something computable; the others must be refused."""
WHO_IS_WHO: Final = {"Organization/f001": THIRD}
PERMITTED: Final = WireRule(effect="permit", actors=(WireActor(member=LAB),), purposes=("HRESCH",))


async def tell(world: World, chapter: Chapter) -> None:
    """See the module."""
    await _found_context(world, chapter)
    await _enrol(world, chapter)
    await _import_examples(world, chapter)
    await _sign_grants(world, chapter)
    await _refuse(world, chapter)


async def _found_context(world: World, chapter: Chapter) -> None:
    others = tuple(
        Admission(member=name, role="reader" if name == AUDITOR else "admin" if name == SECOND else "member")
        for name in world.places
        if name != FOUNDER
    )
    made = await world[FOUNDER].client.create_context(
        ContextCreate(name=CONTEXT_NAME, members=others, auditors=(AUDITOR,))
    )
    world.facts["context"] = made.id
    names = list(world.places)
    voters = len(names) - 1

    def ready(name: str) -> bool:
        replica = world[name].node.engine.replicas.get(world.context)
        return replica is not None and len(replica.membership.voters) == voters and replica.role is not None

    await world.everywhere(names, ready, "the context with its voters")
    details = {name: await world[name].client.context(made.id) for name in names}
    chapter.check("the_context_is_on_every_node", {one.id for one in details.values()} == {made.id})
    await world.everywhere(
        names,
        lambda name: world.replica(name).membership.root() == world.replica(FOUNDER).membership.root(),
        "equal roots",
    )
    roots = {name: world.replica(name).membership.root() for name in names}
    chapter.check("membership_roots_are_equal", len(set(roots.values())) == 1)
    chapter.show(context=made.id, membership_root=roots[FOUNDER], voters=voters)
    world.anchoring.begin(made.id, world[FOUNDER].home)


async def _enrol(world: World, chapter: Chapter) -> None:
    """Anna at two hospitals, which are her homes; Bob at a third; and HL7's example patient."""
    mercy, city, coast = (world[name].client for name in (FOUNDER, SECOND, THIRD))
    at = world.facts["context"]
    two = (FOUNDER, SECOND)
    key = world.patient("anna").public.hex()
    anna = await mercy.enrol_subject(at, SubjectEnrol(custodians=two, homes=two, patient_keys=(key,)))
    bob = await coast.enrol_subject(at, SubjectEnrol(patient_keys=(world.patient("bob").public.hex(),)))
    example = await mercy.enrol_subject(at, SubjectEnrol())
    world.facts.update(anna=anna.subject, bob=bob.subject, example=example.subject)
    await world.until(SECOND, lambda: _holds(world, SECOND, anna.subject), "the subject to arrive")
    by_card = await city.subject(at, anna.card)
    chapter.check("a_card_names_the_subject_at_another_hospital", by_card.subject == anna.subject)
    try:
        await city.subject(at, anna.card[:-3] + ("AAA" if not anna.card.endswith("AAA") else "BBB"))
        code = "found"
    except ClientError as error:
        code = error.code
    chapter.check("a_mistyped_card_is_refused", code == "bad_card")
    chapter.show(anna=anna.subject, card=anna.card, bob=bob.subject)


def _holds(world: World, name: str, subject: str) -> bool:
    return world.desk(name).application.standing(SubjectRef(bytes.fromhex(subject))) is not None


async def _import_examples(world: World, chapter: Chapter) -> None:
    mercy, at, subject = world[FOUNDER].client, world.facts["context"], world.facts["example"]
    recorded: dict[str, Recorded] = {}
    refused: dict[str, str] = {}
    for name, resource in _examples():
        try:
            text = directive_text(resource, subject=subject, recipient=_recipient)
            recorded[name] = await mercy.grant(at, Grant(attest=text))
        except (Refused, ClientError) as refusal:
            refused[name] = f"{refusal.code}: {refusal}"
    held = {one.id: one for one in (await mercy.consents(at, subject)).consents}
    chapter.check("computable_examples_are_on_record", set(recorded) == COMPUTED and {r.id for r in recorded.values()} <= set(held))  # fmt: skip
    chapter.check(
        "they_are_attested_not_signed", all(held[r.id].basis == "attested" for r in recorded.values())
    )
    chapter.check(
        "the_others_are_refused_with_a_reason", {name for name, _ in _examples()} - COMPUTED == set(refused)
    )
    chapter.show(imported={name: r.id for name, r in recorded.items()}, refused=refused)


def _examples() -> list[tuple[str, dict[str, Any]]]:
    data = files("medsync_node") / "demo" / "data" / "fhir"
    return [
        (f"{release}/{path.name.removesuffix('.json')}", json.loads(path.read_bytes()))
        for release in ("r4", "r5")
        for path in sorted((data / release).iterdir(), key=lambda path: path.name)
    ]


def _recipient(reference: str) -> WireActor:
    known = WHO_IS_WHO.get(reference)
    return by_reference(reference) if known is None else WireActor(member=known)


async def sign_and_grant(
    world: World, patient: str, at: str, text: DirectiveText, *, number: int, context: bytes | None = None
) -> Recorded:
    """A patient signs, away from every node, and a hospital carries the document. Raises the client's errors."""
    held = world.patient(patient)
    node = world[at].node
    assert node.engine.network is not None
    place = Signing(
        network=node.engine.network, context=ContextId(context or world.context),
        subject=SubjectRef(bytes.fromhex(text.subject)), signer=held.public, seed=held.seed,
        basis=Basis.PATIENT_SIGNED, now=Instant(node.now()), salt=node.engine.entropy("directive salt", 16),
    )  # fmt: skip
    signed = signed_directive(text, place, number, lambda name: world[name].member)
    document = SignedDocument(document=signed.document.hex(), signature=signed.signature.hex())
    return await world[at].client.grant(world.facts["context"], Grant(signed=document))


async def _sign_grants(world: World, chapter: Chapter) -> None:
    at = world.facts["context"]
    anna, bob = (DirectiveText(subject=world.facts[name], rules=(PERMITTED,)) for name in ("anna", "bob"))
    granted = {
        "anna": await sign_and_grant(world, "anna", FOUNDER, anna, number=1),
        "bob": await sign_and_grant(world, "bob", THIRD, bob, number=1),
    }
    for name, where in (("anna", SECOND), ("bob", AUDITOR)):
        one = granted[name]
        world.facts[f"{name}_grant"] = one.id
        await world.until(where, lambda where=where, one=one: _verifies(world, where, one.id), "the grant to be effective")  # type: ignore[misc]  # fmt: skip
        found = await world[where].client.verify_consent(at, one.id)
        chapter.check(
            f"{name}s_grant_verifies_elsewhere", found.ok and found.consent.basis == "patient-signed"
        )
        chapter.show(**{f"{name}_grant": one.id, f"{name}_grant_checks": sorted(found.checks)})


def _verifies(world: World, name: str, named: str) -> bool:
    desk = world.desk(name)
    try:
        return desk.verify_consent(Instant(world[name].node.now()), bytes.fromhex(named)).ok  # type: ignore[arg-type]
    except Refused:
        return False


async def _refuse(world: World, chapter: Chapter) -> None:
    """A lab that attests to itself, a used number, and documents without meaning."""
    lab, at = world[LAB].client, world.facts["context"]
    own = await lab.enrol_subject(at, SubjectEnrol())
    anna = world.facts["anna"]
    elsewhere = bytes(31) + b"\x01"
    said = {
        "self_attested": await _code(lab.grant(at, Grant(attest=DirectiveText(subject=own.subject, rules=(PERMITTED,))))),
        "not_custodian": await _code(lab.grant(at, Grant(attest=DirectiveText(subject=anna, rules=(PERMITTED,))))),
        "number_used": await _code(
            sign_and_grant(world, "anna", SECOND, DirectiveText(subject=anna, base="permit"), number=1)
        ),
        "wrong_context": await _code(
            sign_and_grant(world, "anna", SECOND, DirectiveText(subject=anna, base="permit"), number=2, context=elsewhere)
        ),
        "unknown_signer": await _code(
            sign_and_grant(world, "bob", SECOND, DirectiveText(subject=anna, base="permit"), number=1)
        ),
        "unknown_purpose": await _code(
            world[FOUNDER].client.grant(at, Grant(attest=DirectiveText(subject=anna, rules=(WireRule(effect="permit", purposes=("WHIM",)),))))
        ),
        "until_before_from": await _code(
            world[FOUNDER].client.grant(at, Grant(attest=DirectiveText(subject=anna, base="deny", valid_from=2, until=1)))
        ),
    }  # fmt: skip
    for code, found in said.items():
        chapter.check(f"refused_{code}", found == code)


async def _code(call: Any) -> str:
    try:
        await call
    except (ClientError, Refused) as error:
        return error.code
    return "accepted"
