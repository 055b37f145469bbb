"""Erasure through the API: a patient's signed order, custodians, holds; what is hidden reads as erased."""

from __future__ import annotations

from pathlib import Path

from medsync_client import NotFound, Refused
from medsync_client.consents import DirectiveText, Grant, WireRule
from medsync_client.erasures import HoldSet, OrderSigned
from medsync_client.subjects import SubjectEnrol
from medsync_protocol.crypto import blake2b, signing_public
from medsync_protocol.erasure import EraseOrder, sign_order
from medsync_protocol.ids import ContextId, Instant, NetworkId, SubjectRef
from tests.node.api_world import form, parties, same, until
from tests.node.test_api import refused

SEED = blake2b(b"ann")


async def test_an_order_hides_and_a_hold_stands_beside_it(tmp_path: Path) -> None:
    async with parties(tmp_path, "north", "south") as (north, south):
        await form([north, south])
        made = await north.client.enrol_subject(
            "trial", SubjectEnrol(custodians=("south",), patient_keys=(signing_public(SEED).hex(),))
        )
        await same([north, south])
        await refused(north.client.erasure("trial", "00" * 16), NotFound, "unknown_subject")
        found = await south.client.hold_subject("trial", made.subject, HoldSet(reason="case 12/3"))
        assert [(one.custodian, one.reason) for one in found.holds] == [("south", "case 12/3")]
        await same([north, south])
        hold = found.holds[0].id
        deny = DirectiveText(subject=made.subject, rules=(WireRule(effect="deny"),))
        consent = await south.client.grant("trial", Grant(attest=deny))
        await south.client.accesses("trial", made.subject)
        assert [row.half for row in (await south.client.accesses("trial")).entries] == ["log-read"]
        await refused(north.client.hold_subject("trial", made.subject, HoldSet(releases=hold)), NotFound, "unknown_hold")
        order = sign_order(
            EraseOrder(
                network=NetworkId(bytes.fromhex(made.network)), context=ContextId(bytes.fromhex(made.context)),
                subject=SubjectRef(bytes.fromhex(made.subject)), signer=signing_public(SEED), signed_at=Instant(1),
                salt=bytes(16),
            ),
            SEED,
        )  # fmt: skip
        body = OrderSigned(document=order.document.hex(), signature=order.signature.hex())
        found = await north.client.order_erasure("trial", made.subject, body)
        assert (found.ordered, found.destroyed, found.attested, found.members) == (True, False, 0, 2)
        await refused(north.client.subject("trial", made.subject), Refused, "erased")

        async def hidden() -> bool:
            return (await south.client.erasure("trial", made.subject)).ordered

        await until(hidden)
        await refused(south.client.consent("trial", consent.id), Refused, "erased")
        assert (await south.client.accesses("trial")).entries == (), "the whole log is as if the subject had never been"
        released = await south.client.hold_subject("trial", made.subject, HoldSet(releases=hold))
        assert released.holds == ()


async def test_two_custodians_order_it(tmp_path: Path) -> None:
    async with parties(tmp_path, "north", "south") as (north, south):
        await form([north, south])
        made = await north.client.enrol_subject("trial", SubjectEnrol(custodians=("south",)))
        other = await north.client.enrol_subject("trial", SubjectEnrol())
        await same([north, south])
        assert {one.subject for one in (await south.client.subjects("trial")).subjects} == {made.subject}
        assert {one.subject for one in (await south.client.subjects("trial", everyone=True)).subjects} == {made.subject, other.subject}
        assert not (await north.client.order_erasure("trial", made.subject, OrderSigned())).ordered
        await same([north, south])
        assert (await south.client.order_erasure("trial", made.subject, OrderSigned())).ordered
        assert {one.subject for one in (await south.client.subjects("trial", everyone=True)).subjects} == {other.subject}
