"""GA4GH's Data Use Ontology: each code as the specification's table says, each worked decision, each refusal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from medsync_protocol import duo
from medsync_protocol.access import Answer
from medsync_protocol.authority import Counted
from medsync_protocol.decision import ConsentSettings, DecisionView, Reason, judge
from medsync_protocol.directive import Directive, decode_directive
from medsync_protocol.duo import TERMS, Detail, Sort, Term, permit
from medsync_protocol.errors import Refused
from medsync_protocol.explaining import explain
from medsync_protocol.ids import DirectiveId
from medsync_protocol.purposes import is_known
from medsync_protocol.rule import Effect, Rule, group_actor, member_actor, problems
from tests.consent_world import ANN, LAB, NOW, directive, request
from tests.consent_world import permit as plain

PAGE = (Path(__file__).resolve().parents[2] / "protocol" / "README.md").read_text("utf-8")
DETAILS = {
    Detail.NONE: "", Detail.DISEASE: "MONDO:0004992", Detail.REGION: "US-CA", Detail.DATE: "2027-01-31", Detail.MONTHS: "12",
    Detail.TEXT: "children's oncology",
}  # fmt: skip


def meaning(code: str, term: Term) -> str:
    purposes = ", ".join(term.purposes or ()) or "any purpose"
    match term.sort:
        case Sort.PERMISSION:
            return f"permits {purposes}" + ("; obligation" if term.detail is not Detail.NONE else "")
        case Sort.WIDENS:
            return f"permits {purposes} too"
        case Sort.FORBIDS:
            return f"denies {purposes}"
        case Sort.ACTORS:
            return f"needs actors that are {'users' if code == 'DUO:0000026' else 'institutions'}"
        case Sort.OBLIGATION:
            return "obligation"
        case Sort.ABSTAIN:
            return "a person decides: INDETERMINATE"


def test_the_table_of_codes_is_the_one_that_is_executed() -> None:
    written = [line for line in PAGE.splitlines() if re.match(r"\| DUO:\d{7} \|", line)]
    expected = [
        f"| {code} | {term.short} | {term.label} | {'' if term.detail is Detail.NONE else term.detail.words} | {meaning(code, term)} |"
        for code, term in TERMS.items()
    ]
    assert written == expected
    assert all(is_known(purpose) for term in TERMS.values() for purpose in term.purposes or ())


def view_of(*rules: Rule) -> DecisionView:
    one: Directive = replace(decode_directive(directive(plain()).document), rules=rules)
    counted = Counted(id=DirectiveId(b"D" * 32), directive=one, permits=True, denies=True, contested=False, reason="")
    return DecisionView(
        subject=ANN, linked=(), known=True, erased=False, directives=(counted,), home_sets=(), pulses=(), clock_offset=None,
        settings=ConsentSettings(),
    )  # fmt: skip


def worked() -> Iterator[tuple[tuple[str, ...], tuple[str, ...], str, tuple[str, ...]]]:
    for line in PAGE[PAGE.index("| marked with | asked for |") :].split("\n\n")[0].splitlines()[2:]:
        marks, purposes, answer, obligations = (cell.strip().replace("`", "") for cell in line.strip("|").split("|"))
        yield tuple(marks.split(", ")), tuple(purposes.split(" and ")), answer, tuple(filter(None, obligations.split(", ")))


@pytest.mark.parametrize(("marks", "purposes", "answer", "obligations"), list(worked()))
def test_worked_decisions(marks: tuple[str, ...], purposes: tuple[str, ...], answer: str, obligations: tuple[str, ...]) -> None:
    rule = permit(marks, (member_actor(LAB, b"unit", b"eve"),))
    found = judge(view_of(rule), request(purposes=tuple(sorted(purposes)), unit=b"unit", user=b"eve"), NOW)
    assert (found.answer.name, found.obligations) == (answer, obligations)


def test_every_mark_makes_a_rule_that_may_be_signed() -> None:
    for code, term in TERMS.items():
        mark = f"{code}={DETAILS[term.detail]}" if term.detail is not Detail.NONE else code
        marks = (mark,) if term.sort is Sort.PERMISSION else ("DUO:0000042", mark)
        rule = permit(marks, (member_actor(LAB, b"unit", b"eve"),))
        assert rule.effect is Effect.PERMIT and not list(problems(rule, "the rule")), marks
        assert (mark in (rule.obligations or ())) is (term.sort in (Sort.OBLIGATION, Sort.ABSTAIN) or code == "DUO:0000007")
        assert duo.in_words(mark) == (f"{term.label} ({DETAILS[term.detail]})" if DETAILS[term.detail] else term.label)
    assert duo.in_words("keep it cold") is None and not duo.abstains("keep it cold")


def test_a_denial_goes_before_a_person_s_judgement_and_a_plain_consent_does_not_undo_it() -> None:
    abstaining = permit(("DUO:0000042", "DUO:0000012=children's oncology"), None)
    asked = request(purposes=("DSRCH",))
    for rules, answer in (
        ((abstaining,), Answer.INDETERMINATE), ((abstaining, Rule(effect=Effect.DENY)), Answer.DENY),
        ((abstaining, Rule(effect=Effect.PERMIT)), Answer.INDETERMINATE),
    ):  # fmt: skip
        assert judge(view_of(*rules), asked, NOW).answer is answer
    found = explain(view_of(abstaining), asked, NOW)
    assert found.decision.reason is Reason.ABSTAINS and "children's oncology" in found.needed[0]


@pytest.mark.parametrize(
    ("marks", "why"),
    [
        (("DUO:0000099",), "no such code"), (("HMB",), "looks like DUO:0000042"), (("DUO_0000042",), "looks like"), (("duo:0000042",), "looks like"),
        (("DUO:0000001",), "class of all permissions"), (("DUO:0000005",), "obsolete: say"), ((), "one of DUO's permissions"),
        (("DUO:0000021",), "one of DUO's permissions"), (("DUO:0000042", "DUO:0000006"), "no more"),
        (("DUO:0000042", "DUO:0000042"), "stands twice"), (("DUO:0000042=x",), "takes no detail"), (("DUO:0000042=",), "takes no detail"),
        (("DUO:0000007",), "needs a disease"), (("DUO:0000007=cancer",), "needs a disease"),
        (("DUO:0000042", "DUO:0000024=2027-02-30"), "needs a date"), (("DUO:0000042", "DUO:0000022=Finland"), "needs a country"),
        (("DUO:0000042", "DUO:0000025=0"), "needs a number"), (("DUO:0000042", "DUO:0000012="), "needs a few words"),
        (("DUO:0000042", "DUO:0000012=" + "x" * 101), "needs a few words"), (("DUO:0000004", "DUO:0000021"), "nothing restricts"),
        (("DUO:0000011", "DUO:0000044"), "prohibits"),
    ],
)  # fmt: skip
def test_what_cannot_be_computed_is_refused_with_advice(marks: tuple[str, ...], why: str) -> None:
    with pytest.raises(Refused) as refused:
        permit(marks, None)
    assert refused.value.code == "duo" and refused.value.advice and why in f"{refused.value} {refused.value.advice}"


@pytest.mark.parametrize("code", ["DUO:0000026", "DUO:0000028"])
def test_approved_users_and_institutions_have_to_be_named(code: str) -> None:
    for actors in (None, (group_actor(b"g"),), (member_actor(LAB), group_actor(b"g"))):
        with pytest.raises(Refused):
            permit(("DUO:0000042", code), actors)
    assert permit(("DUO:0000042", code), (member_actor(LAB, b"", b"eve"),)).obligations is None
