"""The worked table of decisions: what a set of directives answers a request (PROTOCOL §7)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from medsync_protocol.access import Answer
from medsync_protocol.decision import ConsentSettings, ImplicitRule, Reason
from medsync_protocol.directive import Basis, Signed
from medsync_protocol.ids import Instant
from medsync_protocol.rule import Effect, Period, Rule, group_actor, member_actor
from tests.consent_world import CITY, DAY, LAB, NOW, World, deny, directive, named, permit, request

LAB_ACTOR, CITY_ACTOR = member_actor(LAB), member_actor(CITY)
PSY, RESTRICTED = "PSY", "R"
GROUP = group_actor(b"trial 7")
YEAR = Period(Instant(NOW - 365 * DAY), Instant(NOW))
LONG = Period(Instant(NOW - 1000 * DAY), Instant(NOW))


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    says: str
    answer: Answer
    directives: list[Signed]
    ask: dict[str, Any] = field(default_factory=dict)


def _one(*rules: Rule, **more: Any) -> list[Signed]:
    return [directive(*rules, **more)]


def _except(rule: Callable[..., Rule], *inner: Rule, **dimensions: Any) -> Rule:
    return rule(exceptions=inner, **dimensions)


TABLE = [
    Row("nothing is said", Answer.NO_CONSENT, []),
    # purposes: permit contains, deny overlaps
    Row("a permit for the purpose itself", Answer.PERMIT, _one(permit(purposes=("HRESCH",)))),
    Row("a permit for a purpose above", Answer.PERMIT, _one(permit(purposes=("PurposeOfUse",)))),
    Row("a permit for a purpose below", Answer.NO_CONSENT, _one(permit(purposes=("CLINTRCH",)))),
    Row("a permit for any purpose", Answer.PERMIT, _one(permit())),
    Row("a denial for a purpose below", Answer.DENY, _one(deny(purposes=("CLINTRCH",)), base=Effect.PERMIT)),
    Row("a denial for a purpose above", Answer.DENY, _one(deny(purposes=("PurposeOfUse",)), base=Effect.PERMIT)),
    Row("a denial for a purpose beside", Answer.PERMIT, _one(deny(purposes=("HMARKT",)), base=Effect.PERMIT)),
    Row("one of two purposes is permitted", Answer.NO_CONSENT, _one(permit(purposes=("HRESCH",))),
        {"purposes": ("HRESCH", "TREAT")}),
    Row("two purposes, each by a rule of its own", Answer.PERMIT,
        _one(permit(purposes=("HRESCH",)), permit(purposes=("TREAT",))), {"purposes": ("HRESCH", "TREAT")}),
    Row("one of two purposes is denied", Answer.DENY,
        _one(permit(purposes=("HRESCH",)), deny(purposes=("TREAT",))), {"purposes": ("HRESCH", "TREAT")}),
    # actors
    Row("a permit for the organisation covers its people", Answer.PERMIT, _one(permit(actors=(LAB_ACTOR,))),
        {"unit": b"oncology", "user": b"eve"}),
    Row("a permit for one person doesn't cover the organisation", Answer.NO_CONSENT,
        _one(permit(actors=(member_actor(LAB, b"oncology", b"eve"),)))),
    Row("a permit for another organisation", Answer.NO_CONSENT, _one(permit(actors=(CITY_ACTOR,)))),
    Row("a denial for one person overlaps a request that names no person", Answer.DENY,
        _one(deny(actors=(member_actor(LAB, b"oncology", b"eve"),)), base=Effect.PERMIT)),
    Row("a denial for one person leaves another alone", Answer.PERMIT,
        _one(deny(actors=(member_actor(LAB, b"oncology", b"eve"),)), base=Effect.PERMIT),
        {"unit": b"oncology", "user": b"bob"}),
    Row("a permit for an attested group", Answer.PERMIT, _one(permit(actors=(GROUP,))), {"groups": (GROUP,)}),
    Row("a permit for a group that wasn't attested", Answer.NO_CONSENT, _one(permit(actors=(GROUP,)))),
    # resource types, labels, data period, action
    Row("permitted types contain those asked", Answer.PERMIT, _one(permit(types=("Condition", "Observation"))),
        {"types": ("Observation",)}),
    Row("permitted types contain only some of those asked", Answer.NO_CONSENT, _one(permit(types=("Observation",))),
        {"types": ("Condition", "Observation")}),
    Row("types are permitted, any are asked", Answer.NO_CONSENT, _one(permit(types=("Observation",)))),
    Row("a denied type among those asked", Answer.DENY, _one(deny(types=("Condition",)), base=Effect.PERMIT),
        {"types": ("Condition", "Observation")}),
    Row("a denied type, others asked", Answer.PERMIT, _one(deny(types=("Condition",)), base=Effect.PERMIT),
        {"types": ("Observation",)}),
    Row("labels permitted contain the data's", Answer.PERMIT, _one(permit(labels=("N", PSY))), {"labels": ("N",)}),
    Row("unlabelled data under a permitting label rule", Answer.NO_CONSENT, _one(permit(labels=("N",)))),
    Row("unlabelled data under a denying label rule", Answer.DENY, _one(deny(labels=(PSY,)), base=Effect.PERMIT)),
    Row("data with another label than the denied one", Answer.PERMIT, _one(deny(labels=(PSY,)), base=Effect.PERMIT),
        {"labels": ("N",)}),
    Row("data of a permitted period", Answer.PERMIT, _one(permit(data_period=LONG)), {"data_period": YEAR}),
    Row("data of a longer period than permitted", Answer.NO_CONSENT, _one(permit(data_period=YEAR)),
        {"data_period": LONG}),
    Row("data of a period that overlaps the denied one", Answer.DENY,
        _one(deny(data_period=YEAR), base=Effect.PERMIT), {"data_period": LONG}),
    Row("another action than the permitted one", Answer.NO_CONSENT, _one(permit(actions=("correct",)))),
    Row("another action than the denied one", Answer.PERMIT, _one(deny(actions=("correct",)), base=Effect.PERMIT)),
    # validity: [from, until)
    Row("before `from`", Answer.NO_CONSENT, _one(permit(), valid_from=NOW + 1)),
    Row("at `from`", Answer.PERMIT, _one(permit(), valid_from=NOW)),
    Row("just before `until`", Answer.PERMIT, _one(permit(), until=NOW + 1)),
    Row("at `until`", Answer.NO_CONSENT, _one(permit(), until=NOW)),
    Row("an expired denial", Answer.NO_CONSENT, _one(deny(), until=NOW)),
    Row("a rule outside its own period", Answer.DENY,
        _one(permit(during=Period(None, Instant(NOW))), base=Effect.DENY)),
    # inside one directive: deeper level, then deny
    Row("a rule goes before the base decision", Answer.PERMIT, _one(permit(), base=Effect.DENY)),
    Row("a denying rule goes before a permitting one", Answer.DENY, _one(permit(), deny(purposes=("HRESCH",)))),
    Row("an exception goes before its rule", Answer.DENY, _one(_except(permit, deny(purposes=("HRESCH",))))),
    Row("an exception to a denial permits", Answer.PERMIT, _one(_except(deny, permit(purposes=("HRESCH",))))),
    Row("an exception doesn't open what another rule denies", Answer.DENY,
        _one(_except(deny, permit(actors=(LAB_ACTOR,)), purposes=("HRESCH",)), deny(labels=(PSY,)))),
    Row("an exception frees only what its rule covers", Answer.NO_CONSENT,
        _one(_except(deny, permit(purposes=("HRESCH",)), types=("Condition",))), {"types": ("Condition", "Observation")}),
    Row("a denying exception speaks where the request overlaps it", Answer.DENY,
        [directive(_except(permit, deny(labels=(PSY,)), types=("Condition",)), number=1),
         directive(permit(), number=2)]),
    # across directives
    Row("an explicit denial goes before an explicit permit", Answer.DENY,
        [directive(permit(), number=1), directive(deny(purposes=("HRESCH",)), number=2)]),
    Row("an explicit permit goes before another's base denial", Answer.PERMIT,
        [directive(permit(), number=1), directive(permit(purposes=("TREAT",)), base=Effect.DENY, number=2)]),
    Row("of base decisions the denial goes first", Answer.DENY,
        [directive(base=Effect.PERMIT, number=1), directive(base=Effect.DENY, number=2)]),
]  # fmt: skip


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.says)
def test_the_table_of_decisions(row: Row) -> None:
    world = World.enrolled()
    for signed in row.directives:
        world.direct(signed)
    assert world.ask(request(**row.ask)).answer is row.answer


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.says)
def test_the_order_of_directives_changes_no_answer(row: Row) -> None:
    forward, backward = World.enrolled(), World.enrolled()
    for signed in row.directives:
        forward.direct(signed)
    for signed in reversed(row.directives):
        backward.direct(signed)
    assert forward.ask(request(**row.ask)) == backward.ask(request(**row.ask))


@pytest.mark.parametrize(
    ("implicit", "treatment", "research"),
    [
        (ImplicitRule.DENY, Answer.NO_CONSENT, Answer.NO_CONSENT),
        (ImplicitRule.PERMIT_TREATMENT, Answer.PERMIT, Answer.NO_CONSENT),
        (ImplicitRule.PERMIT, Answer.PERMIT, Answer.PERMIT),
        (ImplicitRule.DENY_BUT_BREAK_GLASS, Answer.NO_CONSENT, Answer.NO_CONSENT),
    ],
)
def test_without_directives_the_implicit_rule_answers(
    implicit: ImplicitRule, treatment: Answer, research: Answer
) -> None:
    world = World.enrolled(ConsentSettings(implicit=implicit))
    assert world.ask(request(purposes=("TREAT",))).answer is treatment
    assert world.ask().answer is research
    assert world.ask().reason is Reason.IMPLICIT


def test_a_decision_names_its_rules_and_obligations() -> None:
    world = World.enrolled()
    signed = directive(
        permit(purposes=("TREAT",)), permit(obligations=("delete-after-use", "no-reidentification"))
    )
    world.direct(signed)
    decision = world.ask()
    assert decision.rules == ((named(signed), 1, None),)
    assert decision.directives == (named(signed),)
    assert decision.obligations == ("delete-after-use", "no-reidentification")


def test_an_unknown_subject_is_indeterminate() -> None:
    world = World()
    assert (world.ask().answer, world.ask().reason) == (Answer.INDETERMINATE, Reason.UNKNOWN_SUBJECT)


def test_freshness_ages_follow_the_purpose_class() -> None:
    settings = ConsentSettings()
    minutes = {
        code: settings.age_for((code,)) // 60_000
        for code in ("TREAT", "HPAYMT", "HOPERAT", "HRESCH", "HMARKT")
    }
    assert minutes == {"TREAT": 15, "HPAYMT": 60, "HOPERAT": 60, "HRESCH": 5, "HMARKT": 5}
    assert settings.age_for(("TREAT", "HRESCH")) == settings.age_for(("PurposeOfUse",)) == 5 * 60_000
    assert settings.age_for(("CLINTRCH",)) == 5 * 60_000
    assert settings.heartbeat_interval == 100_000


@pytest.mark.parametrize("base", [None, Effect.PERMIT])
def test_a_grant_never_counts_for_the_member_that_attested_it(base: Effect | None) -> None:
    """To anyone, or to itself and one more: neither opens the record to the custodian that attests (decision 12)."""
    for rules in ((permit(),), (permit(actors=tuple(sorted((LAB_ACTOR, CITY_ACTOR)))),)):
        world = World.enrolled()
        world.direct(directive(*rules, signer="city", base=base, basis=Basis.ATTESTED), carrier="city")
        assert world.ask(request(requester=CITY)).answer is Answer.NO_CONSENT
        assert world.ask(request(requester=LAB)).answer is Answer.PERMIT
