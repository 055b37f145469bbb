"""The API of real nodes, call by call: what each answers, and what it refuses."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import trio

from medsync_client import BadRequest, ClientError, NotFound, Refused
from medsync_client.accesses import AccessBatch, AccessRequest, LoggedAccess
from medsync_client.checkpoints import ChainRegistration, OpeningRequest
from medsync_client.consents import (
    DirectiveText,
    Grant,
    RevocationText,
    Revoke,
    SignedDocument,
    WireActor,
    WireRule,
)
from medsync_client.contexts import ContextCreate
from medsync_client.documents import Signing, signed_directive, signed_revocation
from medsync_client.members import InvitationCreate
from medsync_client.subjects import Subject, SubjectEnrol, SubjectKeys, SubjectLink
from medsync_node.verify.export_format import ExportedOperation, ExportHeader, read_export
from medsync_protocol.crypto import signing_public
from medsync_protocol.directive import Basis
from medsync_protocol.ids import ContextId, Instant, MemberId, NetworkId, SubjectRef
from medsync_protocol.subject import make_link
from tests.node.api_world import PATIENCE, Party, form, parties, running, same, until

PATIENT = os.urandom(32)
PERMIT_ALL = (WireRule(effect="permit"),)


@pytest.fixture
async def alone(tmp_path: Path) -> AsyncIterator[Party]:
    """One node that belongs to no network."""
    async with parties(tmp_path, "north") as (north,):
        yield north


@pytest.fixture
async def founder(alone: Party) -> Party:
    """One node, its network, its context `trial`."""
    await form([alone])
    return alone


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Party, Party]]:
    """Two nodes that share `trial`."""
    async with parties(tmp_path, "north", "lab") as (north, lab):
        await form([north, lab])
        yield north, lab


async def refused(call: object, kind: type[ClientError], code: str, *, advice: bool = True) -> None:
    """The call fails so, and says what to do; bytes that break the protocol need no advice."""
    with pytest.raises(kind) as caught:
        await call  # type: ignore[misc]
    assert caught.value.code == code, caught.value
    assert caught.value.advice or not advice


# -- node and network -----------------------------------------------------------------------------------------


async def test_a_new_node_says_who_it_is_and_that_it_has_no_network(alone: Party) -> None:
    found = await alone.client.status()
    assert (found.name, found.member, found.network) == ("north", alone.member, None)
    assert found.addresses and (await alone.client.ready()).ok
    await refused(alone.client.network(), NotFound, "no_network")
    await refused(alone.client.create_context(ContextCreate(name="x")), NotFound, "no_network")


async def test_a_network_is_founded_once(alone: Party) -> None:
    made = await alone.client.create_network("hospitals")
    assert (made.name, made.members, made.role) == ("hospitals", 1, "admin")
    assert await alone.client.network() == made
    await refused(alone.client.create_network("other"), Refused, "has_network")


async def test_invitations_let_in_once_the_right_one_and_in_time(tmp_path: Path) -> None:
    async with parties(tmp_path, "north", "south", "east") as (north, south, east):
        await north.client.create_network("hospitals")
        await refused(south.client.join("medsync-invite:x"), BadRequest, "bad_invitation")
        bound = await north.client.invite(InvitationCreate(bound_to=east.member))
        await refused(south.client.join(bound.invitation), Refused, "invitation_bound")
        open_one = await north.client.invite(InvitationCreate(role="admin"))
        joined = await south.client.join(open_one.invitation)
        assert joined.id == (await north.client.network()).id
        await refused(east.client.join(open_one.invitation), Refused, "invitation_used")
        await east.client.join(bound.invitation)

        async def all_linked() -> bool:
            found = (await north.client.members()).members
            return {m.name: (m.role, m.connected or m.me) for m in found} == {
                "north": ("admin", True), "south": ("admin", True), "east": ("member", True),
            }  # fmt: skip

        await until(all_linked)
        assert (await south.client.set_role("east", "admin")).op
        await refused(south.client.set_role("west", "admin"), NotFound, "unknown_member")


async def test_contexts_are_found_by_name_id_or_its_beginning(founder: Party) -> None:
    made = await founder.client.context("trial")
    assert (made.role, made.voters, made.quorum, made.epoch) == ("admin", 1, 1, 1)
    for named in (made.id, made.id[:8]):
        assert (await founder.client.context(named)).id == made.id
    await refused(founder.client.context(made.id[:7]), NotFound, "unknown_context")
    await founder.client.create_context(ContextCreate(name="trial"))
    await refused(founder.client.context("trial"), BadRequest, "ambiguous_name")
    assert [one.name for one in (await founder.client.contexts()).contexts] == ["trial", "trial"]
    await refused(
        founder.client.create_context(ContextCreate(name="x", policy="chaos")), BadRequest, "unknown_policy"
    )
    await refused(
        founder.client.create_context(ContextCreate(name="x", application="chess")),
        BadRequest, "unknown_application",
    )  # fmt: skip


async def test_membership_of_a_context_changes_through_the_api(pair: tuple[Party, Party]) -> None:
    north, lab = pair
    voters = await north.client.voters("trial")
    assert {voter.name for voter in voters.voters} <= {"north", "lab"} and voters.quorum >= 1
    before = (await north.client.context("trial")).epoch
    await north.client.rotate("trial")
    assert (await north.client.context("trial")).epoch == before + 1
    await refused(lab.client.rotate("trial"), Refused, "not_permitted")
    await north.client.remove_from_context("trial", "lab")
    assert {m.name for m in (await north.client.context_members("trial")).members} == {"north"}

    async def learnt() -> bool:
        return (await lab.client.context("trial")).role is None

    await until(learnt)
    await refused(lab.client.enrol_subject("trial", SubjectEnrol()), Refused, "not_permitted")
    asked = AccessRequest(subject="00" * 16, purposes=("HRESCH",))
    await refused(lab.client.request_access("trial", asked), Refused, "not_permitted")


# -- subjects and consents ------------------------------------------------------------------------------------


async def enrol(party: Party, **fields: object) -> Subject:
    return await party.client.enrol_subject("trial", SubjectEnrol.model_validate(fields))


async def test_a_subject_is_enrolled_and_found_by_its_card(founder: Party) -> None:
    made = await enrol(founder, patient_keys=(signing_public(PATIENT).hex(),))
    assert await founder.client.subject("trial", made.card) == made
    assert made.homes == made.custodians == (founder.member,)
    assert [(key.kind, key.next_number) for key in made.keys] == [("patient", 1), ("custodian", 1)]
    await refused(founder.client.subject("trial", "00" * 16), NotFound, "unknown_subject")
    await refused(founder.client.subject("trial", made.card[:-1]), BadRequest, "bad_card")
    other = await founder.client.create_context(ContextCreate(name="other"))
    await refused(founder.client.subject(other.id, made.card), BadRequest, "card_context")


async def test_subjects_are_listed_by_pseudonym_in_pages_and_by_their_first_digits(founder: Party) -> None:
    made = sorted([(await enrol(founder)).subject for _ in range(5)])
    await founder.client.grant("trial", Grant(attest=DirectiveText(subject=made[0], rules=(WireRule(effect="deny"),))))
    first = await founder.client.subjects("trial", limit=2)
    assert [one.subject for one in first.subjects] == made[:2] and [one.consents for one in first.subjects] == [1, 0]
    assert first.subjects[0].homes == first.subjects[0].custodians == (founder.member,)
    second = await founder.client.subjects("trial", after=first.next, limit=3)
    assert [one.subject for one in second.subjects] == made[2:] and second.next is None
    for begins in ("0", "f", made[3][:6], made[3]):
        found = await founder.client.subjects("trial", begins)
        assert [one.subject for one in found.subjects] == [one for one in made if one.startswith(begins)]
    await refused(founder.client.subjects("trial", "XY"), BadRequest, "invalid_request")


async def test_keys_change_and_pseudonyms_are_linked(founder: Party) -> None:
    key, new = signing_public(PATIENT).hex(), signing_public(os.urandom(32)).hex()
    one, two = await enrol(founder, patient_keys=(key,)), await enrol(founder, patient_keys=(key,))
    changed = await founder.client.change_keys("trial", one.subject, SubjectKeys(add_patient=(new,)))
    assert changed.revision == 1 and {k.key for k in changed.keys if k.kind == "patient"} == {key, new}
    made = make_link(
        NetworkId(bytes.fromhex(one.network)), ContextId(bytes.fromhex(one.context)),
        (SubjectRef(bytes.fromhex(one.subject)), SubjectRef(bytes.fromhex(two.subject))),
        signer=signing_public(PATIENT), seed=PATIENT,
    )  # fmt: skip
    body = SubjectLink(other=two.subject, signer=made.signer.hex(), signature=made.signature.hex())
    assert (await founder.client.link_subject("trial", one.subject, body)).linked == (two.subject,)
    forged = body.model_copy(update={"signature": "00" * 64})
    await refused(founder.client.link_subject("trial", one.subject, forged), BadRequest, "bad_signature")


def signing(subject: Subject, now: int | None = None) -> Signing:
    return Signing(
        network=NetworkId(bytes.fromhex(subject.network)), context=ContextId(bytes.fromhex(subject.context)),
        subject=SubjectRef(bytes.fromhex(subject.subject)), signer=signing_public(PATIENT), seed=PATIENT,
        basis=Basis.PATIENT_SIGNED, now=Instant(now or time.time_ns() // 1_000_000), salt=os.urandom(16),
    )  # fmt: skip


def member_finder(*everyone: Party) -> dict[str, MemberId]:
    return {one.name: MemberId(bytes.fromhex(one.member)) for one in everyone}


def patient_grant(subject: Subject, number: int, find: dict[str, MemberId], **fields: object) -> Grant:
    text = DirectiveText.model_validate({"subject": subject.subject, **fields})
    signed = signed_directive(text, signing(subject), number, find.__getitem__)
    document = SignedDocument(document=signed.document.hex(), signature=signed.signature.hex())
    return Grant(signed=document)


async def test_a_patient_grants_and_takes_back_by_a_key_of_her_own(pair: tuple[Party, Party]) -> None:
    north, lab = pair
    subject = await enrol(north, patient_keys=(signing_public(PATIENT).hex(),))
    rule = WireRule(effect="permit", actors=(WireActor(member="lab"),), purposes=("HRESCH",))
    granted = await north.client.grant(
        "trial", patient_grant(subject, 1, member_finder(north, lab), rules=(rule,)), "replicated"
    )
    assert granted.number == 1
    found = await north.client.consent("trial", granted.id)
    assert (found.basis, found.status, found.permits, found.denies) == (
        "patient-signed",
        "active",
        True,
        False,
    )
    assert found.rules[0].actors == (WireActor(member=lab.member),)
    checked = await north.client.verify_consent("trial", granted.id)
    assert checked.checks["signature"] and checked.checks["signer_may"], checked.checks
    revocation = signed_revocation(
        RevocationText(subject=subject.subject, series=signing_public(PATIENT).hex(), all_before=1),
        signing(subject),
    )
    document = SignedDocument(document=revocation.document.hex(), signature=revocation.signature.hex())
    done = await north.client.revoke("trial", Revoke(signed=document), wait=True)
    assert done.state == "effective"
    (listed,) = (await north.client.consents("trial", subject.subject)).consents
    assert (listed.status, listed.reason) == ("not-counted", "revoked")
    assert not (await north.client.verify_consent("trial", granted.id)).ok


@pytest.mark.parametrize(
    ("fields", "kind", "code"),
    [
        ({"rules": (WireRule(effect="permit", purposes=()),)}, BadRequest, "empty_list"),
        ({"rules": ()}, BadRequest, "empty_list"),
        ({"rules": (WireRule(effect="permit", purposes=("WHIM",)),)}, BadRequest, "unknown_purpose"),
        ({"rules": PERMIT_ALL, "valid_from": 2000, "until": 1000}, BadRequest, "until_before_from"),
        ({"rules": (WireRule(effect="permit", actors=(WireActor(member="nobody"),)),)}, NotFound, "unknown_member"),
        ({"rules": (WireRule(effect="permit", actors=(WireActor(member="north"),)),)}, Refused, "self_attested"),
    ],
)  # fmt: skip
async def test_a_consent_without_meaning_or_authority_is_refused_with_advice(
    founder: Party, fields: dict[str, object], kind: type[ClientError], code: str
) -> None:
    subject = await enrol(founder)
    text = DirectiveText.model_validate({"subject": subject.subject, **fields})
    await refused(founder.client.grant("trial", Grant(attest=text)), kind, code)
    assert (await founder.client.consents("trial", subject.subject)).consents == ()


async def test_a_document_signed_for_another_context_or_changed_is_refused(founder: Party) -> None:
    subject = await enrol(founder, patient_keys=(signing_public(PATIENT).hex(),))
    elsewhere = subject.model_copy(update={"context": "11" * 32})
    await refused(
        founder.client.grant("trial", patient_grant(elsewhere, 1, {}, rules=PERMIT_ALL)),
        BadRequest, "wrong_context",
    )  # fmt: skip
    good = patient_grant(subject, 1, {}, rules=PERMIT_ALL)
    assert good.signed is not None
    changed = Grant(signed=SignedDocument(document=good.signed.document, signature="00" * 64))
    await refused(founder.client.grant("trial", changed), BadRequest, "bad_signature")
    await refused(founder.client.grant("trial", Grant()), BadRequest, "two_documents")
    await refused(founder.client.consent("trial", "00" * 32), NotFound, "unknown_directive")
    await refused(founder.client.consent("trial", "zz"), NotFound, "unknown_directive")


async def test_the_newest_operations_say_who_built_on_what_and_nothing_of_contents(founder: Party) -> None:
    subject = await enrol(founder)
    found = await founder.client.operations("trial", 3)
    assert len(found.operations) == 3 < found.total == sum((await founder.client.context("trial")).chains.values())
    newest, before, _ = found.operations
    assert newest.time >= before.time and newest.verdict == "effective" and newest.member == founder.member
    everything = (await founder.client.operations("trial", 500)).operations
    held = {one.id for one in everything}
    assert all(set(one.parents) <= held for one in everything) and {one.plane for one in everything} >= {"membership", "data"}
    assert subject.subject not in found.model_dump_json()


# -- access ---------------------------------------------------------------------------------------------------


async def granted_to_lab(north: Party, lab: Party) -> tuple[Subject, str]:
    subject = await enrol(north, patient_keys=(signing_public(PATIENT).hex(),))
    rule = WireRule(effect="permit", actors=(WireActor(member="lab"),), purposes=("HRESCH",))
    grant = await north.client.grant(
        "trial", patient_grant(subject, 1, member_finder(north, lab), rules=(rule,))
    )
    await same([north, lab])
    return subject, grant.id


async def test_a_lab_asks_and_both_halves_stand_in_the_log(pair: tuple[Party, Party]) -> None:
    north, lab = pair
    subject, granted = await granted_to_lab(north, lab)
    body = AccessRequest(subject=subject.card, purposes=("HRESCH",))

    async def permitted() -> bool:
        return (await lab.client.request_access("trial", body)).answer == "PERMIT"

    await until(permitted)  # north's first heartbeat makes the view fresh
    answer = await lab.client.request_access("trial", body)
    assert answer.custodian == north.member and answer.receipt and answer.op
    assert answer.rules[0].startswith(granted)
    await same([north, lab])
    page = await north.client.accesses("trial", subject.subject)
    mine = [row for row in page.entries if row.receipt == answer.receipt_id]
    assert {(row.half, row.outcome) for row in mine} == {("requested", "PERMIT"), ("disclosed", "PERMIT")}
    assert mine[0].match == mine[1].match and all(row.effective for row in mine)
    assert answer.receipt_id
    for party in (north, lab):
        again = await party.client.receipt("trial", subject.subject, answer.receipt_id)
        assert (again.recomputed, again.answer, again.custodian_name) == ("matches", "PERMIT", "north")
        assert (again.receipt, again.purposes, again.rules) == (answer.receipt, ("HRESCH",), answer.rules)
    await refused(lab.client.receipt("trial", subject.subject, "00" * 32), NotFound, "unknown_receipt")

    revoked = await north.client.revoke(
        "trial", Revoke(attest=RevocationText(subject=subject.subject, targets=(granted,)))
    )
    assert revoked.state in ("recorded", "effective")
    denied = await lab.client.request_access("trial", body)
    assert denied.answer == "NO_CONSENT"
    only = await north.client.accesses("trial", subject.subject, half="refused", member="lab")
    assert {row.outcome for row in only.entries} >= {"NO_CONSENT"}


async def test_a_request_without_meaning_is_refused(pair: tuple[Party, Party]) -> None:
    north, lab = pair
    subject, _ = await granted_to_lab(north, lab)

    def ask(**fields: object) -> object:
        base = {"subject": subject.subject, "purposes": ("HRESCH",)}
        return lab.client.request_access("trial", AccessRequest.model_validate({**base, **fields}))

    await refused(ask(purposes=("WHIM",)), BadRequest, "unknown_purpose")
    await refused(ask(action="steal"), BadRequest, "unknown_action")
    await refused(ask(types=()), BadRequest, "empty_list")
    await refused(ask(subject="00" * 16), NotFound, "unknown_subject")
    await refused(ask(custodian="lab"), Refused, "not_custodian")


def entry(party: Party, subject: Subject, **fields: object) -> LoggedAccess:
    base = {
        "half": "disclosed", "subject": subject.subject, "requester": party.member, "custodian": party.name,
        "purposes": ("TREAT",), "unit": "ward 7",
    }  # fmt: skip
    return LoggedAccess.model_validate({**base, **fields})


async def test_a_batch_is_one_operation_all_or_none_and_is_read_page_by_page(founder: Party) -> None:
    subject = await enrol(founder)
    before = (await founder.client.context("trial")).operations
    batch = AccessBatch(entries=tuple(entry(founder, subject, time=1000 + n) for n in range(150)))
    done = await founder.client.append_accesses("trial", batch)
    assert done.count == 150 and (await founder.client.context("trial")).operations == before + 1
    times: list[int] = []
    cursor, pages = None, 0
    while True:
        page = await founder.client.accesses(
            "trial", subject.subject, half="disclosed", limit=40, cursor=cursor
        )
        times += [row.time for row in page.entries]
        cursor, pages = page.next, pages + 1
        if cursor is None:
            break
    assert times == list(range(1149, 999, -1)) and pages >= 4
    some = await founder.client.accesses("trial", subject.subject, since=1010, until=1020, half="disclosed")
    assert [row.time for row in some.entries] == list(range(1019, 1009, -1))
    assert some.entries[0].unit == "ward 7" and some.entries[0].requester_name == "north"
    bad = (*batch.entries[:5], entry(founder, subject, purposes=("WHIM",)))
    await refused(
        founder.client.append_accesses("trial", AccessBatch(entries=bad)), BadRequest, "unknown_purpose"
    )
    reads = await founder.client.accesses("trial", subject.subject, half="log-read")
    assert len(reads.entries) == 3  # first pages only: who leafs on reads once
    await refused(founder.client.accesses("trial", subject.subject, cursor="x"), BadRequest, "cursor")


# -- checkpoints and audit ------------------------------------------------------------------------------------


async def test_before_a_contract_is_named_nothing_is_proposed(founder: Party) -> None:
    assert (await founder.client.checkpoints("trial")).checkpoints == ()
    await refused(founder.client.propose("trial"), Refused, "not_anchored")
    await refused(founder.client.certificate("trial", 1), NotFound, "unknown_checkpoint")
    chain = await founder.client.chain("trial")
    assert not chain.registered and chain.address is None and int(chain.context, 16)


async def test_a_registered_context_is_signed_by_its_voters_and_certified(pair: tuple[Party, Party]) -> None:
    north, lab = pair
    where = OpeningRequest(chain_id="0x4d4544", contract="0x1234")
    await refused(lab.client.opening("trial", where), Refused, "not_founder")

    async def elected() -> bool:
        return len((await north.client.voters("trial")).voters) == 2

    await until(elected)
    opening = await north.client.opening("trial", where)
    assert opening.context == (await north.client.chain("trial")).context and len(opening.members) == 2
    body = ChainRegistration(chain_id=where.chain_id, contract=where.contract, block=7, opening=opening)
    forged = body.model_copy(update={"opening": opening.model_copy(update={"r": "0x1"})})
    await refused(north.client.register_chain("trial", forged), BadRequest, "bad_signature", advice=False)
    registered = await north.client.register_chain("trial", body)
    assert registered.address == (await north.client.context("trial")).address
    assert registered.block == 7 and registered.accepted == 0 and registered.reader["trouble"]

    async def both_know() -> bool:
        return (await lab.client.chain("trial")).address == registered.address

    await until(both_know)
    await north.client.propose("trial")

    async def signed() -> bool:
        return (await lab.client.context("trial")).checkpoint.signed == 1

    await until(signed)
    (listed,) = (await lab.client.checkpoints("trial")).checkpoints
    certificate = await lab.client.certificate("trial", 1)
    assert (listed.k, listed.level, listed.votes, listed.quorum) == (1, "signed", 2, 2)
    assert certificate.digest == listed.digest and certificate.next.log_size == listed.log_size
    assert certificate.head.k == 0 and certificate.members == opening.members
    assert certificate.next.context == opening.context


async def test_an_export_holds_every_operation_and_the_copy_on_disk_verifies(founder: Party) -> None:
    subject = await enrol(founder)
    await founder.client.append_accesses("trial", AccessBatch(entries=(entry(founder, subject),)))
    async with founder.client.export("trial") as lines:
        text = [line async for line in lines]
    header, *operations = read_export(text)
    detail = await founder.client.context("trial")
    assert isinstance(header, ExportHeader) and header.context.hex() == detail.id
    assert all(isinstance(one, ExportedOperation) for one in operations)
    assert len(operations) == detail.operations
    report = await founder.client.verify_audit("trial")
    assert report.ok and report.operations == detail.operations and all(report.checks.values())


# -- the API itself -------------------------------------------------------------------------------------------


async def test_events_tell_what_happens_while_somebody_listens(founder: Party) -> None:
    with trio.fail_after(PATIENCE):
        async with founder.client.events() as events:
            await founder.client.rotate("trial")
            seen = [event async for event in _first(events, "membership")]
    assert seen[-1]["context"] == (await founder.client.context("trial")).id


async def _first(events: AsyncIterator[dict[str, object]], what: str) -> AsyncIterator[dict[str, object]]:
    async for event in events:
        yield event
        if event["what"] == what:
            return


async def test_tcp_serves_the_same_with_the_token_of_the_home(tmp_path: Path) -> None:
    from tests.node.api_world import make_home

    async with running(make_home(tmp_path, "north"), {"api.listen": "127.0.0.1:0"}) as north:
        url, token = north.daemon.api.url, north.daemon.token
        async with httpx.AsyncClient(base_url=str(url), trust_env=False) as stranger:
            assert (await stranger.get("/v1/status")).status_code == 401
            assert (await stranger.get("/metrics")).status_code == 401
            assert (await stranger.get("/readyz")).status_code == 200
            headers = {"Authorization": f"Bearer {token}"}
            assert (await stranger.get("/v1/status", headers=headers)).json()["name"] == "north"


async def test_the_description_names_every_call_and_its_page_loads_nothing_from_elsewhere(
    founder: Party,
) -> None:
    transport = httpx.AsyncHTTPTransport(uds=str(founder.daemon.api.socket))
    async with httpx.AsyncClient(transport=transport, base_url="http://node", trust_env=False) as client:
        api = (await client.get("/openapi.json")).json()
        assert "/v1/contexts/{context}/access:batch" in api["paths"]
        for item in api["paths"].values():
            assert all(call["summary"] and call["description"] for call in item.values())
        icon = await client.get("/favicon.ico")  # browsers ask for it wherever they come by
        assert (icon.status_code, icon.headers["content-type"], icon.content[:4]) == (200, "image/x-icon", bytes([0, 0, 1, 0]))
        page = await client.get("/docs")
        assert "default-src 'none'" in page.headers["content-security-policy"]
        for asset in ("/docs", "/docs/docs.js", "/docs/docs.css"):
            text = (await client.get(asset)).text
            assert "http://" not in text and "https://" not in text and "//cdn" not in text
        metrics = (await client.get("/metrics")).text
        assert "medsync_context_operations{" in metrics and "medsync_linked_peers 0.0" in metrics
