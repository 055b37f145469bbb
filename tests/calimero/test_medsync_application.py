"""The record of consents through JSON-RPC: the same rules as the command line's, a patient's signature as an argument."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import trio

from medsync_calimero.consent_calls import METHODS
from medsync_calimero.encodings import b58, from_b58
from medsync_calimero.groups import application_id
from medsync_client.consents import DirectiveText
from medsync_client.documents import Signing, signed_directive
from medsync_client.subjects import Subject
from medsync_protocol.crypto import signing_public
from medsync_protocol.directive import Basis
from medsync_protocol.ids import ContextId, Instant, NetworkId, SubjectRef
from tests.calimero.door_world import KV, Party, invite, parties, until_true

PATIENT = os.urandom(32)
MEDSYNC = b58(application_id("medsync"))


async def record(north: Party, south: Party) -> tuple[str, str]:
    """(namespace, context of `medsync`) that both are in."""
    await north.post("install-dev-application", {"path": "medsync.wasm"})
    namespace = (await north.post("namespaces", {"applicationId": MEDSYNC}))["namespaceId"]
    context = (await north.post("contexts", {"applicationId": MEDSYNC, "groupId": namespace}))["contextId"]
    await invite(north, south, namespace)
    await until_true(lambda: _there(south, context))
    return namespace, context


async def _there(one: Party, context: str) -> bool:
    return (await one.client.get(f"/admin-api/contexts/{context}")).status_code == 200


async def _verified(one: Party, context: str, consent: str) -> bool:
    return bool((await one.call(context, "verify_consent", directive=consent)).get("ok"))


async def test_consent_is_given_checked_used_and_taken_back(tmp_path: Path) -> None:
    async with parties(tmp_path, "north", "south") as (north, south):
        _, context = await record(north, south)
        subject = (await north.call(context, "enrol_subject"))["subject"]
        rules = [{"effect": "permit", "actors": [{"member": south.account}], "purposes": ["TREAT"]}]
        consent = (await north.call(context, "add_consent", attest={"subject": subject, "rules": rules}))["id"]
        asked = {"subject": subject, "purposes": ["TREAT"]}
        with trio.fail_after(60):
            while (await south.call(context, "log_request", **asked)).get("answer") != "PERMIT":
                await trio.sleep(0.05)
        await until_true(lambda: _verified(south, context, consent))  # by its own view, once it heard of north's home
        assert [row["id"] for row in (await south.call(context, "list_consents", subject=subject))["consents"]] == [consent]
        assert (await north.call(context, "revoke_consent", attest={"subject": subject, "targets": [consent]}))["state"] in ("recorded", "effective")
        assert (await south.call(context, "log_request", **asked))["answer"] != "PERMIT"
        log = await north.call(context, "fetch_requests", subject=subject)
        assert {"disclosed", "refused"} <= {row["half"] for row in log["entries"]}
        assert "earned" in await north.call(context, "reward_points")
        assert "error" in await north.call(context, "reward_balance"), "nothing is anchored"


async def test_the_same_authority_rules_hold_and_failures_say_why(tmp_path: Path) -> None:
    async with parties(tmp_path, "north", "south") as (north, south):
        namespace, context = await record(north, south)
        subject = (await north.call(context, "enrol_subject"))["subject"]

        async def fails(one: Party, method: str, words: str, **arguments: Any) -> None:
            error = (await one.call(context, method, **arguments))["error"]
            assert error["type"] == "FunctionCallError" and words in error["data"], error

        own = [{"effect": "permit", "actors": [{"member": north.account}]}]
        await fails(north, "add_consent", "self_attested", attest={"subject": subject, "rules": own})
        await fails(north, "add_consent", "malformed", signed={"document": "00", "signature": "11" * 64})
        await fails(north, "verify_consent", "directive")
        await fails(north, "log_request", "purposes", subject=subject)
        await fails(north, "explode", ", ".join(sorted(METHODS)))
        await north.put(f"groups/{namespace}/members/{south.account}/role", {"role": "ReadOnly"})
        replica = south.node.engine.replicas[ContextId(from_b58(context, "a context id"))]
        await until_true(lambda: _reads_only(replica))
        await fails(south, "enrol_subject", "not_permitted")
        await north.post(f"groups/{namespace}/members/remove", {"members": [south.account]})
        await until_true(lambda: _gone(south, context))
        assert (await north.post("contexts", {"applicationId": KV, "groupId": namespace}))["contextId"]


async def _reads_only(replica: Any) -> bool:
    return replica.role is not None and int(replica.role) == 0


async def _gone(one: Party, context: str) -> bool:
    return not await _there(one, context)


async def test_a_patients_signature_is_an_argument(tmp_path: Path) -> None:
    async with parties(tmp_path, "north", "south") as (north, south):
        _, context = await record(north, south)
        enrolled = await north.call(context, "enrol_subject", patient_keys=[signing_public(PATIENT).hex()])
        subject = Subject.model_validate(enrolled)
        text = DirectiveText.model_validate({"subject": subject.subject, "rules": [{"effect": "permit"}]})
        place = Signing(
            network=NetworkId(bytes.fromhex(subject.network)), context=ContextId(bytes.fromhex(subject.context)),
            subject=SubjectRef(bytes.fromhex(subject.subject)), signer=signing_public(PATIENT), seed=PATIENT,
            basis=Basis.PATIENT_SIGNED, now=Instant(time.time_ns() // 1_000_000), salt=os.urandom(16),
        )  # fmt: skip
        signed = signed_directive(text, place, 1, {}.__getitem__)
        document = {"document": signed.document.hex(), "signature": signed.signature.hex()}
        consent = (await north.call(context, "add_consent", signed=document))["id"]
        checked = await north.call(context, "verify_consent", directive=consent)
        assert checked["consent"]["basis"] == "patient-signed" and checked["checks"]["signature"], checked
        awaited = {"held_by_a_majority_of_homes"}  # with the home's next heartbeat
        assert all(holds or name in awaited for name, holds in checked["checks"].items()), checked["checks"]
        forged = {**document, "signature": "00" * 64}
        assert (await north.call(context, "add_consent", signed=forged))["error"]["type"] == "FunctionCallError"
