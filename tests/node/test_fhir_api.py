"""A plain FHIR client against real nodes: it posts a Consent, asks `$decide`, finds the AuditEvents; refusals are OperationOutcomes."""

from __future__ import annotations

import copy
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fhir.resources import get_fhir_model_class as r5_class
from fhir.resources.R4B import get_fhir_model_class as r4_class

from medsync_client.consents import DirectiveText, Grant, WireRule
from medsync_client.contexts import ContextCreate
from medsync_client.subjects import SubjectEnrol
from medsync_node.api.finding import SHOWN
from tests.node.api_world import Party, form, make_home, parties, running, until
from tests.node.test_fhir_consent import V3, coding, concept, r4, r5

Resource = dict[str, Any]
CLASSES = {"r4": r4_class, "r5": r5_class}


def valid(release: str, resource: Resource) -> Resource:
    """The resource, after a validator that is not ours took it; the contents of a Bundle apart."""
    for entry in resource.get("entry", ()):
        valid(release, entry["resource"])
    CLASSES[release](resource["resourceType"]).model_validate(copy.deepcopy(resource))
    return resource


@asynccontextmanager
async def fhir_client(party: Party) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.AsyncHTTPTransport(uds=str(party.daemon.api.socket))
    headers = {"Content-Type": "application/fhir+json", "Accept": "application/fhir+json"}
    async with httpx.AsyncClient(transport=transport, base_url="http://node", headers=headers, trust_env=False, timeout=60) as http:
        yield http


def recipient(member: str) -> Resource:
    return {"role": concept(f"{V3}ParticipationType", "IRCP"), "reference": {"reference": f"Organization/{member}"}}


def consent_for(release: str, subject: str, member: str, purpose: str = "HRESCH", **changes: Any) -> Resource:
    provision = {"actor": [recipient(member)], "purpose": [coding(f"{V3}ActReason", purpose)]}
    named = {"reference": f"Patient/{subject}"}
    if release == "r4":
        return r4("OPTOUT", {"type": "permit", **provision}, patient=named, dateTime="2026-01-01", **changes)
    return r5("deny", provision, subject=named, date="2026-01-01", **changes)


def question(subject: str, purpose: str, custodian: str) -> Resource:
    return {"resourceType": "Parameters", "parameter": [
        {"name": "patient", "valueReference": {"reference": f"Patient/{subject}"}},
        {"name": "purpose", "valueCoding": coding(f"{V3}ActReason", purpose)},
        {"name": "custodian", "valueReference": {"reference": f"Organization/{custodian}"}},
    ]}  # fmt: skip


def parameters(resource: Resource) -> dict[str, Any]:
    return {one["name"]: next(value for name, value in one.items() if name != "name") for one in resource["parameter"]}


async def ok(release: str, answer: httpx.Response, status: int = 200) -> Resource:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/fhir+json"
    resource: Resource = answer.json()
    return valid(release, resource)


@pytest.mark.parametrize("release", ["r4", "r5"])
async def test_a_consent_is_posted_a_decision_asked_and_the_audit_events_are_found(release: str, tmp_path: Path) -> None:
    async with parties(tmp_path, "north", "lab") as (north, lab), fhir_client(north) as hospital, fhir_client(lab) as research:
        await form([north, lab])
        subject = (await north.client.enrol_subject("trial", SubjectEnrol())).subject
        base = f"/fhir/{release}"
        statement = await ok(release, await hospital.get(f"{base}/metadata"))
        assert {one["type"] for one in statement["rest"][0]["resource"]} == {"Consent", "AuditEvent"}

        made = await hospital.post(f"{base}/Consent", json=consent_for(release, subject, "lab"))
        created = await ok(release, made, 201)
        assert made.headers["location"] == f"{base}/Consent/{created['id']}/_history/{created['id']}"
        assert await ok(release, await hospital.get(f"{base}/Consent/{created['id']}")) == created

        async def arrived() -> bool:
            return (await research.get(f"{base}/Consent/{created['id']}")).status_code == 200

        await until(arrived)

        async def permitted() -> bool:
            answer = await research.post(f"{base}/Consent/$decide", json=question(subject, "HRESCH", "north"))
            return answer.status_code == 200 and parameters(answer.json())["decision"] == "permit"

        await until(permitted)  # the home's heartbeats have to come first
        decided = await ok(release, await research.post(f"{base}/Consent/$decide", json=question(subject, "HRESCH", "north")))
        found = parameters(decided)
        assert (found["answer"], found["consent"]) == ("PERMIT", {"reference": f"Consent/{created['id']}"})
        assert found["receipt"] and found["receiptId"]
        other = await ok(release, await research.post(f"{base}/Consent/$decide", json=question(subject, "TREAT", "north")))
        assert parameters(other)["answer"] == "DENY"

        own = await ok(release, await research.get(f"{base}/{found['auditEvent']['reference']}"))
        assert own["id"] == found["auditEvent"]["reference"].split("/")[1]
        events = await ok(release, await hospital.get(f"{base}/AuditEvent", params={"patient": f"Patient/{subject}"}))
        kinds = {subtype_of(release, entry["resource"]) for entry in events["entry"]}
        assert kinds == {"disclose", "AuthZ-Consent", "read"}
        if release == "r4":
            profiles = {profile.rpartition(".")[2] for entry in events["entry"] for profile in entry["resource"]["meta"].get("profile", ())}
            assert profiles == {"AuthZconsent", "Source", "Recipient", "PatientRead"}
        refused = await ok(release, await hospital.get(f"{base}/AuditEvent", params={"patient": subject, "outcome": "8", "purpose": "TREAT"}))
        assert refused["entry"] and all(outcome_of(release, one["resource"]) == "8" for one in refused["entry"])
        page = await ok(release, await hospital.get(f"{base}/AuditEvent", params={"patient": subject, "_count": "1"}))
        assert [one["relation"] for one in page["link"]] == ["self", "next"] and len(page["entry"]) == 1
        following = await ok(release, await hospital.get(page["link"][1]["url"]))
        assert following["entry"][0]["resource"]["id"] != page["entry"][0]["resource"]["id"]
        past = await ok(release, await hospital.get(f"{base}/AuditEvent", params={"patient": subject, "date": "lt2020", "agent": "Organization/lab"}))
        assert "entry" not in past

        await ok(release, await hospital.post(f"{base}/Consent", json=consent_for(release, subject, "lab")), 201)
        first = await ok(release, await hospital.get(f"{base}/Consent", params={"patient": subject, "_count": "1"}))
        assert first["total"] == 2 and [one["relation"] for one in first["link"]] == ["self", "next"]
        second = await ok(release, await hospital.get(first["link"][1]["url"]))
        assert [one["relation"] for one in second["link"]] == ["self"] and len(second["entry"]) == 1
        assert second["entry"][0]["resource"]["id"] != first["entry"][0]["resource"]["id"], "no page hides a denial"


def subtype_of(release: str, event: Resource) -> str:
    return str(event["subtype"][0]["code"] if release == "r4" else event["code"]["coding"][0]["code"])


def outcome_of(release: str, event: Resource) -> str:
    return str(event["outcome"] if release == "r4" else event["outcome"]["code"]["code"])


@pytest.mark.parametrize("release", ["r4", "r5"])
async def test_an_update_supersedes_and_an_end_revokes_under_one_id(release: str, tmp_path: Path) -> None:
    async with parties(tmp_path, "north", "lab") as (north, lab), fhir_client(north) as http:
        await form([north, lab])
        subject = (await north.client.enrol_subject("trial", SubjectEnrol())).subject
        base = f"/fhir/{release}/contexts/trial"
        first = await ok(release, await http.post(f"{base}/Consent", json=consent_for(release, subject, "lab")), 201)
        address = f"{base}/Consent/{first['id']}"
        changed = consent_for(release, subject, lab.member, "HPAYMT", id=first["id"])
        stale = await http.put(address, json=changed, headers={"If-Match": f'W/"{"00" * 32}"'})
        assert (stale.status_code, stale.json()["issue"][0]["code"]) == (412, "conflict")
        second = await ok(release, await http.put(address, json=changed, headers={"If-Match": f'W/"{first["meta"]["versionId"]}"'}))
        assert (second["id"], second["status"]) == (first["id"], "active")
        assert second["meta"]["versionId"] != first["meta"]["versionId"]
        third = await ok(release, await http.put(address, json={**second, "status": "active"}))
        assert third["meta"]["versionId"] not in (first["meta"]["versionId"], second["meta"]["versionId"])

        async def ids(**wanted: str) -> list[str]:
            found = await ok(release, await http.get(f"{base}/Consent", params={"patient": f"Patient/{subject}", **wanted}))
            return [entry["resource"]["id"] for entry in found.get("entry", ())]

        assert await ids() == await ids(status="active", purpose="HPAYMT", actor="Organization/lab", period="ge2026-06") == [first["id"]]
        assert await ids(actor="Organization/north") == await ids(purpose="HRESCH") == await ids(status="inactive") == await ids(period="lt2025") == []
        ended = await ok(release, await http.put(address, json={**third, "status": "inactive"}))
        assert (ended["id"], ended["status"]) == (first["id"], "inactive")
        assert await ids(status="inactive") == [first["id"]]
        mine = (await north.client.consents("trial", subject)).consents
        assert not any(one.permits for one in mine) and len(mine) == 3


@pytest.mark.parametrize("release", ["r4", "r5"])
async def test_every_refusal_is_an_operation_outcome_with_the_elements_path(release: str, tmp_path: Path) -> None:
    home = make_home(tmp_path, "north")
    async with running(home, {"api.listen": "127.0.0.1:0"}) as north, fhir_client(north) as http:
        base = f"/fhir/{release}"

        async def refused(answer: httpx.Response, status: int, code: str, *paths: str) -> str:
            assert answer.status_code == status, answer.text
            assert answer.headers["content-type"] == "application/fhir+json"
            issue = valid(release, answer.json())["issue"][0]
            assert (issue["severity"], issue["details"]["coding"][0]["code"], tuple(issue.get("expression", ()))) == ("error", code, paths)
            return str(issue["code"])

        await refused(await http.get(f"{base}/Consent/x"), 404, "unknown_context")
        await form([north])
        subject = (await north.client.enrol_subject("trial", SubjectEnrol())).subject
        good = consent_for(release, subject, "north")
        element = "Consent.provision.purpose" if release == "r4" else "Consent.provision[0].purpose"
        bad = copy.deepcopy(good)
        (bad["provision"] if release == "r4" else bad["provision"][0])["purpose"] = [coding(f"{V3}ActReason", "WHIM")]
        assert await refused(await http.post(f"{base}/Consent", json=bad), 422, "unknown_purpose", element) == "code-invalid"
        stranger = consent_for(release, subject, "nobody")
        actor = "Consent.provision.actor[0].reference" if release == "r4" else "Consent.provision[0].actor[0].reference"
        await refused(await http.post(f"{base}/Consent", json=stranger), 422, "unknown_member", actor)
        await refused(await http.post(f"{base}/Consent", json={**good, "status": "bogus"}), 422, "status", "Consent.status")
        await refused(await http.post(f"{base}/Consent", json=consent_for(release, os.urandom(16).hex(), "north")), 404, "unknown_subject")
        wrong = "r5" if release == "r4" else "r4"
        await refused(await http.post(f"/fhir/{wrong}/Consent", json=good), 422, "fhir_release", "Consent")
        await refused(await http.post(f"{base}/Consent", content=b"{"), 400, "malformed", "Consent")
        deep = b'{"resourceType":"Consent","provision":' + b"[" * 1000 + b"]" * 1000 + b"}"
        assert await refused(await http.post(f"{base}/Consent", content=deep), 422, "too_deep", "Consent") == "too-costly"
        many = {**good, "provision": {"provision": [{}] * 10_000} if release == "r4" else [{}] * 10_000}
        await refused(await http.post(f"{base}/Consent", json=many), 422, "too_many", "Consent")
        await refused(await http.post(f"{base}/Consent", content=b" " * 10_000_000), 413, "body_too_large")
        await refused(await http.get(f"{base}/Consent"), 400, "unknown_parameter")
        await refused(await http.get(f"{base}/Consent", params={"patient": subject, "colour": "red"}), 400, "unknown_parameter")
        await refused(await http.get(f"{base}/Patient/1"), 404, "no_such_path")
        await refused(await http.post(f"{base}/Consent/$decide", json={"resourceType": "Parameters"}), 422, "empty_list", "Parameters.parameter")
        await refused(await http.get(f"{base}/AuditEvent/{'a' * 52}.0"), 404, "unknown_event")
        assert (await north.client.consents("trial", subject)).consents == ()
        async with httpx.AsyncClient(base_url=str(north.daemon.api.url), trust_env=False) as stranger_http:
            await refused(await stranger_http.get(f"{base}/Consent?patient={subject}"), 401, "unauthorised")
            assert (await stranger_http.get(f"{base}/metadata")).status_code == 200


async def test_what_may_not_be_seen_answers_as_what_is_not_there_byte_for_byte(tmp_path: Path) -> None:
    async with parties(tmp_path, "north", "lab", "east") as (north, lab, east), fhir_client(lab) as http:
        await form([north, lab, east])
        subject = (await north.client.enrol_subject("trial", SubjectEnrol())).subject
        await north.client.grant("trial", Grant(attest=DirectiveText(subject=subject, rules=(WireRule(effect="permit"),))))
        answer = None

        async def asked() -> bool:
            nonlocal answer
            async with fhir_client(east) as other:
                answer = await other.post("/fhir/r4/Consent/$decide", json=question(subject, "TREAT", "north"))
            return answer.status_code == 200

        await until(asked)
        assert answer is not None
        private = parameters(answer.json())["auditEvent"]["reference"].split("/")[1]
        op = (await east.client.accesses("trial", subject, half="requested")).entries[0].op
        receipt = parameters(answer.json())["receiptId"]

        async def lab_holds_it() -> bool:
            held, others = (await lab.client.context("trial")).chains, (await east.client.context("trial")).chains
            return bool(held == others)

        await until(lab_holds_it)

        async def raw(method: str, path: str, **more: Any) -> tuple[int, bytes, list[tuple[str, str]]]:
            got = await http.request(method, path, **more)
            return got.status_code, got.content, sorted((k, v) for k, v in got.headers.items() if k != "date")

        nothing = f"{'a' * 52}.0"
        for release in ("r4", "r5"):
            assert await raw("GET", f"/fhir/{release}/AuditEvent/{private}") == await raw("GET", f"/fhir/{release}/AuditEvent/{nothing}")
        here = "/v1/contexts/trial"
        absent = await raw("GET", f"{here}/receipts/{'00' * 32}", params={"subject": subject})
        assert await raw("GET", f"{here}/receipts/{receipt}", params={"subject": subject}) == absent and absent[0] == 404
        listed = (await lab.client.accesses("trial", subject)).entries
        assert all(one.half == "log-read" and one.requester == lab.member for one in listed) and op not in {one.op for one in listed}
        # A context that this node is not in reads as one that does not exist.
        await north.client.create_context(ContextCreate(name="secret"))
        secret = (await north.client.context("secret")).id
        for path in (f"/v1/contexts/{secret}", f"/fhir/r4/contexts/{secret}/Consent?patient={subject}"):
            status, told, headers = await raw("GET", path)  # both repeat what was asked for, and say nothing else
            told = told.replace(secret[:SHOWN].encode(), b"0" * SHOWN)
            assert (status, told, headers) == await raw("GET", path.replace(secret, "00" * 32))
