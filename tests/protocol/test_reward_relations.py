"""From a real log to a report: which accesses are compliant relations, and who lied about one (PROTOCOL §9)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from medsync_protocol.access import Answer, Half, half_of
from medsync_protocol.codec import pack, unpack
from medsync_protocol.crypto import sign
from medsync_protocol.directive import Basis, Directive, sign_directive
from medsync_protocol.drafts import access_draft, receipt_draft
from medsync_protocol.ids import Instant, SubjectRef
from medsync_protocol.kinds import EntryKind
from medsync_protocol.receipt import _DOMAIN, ReceiptEntry, _text, encode_receipt
from medsync_protocol.reward_labels import FalseReport, Report, RewardTerms, relation_token
from medsync_protocol.reward_points import Reported
from medsync_protocol.reward_relations import Relation, RelationFinder, report_of, stands
from medsync_protocol.reward_violations import is_rewarded, proven
from medsync_protocol.rule import Effect, Rule, member_actor

from tests.desk_world import DAY, MINUTE, NETWORK, NOW, Context, key, seed

TERMS = RewardTerms(contract=1, token=2, window=0, salt=0, per_point=1, days=1, cap=9, least=9, first=0)
PERIOD = TERMS.period_of(NOW)
KINDS = (EntryKind.ACCESS, EntryKind.RECEIPT)


@pytest.fixture
def context() -> Context:
    return Context()


def granted(context: Context, *purposes: str) -> SubjectRef:
    """Ann, who lets the lab have everything for these purposes; homes have just beaten."""
    ann = context.enrol()
    rule = Rule(effect=Effect.PERMIT, actors=(member_actor(context["lab"].member),), purposes=tuple(sorted(purposes)))
    directive = Directive(
        network=NETWORK, context=context.id, subject=ann, signer=key("ann"), number=1, base=None, rules=(rule,),
        valid_from=Instant(NOW - DAY), until=None, basis=Basis.PATIENT_SIGNED, signed_at=NOW, salt=b"s" * 16,
    )  # fmt: skip
    one = sign_directive(directive, seed("ann"))
    context.write("mercy", context["mercy"].desk.grant_signed(context.clock, one.document, one.signature)[1])
    context.beat("mercy", "city", "coast")
    return ann


def access(context: Context, ann: SubjectRef, *purposes: str, custodian: str = "mercy", salt: bytes = b"request salt 16b") -> ReceiptEntry:  # fmt: skip
    """The lab asks, the custodian decides, both log."""
    request = replace(context.request(ann, purposes=purposes), salt=salt)
    entry, drafts = context[custodian].desk.decide(context.clock, request)
    context.write(custodian, drafts)
    context.write("lab", context["lab"].desk.requested(context.clock, request, entry)[1])
    return entry


def found(context: Context, name: str, *, period: int = PERIOD, twice: bool = False) -> list[Relation]:
    """The relations that a member finds in what it can open."""
    finder = RelationFinder(period, TERMS)
    place = context[name]
    for wire in [*context.wires.values()] * (2 if twice else 1):
        for entry in place.replica.open(wire):
            if entry is not None and entry.kind in KINDS:
                finder.take(entry)
    return finder.relations(lambda entry: stands(place.desk, entry))


def test_both_sides_and_the_homes_find_the_same_relation(context: Context) -> None:
    ann = granted(context, "HRESCH")
    first = access(context, ann, "HRESCH")
    context.clock = Instant(context.clock + MINUTE)
    second = access(context, ann, "HRESCH", salt=b"another salt 16b")
    relations = found(context, "mercy")
    assert [(r.subject, r.requester, r.custodian, r.purpose) for r in relations] == [
        (ann, context["lab"].member, context["mercy"].member, "HRESCH")
    ]
    assert relations[0].receipt == min(first.receipt.id, second.receipt.id)
    for name in ("lab", "city", "coast"):
        assert found(context, name, twice=True) == relations
    token = frozenset({relations[0].token})
    mercy, lab = context["mercy"].member, context["lab"].member
    assert report_of(mercy, PERIOD, relations) == Report(period=PERIOD, given=((lab, token),))
    assert report_of(lab, PERIOD, relations) == Report(period=PERIOD, asked=((mercy, token),))
    assert report_of(context["coast"].member, PERIOD, relations) == Report(period=PERIOD)
    assert found(context, "mercy", period=PERIOD + 1) == []


def test_each_purpose_and_each_custodian_is_a_relation_of_its_own(context: Context) -> None:
    ann = granted(context, "HRESCH", "HPAYMT")
    access(context, ann, "HRESCH", "HPAYMT")
    access(context, ann, "HRESCH", custodian="city", salt=b"another salt 16b")
    assert len({relation.token for relation in found(context, "lab")}) == 3


@pytest.mark.parametrize("purpose", ["ETREAT", "BTG", "HMARKT"])
def test_emergencies_and_marketing_earn_nothing(context: Context, purpose: str) -> None:
    ann = granted(context, purpose)
    assert access(context, ann, purpose).receipt.decision.answer is Answer.PERMIT
    assert found(context, "mercy") == [] and not is_rewarded(purpose)
    assert is_rewarded("HRESCH") and not is_rewarded("nothing")


def test_a_half_alone_and_a_refusal_earn_nothing(context: Context) -> None:
    ann = granted(context, "HRESCH")
    _, drafts = context["mercy"].desk.decide(context.clock, context.request(ann))
    context.write("mercy", drafts)
    assert found(context, "mercy") == []
    assert access(context, ann, "HPAYMT").receipt.decision.answer is not Answer.PERMIT
    assert found(context, "mercy") == []


def lie(context: Context, ann: SubjectRef, purpose: str) -> ReceiptEntry:
    """Mercy signs that it permits what nothing permits, and the lab logs its half all the same."""
    request = replace(context.request(ann, purposes=(purpose,)), salt=b"another salt 16b")
    mercy, homes = context["mercy"], context["mercy"].desk.application.subject(ann).homes
    true, _ = mercy.desk.decide(context.clock, request)
    honest = true.receipt
    forged = replace(honest, decision=replace(honest.decision, answer=Answer.PERMIT))
    signature = sign(mercy.replica.identity.signing_seed, _DOMAIN, _text(forged))
    entry = ReceiptEntry(replace(forged, signature=signature), true.request, true.view)
    for name, half in (("mercy", Half.DISCLOSED), ("lab", Half.REQUESTED)):
        told = half_of(request, half, mercy.member, Answer.PERMIT, receipt=entry.receipt.id, time=context.clock)
        drafts = [access_draft(told, homes)]
        context.write(name, [receipt_draft(entry, request.requester, homes), *drafts] if name == "mercy" else drafts)
    return entry


def test_a_receipt_that_does_not_recompute_earns_nothing(context: Context) -> None:
    ann = granted(context, "HRESCH")
    entry = lie(context, ann, "HPAYMT")
    assert entry.receipt.decision.answer is Answer.PERMIT
    for name in ("mercy", "lab", "city"):
        assert found(context, name) == []


def shown(entry: ReceiptEntry) -> FalseReport:
    text, signature, *_ = unpack(encode_receipt(entry))
    return FalseReport(period=PERIOD, text=text, signature=signature)


def test_a_reported_refusal_and_a_reported_emergency_are_proven_to_everyone(context: Context) -> None:
    ann = granted(context, "HRESCH", "ETREAT")
    mercy, lab = context["mercy"].member, context["lab"].member
    fine, refused = access(context, ann, "HRESCH"), access(context, ann, "HPAYMT", salt=b"another salt 16b")
    urgent = access(context, ann, "ETREAT", salt=b"an urgent salt16")

    def reports(entry: ReceiptEntry, purpose: str) -> dict[bytes, Reported]:
        token = relation_token(entry.receipt.id, purpose, PERIOD)
        return {mercy: Reported(given={lab: frozenset({token})})}

    def guilty(entry: ReceiptEntry, purpose: str, of: ReceiptEntry | None = None) -> object:
        return proven(shown(of or entry), reports(entry, purpose), NETWORK, context.id)  # type: ignore[arg-type]

    assert guilty(refused, "HPAYMT") == mercy
    assert guilty(urgent, "ETREAT") == mercy
    assert guilty(fine, "HRESCH") is None, "an honest point proves nothing"
    assert guilty(fine, "HRESCH", of=refused) is None, "what was not reported is no lie"
    bent = replace(shown(refused), signature=bytes(64))
    assert proven(bent, reports(refused, "HPAYMT"), NETWORK, context.id) is None  # type: ignore[arg-type]
    empty = replace(shown(refused), text=pack([]))
    assert proven(empty, reports(refused, "HPAYMT"), NETWORK, context.id) is None  # type: ignore[arg-type]
