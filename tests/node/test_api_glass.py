"""Break-glass over real nodes: the commands of node/README.md as they stand, and what scopes, lists and exports make of it."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import trio

from medsync_client import NotFound, Refused
from medsync_client.glass import BreakerSet, GlassBreak, ReviewText
from medsync_client.subjects import SubjectEnrol
from medsync_node.doctor.daemon import check_daemon
from medsync_node.doctor.finding import Examined
from medsync_protocol.effects import Notify
from tests.node.api_world import Party, form, parties, running, same, until
from tests.node.test_access_accounts import command
from tests.node.test_fhir_api import fhir_client

README = (Path(__file__).resolve().parents[2] / "node" / "README.md").read_text("utf-8")


async def typed(text: str, everyone: dict[str, Party], capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What each command of the page's section prints as JSON, run at the home that it names."""
    answers: list[dict[str, Any]] = []
    known: dict[str, str] = {}
    for line in text.splitlines():
        for name, value in known.items():
            line = line.replace(name, value)
        words = shlex.split(line.split("  #")[0])
        assert words.pop(0) == "medsync"
        at = words.index("--home")
        party = everyone[words[at + 1]]
        del words[at : at + 2]
        context = words[words.index("create") + 1] if "create" in words else words[2]
        if "create" not in words:
            await until(lambda party=party, context=context: holds(party, context, known.get("PSEUDONYM")))  # type: ignore[misc]
        answers.append(await command(party, capsys, *words))
        if "enrol" in words:
            known["PSEUDONYM"] = answers[-1]["subject"]
        if "break-glass" in words:
            await until(lambda context=context, glass=answers[-1]["id"]: seen(everyone["north"], context, glass))  # type: ignore[misc]
        if "reviews" in words:
            known[" ID "] = f" {answers[-1]['glass'][0]['id'][:16]} "
    return answers


async def holds(party: Party, context: str, subject: str | None) -> bool:
    try:
        if subject is not None:
            await party.client.subject(context, subject)
        return (await party.client.context(context)).role is not None
    except NotFound:
        return False


async def seen(party: Party, context: str, glass: str) -> bool:
    replica = next(one for one in party.daemon.node.engine.replicas.values() if one.name == context)
    return any(case.id.hex() == glass for case in party.daemon.node.engine.desk(replica.context).glass.cases())


async def test_the_commands_of_the_page_break_release_and_review(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    block = re.search(r"### Break-glass.*?```sh\n(.*?)```", README, re.DOTALL)
    assert block is not None
    heard: list[Notify] = []
    async with parties(tmp_path, "north", "lab") as (north, lab), trio.open_nursery() as nursery:

        async def listen(task_status: Any) -> None:
            async with north.daemon.node.notifications() as channel:
                task_status.started()
                async for one in channel:
                    heard.append(one)

        await form([north, lab])
        await nursery.start(listen)
        _, allowed, enrolled, broken, listed, released, reviewed = await typed(block[1], {"north": north, "lab": lab}, capsys)
        assert [(one["name"], one["by_role"], one["given_by"]) for one in allowed["breakers"] if not one["by_role"]] == [("lab", False, ["north"])]
        assert (broken["state"], broken["holds"], broken["until"] - broken["time"]) == ("open", True, 30 * 60_000)
        assert (broken["requester_name"], broken["user"], broken["custodian_name"]) == ("lab", "dr-haste", "north")
        assert broken["reviewers"] == ["north"] and (listed["open"], listed["overdue"]) == (1, 0)
        assert listed["glass"][0]["reason"] == "found unconscious" and listed["glass"][0]["mine"]
        assert (released["match"], released["glass"]) == (broken["match"], broken["id"])
        assert (reviewed["state"], [one["note"] for one in reviewed["reviews"]]) == ("justified", ["seen in the ward"])
        assert "glass_broken" in {one.what for one in heard} and "found unconscious" not in repr(heard)

        # both halves, in the log, the accounting and as AuditEvents with the purpose
        subject = enrolled["subject"]
        rows = {one.half: one for one in (await north.client.accesses("er", subject)).entries if one.half != "log-read"}
        assert rows.keys() == {"break-glass", "disclosed"} and rows["break-glass"].match == rows["disclosed"].match
        account = await north.client.accounting("er", subject)
        assert "break-glass" in {line.half for line in account.lines}
        found = await north.client.reconcile("er")
        assert (found.matched, found.unmatched) == (1, ())
        async with north.client.export_subject("er", subject) as exported:
            told = [json.loads(line) async for line in exported]
        assert [one["reason"] for one in told if one["kind"] == "broken-glass"] == ["found unconscious"]
        async with fhir_client(north) as http:
            answer = await http.get("/fhir/r4/contexts/er/AuditEvent", params={"patient": subject, "purpose": "BTG"})
        subtypes = [one["resource"]["subtype"][0]["code"] for one in answer.json()["entry"]]
        assert sorted(subtypes) == ["110127", "disclose"] and "found unconscious" not in answer.text
        assert (await north.client.status()).contexts[0]["reviews_open"] == 0

        # reviewed again at the other node's sight, and what is not there
        again = await north.client.review_glass("er", broken["id"], ReviewText(outcome="follow-up", note="ask the ward"))
        assert again.state == "follow-up"
        status = await north.client.status()
        home = north.daemon.node.home
        assert home is not None
        examined = Examined(home=home, environment={}, config=None, status=status, running=True, now=0, least_free=0)
        assert any("glass was broken, 1 to be reviewed, 0 overdue" in one.what for one in check_daemon(examined))
        assert (await lab.client.breakers("er")).me
        left = await command(north, capsys, "access", "withdraw-breaking", "er", "lab")
        assert [one["name"] for one in left["breakers"]] == ["north"] and not (await north.client.broken_glass("er", broken["id"])).holds
        with pytest.raises(Refused) as mere:
            await lab.client.set_breaker("er", "lab", BreakerSet(allowed=True))
        assert mere.value.code == "not_permitted"
        with pytest.raises(Refused) as own:
            await lab.client.review_glass("er", broken["id"], ReviewText(outcome="justified"))
        assert own.value.code == "own_glass"
        with pytest.raises(NotFound):
            await lab.client.broken_glass("er", "00" * 32)
        nursery.cancel_scope.cancel()
    async with running(home) as north:
        kept = await north.client.broken_glass("er", broken["id"])
        assert (kept.state, kept.reason, kept.holds) == ("follow-up", "found unconscious", False)


async def test_what_the_context_or_the_call_does_not_allow_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    async with parties(tmp_path, "north") as (north,):
        await form([north])
        ann = (await north.client.enrol_subject("trial", SubjectEnrol())).subject
        with pytest.raises(Refused) as refused:
            await north.client.break_glass("trial", GlassBreak(subject=ann, reason="found unconscious"))
        assert refused.value.code == "glass_holds" and "implicit=deny-but-break-glass" in (refused.value.advice or "") and ann not in str(refused.value)
        await same([north])
        found = await north.client.reviews("trial")
        assert (found.glass, found.total, found.open) == ((), 0, 0)
        assert all(one.half == "log-read" for one in (await north.client.accesses("trial", ann)).entries)
