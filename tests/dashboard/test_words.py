"""What a page says in words and pictures: rules as sentences, halves without a counterpart, a history with its lines."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
from markupsafe import Markup

from medsync_client.accesses import AccessRow, AnswerName, HalfName
from medsync_client.contexts import Context
from medsync_client.consents import Consent, WireActor, WirePeriod, WireRule
from medsync_client.operations import OperationRow
from medsync_client.wire import Level
from medsync_node.cli import registered, run
from medsync_node import words as shared
from medsync_node.commands.consent import listed
from medsync_node.consent_words import STANDINGS
from medsync_node.dashboard import places, rendering, words
from medsync_node.dashboard.drawing import LANE, LEFT, STEP, TOP, draw
from medsync_node.dashboard.pages.access import unmatched
from medsync_node.dashboard.pages.overview import place
from medsync_node.dashboard.rendering import page
from medsync_node.dashboard.site import OF_STAFF
from medsync_node.dashboard.words import ACTIONS, PURPOSES, sentence
from medsync_protocol.purposes import is_known
from medsync_protocol.rule import ACTIONS as KNOWN_ACTIONS

NAMES = {"aa" * 32: "Coast Lab"}


def test_a_rule_reads_as_a_sentence() -> None:
    lab = WireActor(member="aa" * 32, unit="genetics")
    rule = WireRule(
        effect="permit", actors=(lab, WireActor(group="registry")), purposes=("HRESCH", "XYZ"), actions=("use", "disclose"),
        types=("Observation",), labels=("R",), obligations=("DELEPOL", "DUO:0000022=FI"), data_period=WirePeriod(start=0),
        exceptions=(WireRule(effect="deny", purposes=("HMARKT",)),),
    )  # fmt: skip
    assert sentence(rule, NAMES) == (
        "genetics at Coast Lab or the group registry may use or pass on data of the kinds Observation labelled R for research "
        "(HRESCH) or XYZ recorded from 1970-01-01 00:00:00 UTC, provided that: DELEPOL and geographical restriction (FI); except that anybody may not use the "
        "data for marketing (HMARKT)"
    )
    assert sentence(WireRule(effect="deny"), {}) == "Anybody may not use the data"


def test_the_command_line_lists_consents_in_the_pages_words() -> None:
    rule = WireRule(effect="permit", actors=(WireActor(member="aa" * 32),), purposes=("HRESCH",), types=("Observation",))
    revoked = Consent(
        id="11" * 32, subject="22" * 16, signer="33" * 32, basis="patient-signed", number=1, base=None, rules=(rule,), valid_from=0, until=None,
        supersedes=(), evidence=None, signed_at=0, status="not-counted", permits=False, denies=False, reason="revoked", state="effective",
    )  # fmt: skip
    head, says = listed((revoked,), NAMES)
    assert head == f"{'11' * 32}  revoked; patient-signed; from 1970-01-01T00:00:00Z, no end"
    assert says == f"    {sentence(rule, NAMES)}." and "data of the kinds Observation for research (HRESCH)" in says
    assert list(listed((), NAMES)) == ["no consent is on record for this subject"]
    assert set(get_args(Consent.model_fields["status"].annotation)) == STANDINGS.keys()


def test_the_words_are_about_codes_that_exist() -> None:
    assert all(map(is_known, PURPOSES)) and set(ACTIONS) == KNOWN_ACTIONS


def test_every_code_of_the_log_has_words_and_pages_take_them_from_where_commands_do() -> None:
    assert set(get_args(HalfName)) == shared.HALVES.keys() and set(get_args(AnswerName)) == shared.ANSWERS.keys()
    assert set(get_args(Level)) <= shared.LEVELS.keys()
    assert (words.half, words.answer, words.level) == (shared.half, shared.answer, shared.level)


def test_pages_call_things_as_the_command_line_does() -> None:
    """What has a word in the common table is called nothing else: no page says `final` of what is settled, or `suffice` of a quorum."""
    others = re.compile(r"\b(final|suffices?|reached at|peers?|delta)\b", re.IGNORECASE)
    here = Path(rendering.__file__).parent
    for one in here.glob("templates/*.html"):
        seen = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}|<[^>]*>", " ", one.read_text(), flags=re.S)
        assert not others.search(seen), (one.name, others.search(seen))
    for one in (here / "consequences.py", here / "places.py"):
        assert not others.search(" ".join(re.findall(r'"[^"\n]*"', one.read_text()))), one.name
    assert rendering.label("addresses") == "Listens on" and rendering.label("peers") == "Links" and rendering.label("connected") == "Linked"


def test_the_menu_a_card_and_the_breadcrumb_name_the_same_places() -> None:
    assert [one.name for one in places.sections("/c/trial/receipts/ab", "trial") if one.current] == ["Access log"]
    assert [(one.name, one.current) for one in places.crumbs("/c/trial/receipts/ab", "trial", "Trial", "Receipt")] == [
        ("Overview", ""), ("Trial", ""), ("Access log", ""), ("Receipt", "page")
    ]  # fmt: skip
    assert [(one.to, one.current) for one in places.crumbs("/c/trial", "trial", "Trial", "Trial")] == [("/overview", ""), ("/c/trial", "page")]
    assert [one.current for one in places.menu("/members/role")] == ["", "true", ""]
    served = {path for method, path, _ in OF_STAFF if method == "GET"}
    assert {"/c/{context}" + end for end, _ in places.SECTIONS} <= served and {to for to, _ in places.OF_NODE} <= served


def test_what_others_wrote_can_neither_turn_the_page_around_nor_hide_nor_be_markup() -> None:
    assert rendering.isolated("plain") == "plain" and rendering.isolated(7) == 7 and rendering.isolated("Zürich") == "Zürich"
    turned, arabic = rendering.isolated("a\u202egnp.exe\u200b\x1b[2J"), rendering.isolated("\u0645\u0633\u062a\u0634\u0641\u0649")
    assert turned == f"a{rendering.UNSEEN}gnp.exe{rendering.UNSEEN}{rendering.UNSEEN}[2J"
    assert isinstance(arabic, str) and arabic[0] + arabic[-1] == "\u2068\u2069"
    assert rendering.cut("x" * 10_000) == "x" * rendering.CUT + "…" and rendering.cut("x") == "x"
    escaped = Markup.escape("\u202e<")
    assert rendering.isolated(escaped) is escaped, "a form's values are sent again as they came"


def test_a_half_alone_is_told_and_reading_the_log_needs_no_other() -> None:
    def row(half: str, match: str) -> AccessRow:
        return AccessRow.model_validate({
            "op": "0" * 64, "index": 0, "half": half, "subject": "0" * 32, "requester": "0" * 64, "custodian": "0" * 64,
            "purposes": (), "action": "access", "outcome": "PERMIT", "match": match * 32, "time": 0, "effective": True,
        })  # fmt: skip

    rows = [row("requested", "a"), row("disclosed", "a"), row("disclosed", "b"), row("log-read", "c"), row("refused", "d")]
    assert unmatched(rows) == {"b" * 32, "d" * 32}


def test_operations_are_drawn_in_lanes_with_lines_to_what_is_in_sight() -> None:
    def op(name: str, chain: str, seq: int, *parents: str) -> OperationRow:
        return OperationRow(
            id=name * 64, chain=chain * 80, seq=seq, member=None, member_name=chain, plane="data", time=0,
            parents=tuple(one * 64 for one in parents), verdict="effective", final=False,
        )  # fmt: skip

    picture = draw([op("3", "b", 0, "2"), op("2", "a", 1, "1"), op("1", "a", 0, "9")])
    assert [(dot.x, dot.y) for dot in picture.dots] == [(LEFT, TOP), (LEFT + STEP, TOP), (LEFT + 2 * STEP, TOP + LANE)]
    assert [line.own for line in picture.lines] == [True, False] and picture.lanes == ((TOP, "a"), (TOP + LANE, "b"))
    assert draw([]).dots == ()


def test_what_others_wrote_is_escaped() -> None:
    shown = page("sign_in.html", session=None, node_name="<script>x</script>", context="", code='"><b>', used=False, back="")
    assert b"<script>x" not in shown.body and b"<b>" not in bytes(shown.body)


def test_a_context_is_linked_by_its_name_where_that_is_plain_and_no_others() -> None:
    def context(id_: str, name: str) -> Context:
        return Context.model_validate({
            "id": id_ * 64, "name": name, "application": "medsync", "policy": "any_admin", "role": "admin", "members": 1,
            "voters": 1, "quorum": 1, "epoch": 1, "operations": 1, "checkpoint": {},
        })  # fmt: skip

    everyone = [context("1", "trial"), context("2", "a/b?"), context("3", "twin"), context("4", "twin")]
    assert [place(one, everyone) for one in everyone] == ["trial", "2" * 64, "3" * 64, "4" * 64]


def test_every_command_that_a_page_names_exists(capsys: pytest.CaptureFixture[str]) -> None:
    here = Path(rendering.__file__).parent
    files = [*here.glob("templates/*.html"), *here.rglob("*.py"), here / "static" / "patient.js", Path(shared.__file__)]
    named = {found for one in files for found in re.findall(r"medsync ((?:[a-z]+(?:-[a-z]+)* ?)+)", one.read_text())}
    named = {" ".join(one.split()[:2]) for one in named if one.split()[0] in registered()}
    assert {"open", "contract register", "bridge run", "member revoke-device", "backup restore", "consent revoke", "proof check", "reward pool", "reward terms"} <= named
    for command in sorted(named):
        assert run([*command.split(), "--help"]) == 0, command
        assert f"medsync {command.split()[0]}" in capsys.readouterr().out
