"""Decisions explained, receipts verified, disclosures accounted for, halves reconciled, a subject exported: over real nodes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from medsync_client import BadRequest, NotFound
from medsync_client.accesses import AccessBatch, AccessRequest, AccessRow, LoggedAccess
from medsync_client.consents import DirectiveText, Grant, RevocationText, Revoke, WireActor, WireRule
from medsync_client.erasures import OrderSigned
from medsync_client.explanations import ExplainRequest
from medsync_client.receipts import ReceiptPayload
from medsync_client.subjects import SubjectEnrol
from medsync_node import accounting, cli
from medsync_node.dashboard.pages.access import unmatched
from medsync_node.authorised import authorised, authorises
from medsync_protocol.access import Answer
from medsync_protocol.crypto import signing_public
from medsync_protocol.directive import Basis, Directive, decode_directive
from medsync_protocol.erasure import EraseOrder, sign_order
from medsync_protocol.errors import Refused
from medsync_protocol.ids import ContextId, Instant, NetworkId, SubjectRef
from medsync_protocol.receipt import request_of
from medsync_protocol.rule import member_actor
from tests.consent_world import LAB, NOW, directive, permit
from tests.desk_world import DAY, Context
from tests.node.api_world import Party, form, parties, same, until

RESEARCH = WireRule(effect="permit", actors=(WireActor(member="lab"),), purposes=("HRESCH",))


async def permitted(lab: Party, subject: str) -> Any:
    answers = []

    async def asked() -> bool:
        answers.append(await lab.client.request_access("trial", AccessRequest(subject=subject, purposes=("HRESCH",), custodian="north")))
        return answers[-1].answer == "PERMIT"

    await until(asked)
    return answers[-1]


async def command(party: Party, capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    """A command of the CLI on a running node's home, on a thread: the node answers on this one."""
    home = party.daemon.node.home
    assert home is not None
    capsys.readouterr()
    given = await trio.to_thread.run_sync(lambda: cli.run([*arguments, "--home", str(home.path), "--json"]))
    printed = capsys.readouterr()
    assert given == code, (arguments, given, printed.out, printed.err)
    found: dict[str, Any] = json.loads(printed.out)
    return found


async def test_what_was_decided_can_be_explained_verified_and_accounted_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with parties(tmp_path, "north", "lab") as (north, lab):
        await form([north, lab])
        patient = bytes(range(32))
        subject = (await north.client.enrol_subject("trial", SubjectEnrol(patient_keys=(signing_public(patient).hex(),)))).subject
        before = north.daemon.node.now() - 1
        consent = await north.client.grant("trial", Grant(attest=DirectiveText(subject=subject, rules=(RESEARCH,))))
        await same([north, lab])
        answer = await permitted(lab, subject)
        await same([north, lab])

        # explained: now, as of before the grant, by its receipt
        found = await lab.client.explain("trial", ExplainRequest(subject=subject, purposes=("HRESCH",)))
        assert (found.answer, found.basis, found.needed, found.freshness) == ("PERMIT", "now", (), "fresh")
        assert [(one.consent, one.rule, one.decides) for one in found.findings] == [(consent.id, 0, True)]
        other = await north.client.explain("trial", ExplainRequest(subject=subject, purposes=("TREAT",), requester="lab"))
        assert other.answer == "NO_CONSENT" and other.findings[0].missing == ("purposes",) and consent.id in other.needed[0]
        past = await command(lab, capsys, "access", "explain", "trial", subject, "--purpose", "HRESCH", "--at", "2020-01-01")
        assert (past["answer"], past["basis"], past["freshness"]) == ("INDETERMINATE", "past", "unknown") and past["needed"]
        then = await lab.client.explain("trial", ExplainRequest(subject=subject, purposes=("HRESCH",), at=answer.time))
        assert (then.answer, then.freshness, then.proven_by) == ("PERMIT", "fresh", answer.receipt_id), "a receipt of then proves it"
        earlier = await lab.client.explain("trial", ExplainRequest(subject=subject, purposes=("HRESCH",), at=before))
        assert earlier.answer in ("NO_CONSENT", "INDETERMINATE") and earlier.findings == ()
        by = await command(north, capsys, "access", "explain", "trial", subject, "--receipt", answer.receipt_id)
        assert (by["answer"], by["basis"], by["time"]) == ("PERMIT", "receipt", answer.time)
        with pytest.raises(BadRequest):
            await lab.client.explain("trial", ExplainRequest(subject=subject, purposes=("TREAT",), receipt=answer.receipt_id))

        # by codes of GA4GH's Data Use Ontology; under a condition that only a person can judge nothing is decided
        other_one = (await north.client.enrol_subject("trial", SubjectEnrol())).subject
        grant = ("consent", "grant", "trial", other_one, "--to", "lab")
        await command(north, capsys, *grant, "--duo", "DUO:0000006", "--duo", "DUO:0000012=children only", "--duo", "DUO:0000021")
        marked = (await north.client.consents("trial", other_one)).consents[0].rules[0]
        assert marked.purposes is not None and "CLINTRCH" in marked.purposes and marked.duo is None
        assert marked.obligations == ("DUO:0000012=children only", "DUO:0000021")
        judged = await north.client.explain("trial", ExplainRequest(subject=other_one, purposes=("CLINTRCH",), requester="lab"))
        assert judged.answer == "INDETERMINATE" and "children only" in judged.needed[0]
        refused = await command(north, capsys, *grant, "--duo", "DUO:0000042", "--purpose", "TREAT", code=1)
        assert refused["error"]["code"] == "duo" and "leave" in refused["error"]["advice"]

        # verified bit for bit; one changed bit is found
        (tmp_path / "answer.receipt").write_text(answer.receipt)
        verified = await command(lab, capsys, "receipt", "verify", "trial", str(tmp_path / "answer.receipt"))
        assert (verified["recomputed"], verified["signer_is_custodian"]) == ("matches", True)
        assert (verified["custodian_name"], answer.custodian_name) == ("north", "north")
        assert set((await lab.client.subject("trial", subject)).names.values()) == {"north"}
        forged = bytearray.fromhex(answer.receipt)
        place = forged.index(bytes.fromhex(consent.id))
        forged[place] ^= 1
        (tmp_path / "forged.receipt").write_text(forged.hex())
        refused = await command(lab, capsys, "receipt", "verify", "trial", str(tmp_path / "forged.receipt"), code=1)
        assert refused["recomputed"] == "bad_signature"
        damaged = bytearray.fromhex(answer.receipt)
        damaged[damaged.index(bytes.fromhex((await lab.client.context("trial")).id))] ^= 1
        (tmp_path / "damaged.receipt").write_text(damaged.hex())
        refused = await command(lab, capsys, "receipt", "verify", "trial", str(tmp_path / "damaged.receipt"), code=1)
        assert refused["recomputed"] == "bad_signature" and refused["outcome"].startswith("damaged: it names another network or context")
        with pytest.raises(BadRequest):
            await lab.client.verify_receipt("trial", ReceiptPayload(receipt="00"))

        # accounted for: research is, treatment is not, repeats are one line
        def released(purpose: str, time: int) -> LoggedAccess:
            return LoggedAccess(half="disclosed", subject=subject, requester="lab", custodian="north", purposes=(purpose,), time=time)

        await north.client.append_accesses("trial", AccessBatch(entries=(
            released("HRESCH", 1_000), released("HRESCH", 3_000), released("TREAT", 2_000), released("PUBHLTH", 2_000),
        )))  # fmt: skip
        account = await command(north, capsys, "accounting", "trial", subject)
        assert [(one["purposes"], one["count"]) for one in account["lines"]] == [(["HRESCH"], 3), (["PUBHLTH"], 1)]
        assert account["lines"][0]["first"] == 1_000 and account["complete"] and account["total"] == 4
        bounded = await command(north, capsys, "accounting", "trial", subject, "--to", "1970-01-01T00:00:03Z")
        assert [(one["purposes"], one["count"]) for one in bounded["lines"]] == [(["HRESCH"], 1), (["PUBHLTH"], 1)]
        withheld = await command(north, capsys, "accounting", "trial", subject, "--suspend", "lab")
        assert (withheld["lines"], withheld["suspended"]) == ([], [lab.member])
        whole = await north.client.accounting("trial", subject, mode="all")
        assert {"requested", "disclosed", "log-read"} <= {line.half for line in whole.lines}

        # in sessions: what one party did for one purpose within 15 minutes is one line, its entries underneath
        listed = await command(north, capsys, "access", "list", "trial", subject, "--until", "1970-01-01T00:00:03Z", "--sessions")
        assert [(one["first"], one["last"], one["count"]) for one in listed["sessions"]] == [(2_000, 2_000, 1), (2_000, 2_000, 1), (1_000, 1_000, 1)]
        rolled = await command(north, capsys, "access", "list", "trial", subject, "--until", "1970-01-02", "--sessions")
        newest = rolled["sessions"][0]
        assert (newest["last"], [entry["time"] for entry in newest["entries"]]) == (3_000, [3_000, 1_000])

        # reconciled: the decision's halves agree, what was logged by one side alone has no counterpart
        matched = await command(north, capsys, "audit", "reconcile", "trial", code=1)
        assert matched["matched"] >= 1 and len(matched["unmatched"]) == 4
        assert {one["problem"] for one in matched["unmatched"]} == {"no counterpart"}
        clean = await command(north, capsys, "audit", "reconcile", "trial", "--from", "2020-01-01")
        assert clean["ok"] and clean["unmatched"] == []

        # exported and summarised
        done = await command(north, capsys, "subject", "export", "trial", subject, "--to", str(tmp_path / "all.ndjson"))
        lines = [json.loads(line) for line in (tmp_path / "all.ndjson").read_text().splitlines()]
        assert done["lines"] == len(lines) and {line["kind"] for line in lines} == {"subject", "consent", "access", "receipt"}
        assert [line["id"] for line in lines if line["kind"] == "consent"] == [consent.id]
        record = (await command(north, capsys, "consent", "summary", "trial", consent.id))["record"]
        assert (record["@type"], record["dpv:hasConsentStatus"]) == ("dpv:ConsentRecord", "dpv:ConsentGiven")
        process = record["dpv:hasProcess"][0]
        assert process["dpv:hasPurpose"][0]["@id"].endswith("#HRESCH") and process["dpv:hasRecipient"][0]["dct:title"] == "lab"
        with pytest.raises(NotFound):
            await north.client.summarise_consent("trial", "00" * 32)

        # taken back: who is refused is told by what, and when
        back = await north.client.revoke("trial", Revoke(attest=RevocationText(subject=subject, targets=(consent.id,))))
        await same([north, lab])
        told = await lab.client.request_access("trial", AccessRequest(subject=subject, purposes=("HRESCH",), custodian="north"))
        assert (told.answer, [(one.consent, one.why, one.document) for one in told.ended]) == ("NO_CONSENT", [(consent.id, "revoked", back.id)])
        why = await command(lab, capsys, "access", "explain", "trial", subject, "--purpose", "HRESCH")
        assert why["findings"][0]["ended"] == told.ended[0].model_dump() and back.id in why["needed"][0]

        # after erasure is ordered: the signature is all that can be said, a status of its own
        place_of = await north.client.context("trial")
        order = sign_order(
            EraseOrder(
                network=NetworkId(bytes.fromhex((await north.client.network()).id)), context=ContextId(bytes.fromhex(place_of.id)),
                subject=SubjectRef(bytes.fromhex(subject)), signer=signing_public(patient),
                signed_at=Instant(north.daemon.node.now()), salt=bytes(16),
            ),
            patient,
        )  # fmt: skip
        await north.client.order_erasure("trial", subject, OrderSigned(document=order.document.hex(), signature=order.signature.hex()))
        erased = await command(north, capsys, "receipt", "verify", "trial", str(tmp_path / "answer.receipt"))
        assert (erased["recomputed"], erased["outcome"]) == ("inputs_erased", "signature valid, inputs erased")
        assert erased["signer_is_custodian"] is None


def row(half: str, match: str, **changes: Any) -> AccessRow:
    fields = {
        "op": "00" * 32, "index": 0, "half": half, "subject": "11" * 16, "requester": "22" * 32, "custodian": "33" * 32,
        "purposes": ("HRESCH",), "action": "access", "outcome": "PERMIT", "match": match * 32, "time": 1, "effective": True,
    }  # fmt: skip
    return AccessRow(**{**fields, **changes})


def test_halves_are_paired_by_what_both_tell() -> None:
    rows = [
        row("requested", "a"), row("disclosed", "a"),
        row("requested", "b"), row("disclosed", "b", purposes=("TREAT",)),
        row("requested", "c", outcome="DENY"), row("refused", "c", outcome="DENY"),
        row("disclosed", "d"), row("disclosed", "d"), row("requested", "d"),
        row("requested", "e"), row("log-read", "f"), row("disclosed", "0", effective=False),
        row("break-glass", "1", purposes=("ETREAT",)), row("disclosed", "1", purposes=("ETREAT",)), row("break-glass", "2"),
    ]  # fmt: skip
    matched, found = accounting.reconcile(rows)
    assert matched == 3
    assert {one[0] for one in unmatched(rows)} == {"e", "0"}, "on a page each match is looked at alone"
    told = sorted((one.match[0], one.half, one.problem) for one in found)
    assert told == [
        ("b", "disclosed", "the counterpart differs"), ("b", "requested", "the counterpart differs"),
        ("d", "disclosed", "told twice"), ("d", "disclosed", "told twice"), ("d", "requested", "told twice"),
        ("e", "requested", "no counterpart"),
    ]  # fmt: skip


def test_an_accounting_leaves_out_what_is_exempt_and_keeps_emergencies() -> None:
    kept = [
        row("disclosed", "a"), row("break-glass", "b", purposes=("ETREAT",)), row("disclosed", "c", purposes=("HRESCH", "TREAT")),
    ]  # fmt: skip
    exempt = [
        row("disclosed", "d", purposes=("TREAT",)), row("disclosed", "e", purposes=("HPAYMT",)), row("requested", "f"),
        row("disclosed", "0", effective=False), row("refused", "1"), row("log-read", "2"),
    ]  # fmt: skip
    assert [one for one in (*kept, *exempt) if accounting.accounted(one, "hipaa528")] == kept
    assert all(accounting.accounted(one, "all") for one in (*kept, *exempt))


def authorisation(**changes: Any) -> Directive:
    plain = directive(permit(actors=(member_actor(LAB),), purposes=("HRESCH",)))
    return replace(decode_directive(plain.document), **changes)


@pytest.mark.parametrize(
    ("exempt", "directive_"),
    [
        (True, authorisation()), (False, authorisation(basis=Basis.ATTESTED)), (False, authorisation(rules=(permit(purposes=("HRESCH",)),))),
        (False, authorisation(rules=(permit(actors=(member_actor(LAB),)),))),
        (False, authorisation(rules=(permit(actors=(member_actor(LAB),), purposes=("HLEGAL",)),))),
        (True, authorisation(rules=(permit(actors=(member_actor(LAB),), purposes=("HLEGAL",)),), until=NOW + DAY)),
        (False, authorisation(rules=(permit(actors=(member_actor(LAB),), purposes=("HMARKT",)),), until=NOW + DAY)),
        (False, authorisation(rules=(permit(actors=(member_actor(LAB),), purposes=("PurposeOfUse",)),), until=NOW + DAY)),
    ],
    ids=("research, no end", "attested", "to anyone", "for anything", "no end", "an end", "marketing", "marketing among others"),
)  # fmt: skip
def test_an_authorisation_is_signed_for_somebody_for_something_until_some_time(exempt: bool, directive_: Directive) -> None:
    assert authorises(directive_, 0, None) is exempt
    assert not authorises(directive_, None, None), "a base decision names nobody"


def test_a_release_is_authorised_by_its_own_receipt_alone() -> None:
    context = Context()
    subject = context.enrol()
    held = authorisation(rules=(permit(actors=(member_actor(context["lab"].member),), purposes=("HRESCH",)),))
    _, drafts = context["mercy"].desk.grant_attested(context.clock, subject, rules=held.rules)
    context.write("mercy", drafts)
    context.beat("mercy", "city", "coast")
    entry, _ = context["mercy"].desk.decide(context.clock, context.request(subject, requester="lab"))
    receipt = entry.receipt
    assert receipt.decision.answer is Answer.PERMIT
    request_ = request_of(entry)
    assert request_ is not None
    good = row(
        "disclosed", "a", subject=subject.hex(), custodian=receipt.signer.hex(), requester=request_.requester.hex(), receipt=receipt.id.hex(),
    )  # fmt: skip
    assert authorised(good, entry, lambda _: held)
    for changes in (
        {"half": "break-glass"}, {"outcome": "DENY"}, {"effective": False}, {"receipt": "00" * 32}, {"subject": "00" * 16},
        {"custodian": "00" * 32}, {"requester": "00" * 32}, {"purposes": ("PUBHLTH",)}, {"purposes": ("NONSENSE",)},
    ):  # fmt: skip
        assert not authorised(good.model_copy(update=changes), entry, lambda _: held), changes
    forged = replace(entry, receipt=replace(receipt, signature=bytes(64)))
    assert not authorised(good, forged, lambda _: held) and not authorised(good, replace(entry, request=b""), lambda _: held)
    assert not authorised(good, entry, lambda _: authorisation(basis=Basis.ATTESTED))

    def missing(_: object) -> Directive:
        raise Refused("not held")

    assert not authorised(good, entry, missing)
