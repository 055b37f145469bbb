"""Voting under a policy, through the API: proposals are shown, voted on, and take effect; policies and owners change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trio

from medsync_client import BadRequest, NotFound, Refused
from medsync_client.changes import Changed, Standing
from medsync_client.contexts import Admission, ContextCreate
from medsync_client.members import InvitationCreate
from medsync_node.cli import run
from medsync_node.outcomes import told
from medsync_protocol.statement import quorum
from tests.node.api_world import Party, parties, until
from tests.node.test_api import refused


async def _formed(everyone: list[Party]) -> None:
    """A context `trial` under `k_of_n`, two admins and a member of the network that is not in it."""
    north, south, east = everyone
    await north.client.create_network("hospitals")
    for other in (south, east):
        await other.client.join((await north.client.invite(InvitationCreate())).invitation)

    async def known() -> bool:
        return len((await north.client.members()).members) == 3

    await until(known)
    both = (Admission(member="south", role="admin"),)
    await north.client.create_context(
        ContextCreate(name="trial", policy="k_of_n", members=both, settings={"policy.k": 2})
    )

    async def held() -> bool:
        return any(c.name == "trial" and c.role == "admin" for c in (await south.client.contexts()).contexts)

    await until(held)


async def test_two_admins_admit_and_remove_by_votes_and_change_the_policy(tmp_path: Path) -> None:
    async with parties(tmp_path, "north", "south", "east") as everyone:
        north, south, east = everyone
        await _formed(everyone)
        await refused(
            north.client.create_context(ContextCreate(name="x", policy="mob")), BadRequest, "unknown_policy"
        )
        before = (await north.client.context("trial")).operations
        ahead = await north.client.outlook("trial", "admit", "east")
        assert (ahead.ruling, ahead.needed, ahead.electors) == ("votes", 1, ("south",))
        assert (await north.client.outlook("trial", "transfer", "south")).ruling == "allowed"
        assert "member already" in (await north.client.outlook("trial", "admit", "south")).reason
        assert (await south.client.outlook("trial", "transfer", "north")).reason == "only the owner hands the context over"
        assert "last admin" in (await north.client.outlook(None, "set_role", "north", "reader")).reason
        await refused(north.client.outlook("trial", "remove"), BadRequest, "member_missing")
        assert (await north.client.context("trial")).operations == before, "asking writes nothing"
        asking = await north.client.admit("trial", "east")
        assert (asking.state, asking.needed, asking.electors, asking.until) == ("proposed", 1, ("south",), 10)
        assert asking.vote == f"medsync policy vote trial {asking.op[:8]}" and asking.proposal == asking.op
        assert "already" in (await north.client.outlook("trial", "admit", "east")).reason

        async def asked() -> bool:
            return [p.mine for p in (await south.client.governance("trial")).proposals] == [True]

        await until(asked)
        (proposal,) = (await south.client.governance("trial")).proposals
        assert (proposal.action, proposal.about, proposal.author, proposal.needed) == ("admit", "east as member", "north", 1)
        assert any("wait for votes" in warning for warning in (await south.client.status()).warnings)
        await refused(north.client.endorse("trial", proposal.id), Refused, "not_permitted")
        await refused(south.client.endorse("trial", "00" * 32), NotFound, "unknown_proposal")
        assert (proposal.left, proposal.vote) == (("south",), asking.vote)
        assert (await south.client.endorse("trial", proposal.id[:8])).state == "in-force"
        assert {m.name for m in (await south.client.context_members("trial")).members} == {"north", "south", "east"}

        async def arrived() -> bool:
            return any(c.name == "trial" and c.role for c in (await east.client.contexts()).contexts)

        await until(arrived)
        view = await east.client.governance("trial")
        assert (view.policy, view.parameters["k"], view.owner, view.proposals) == ("k_of_n", 2, "north", ())
        await refused(south.client.transfer("trial", "south"), Refused, "not_permitted")
        assert (await north.client.transfer("trial", "south")).state == "in-force"
        assert (await north.client.governance("trial")).owner == "south"
        await refused(north.client.vote_policy("trial", "k_of_n", {"k": 2}), Refused, "same_policy")
        cast = await north.client.vote_policy("trial", "majority")
        assert cast.state == "proposed" and cast.vote.startswith("medsync policy change trial majority --parameter")
        view = await north.client.governance("trial")
        (ballot,) = view.ballots
        assert (ballot.needed, set(ballot.electors) - set(ballot.yes)) == (cast.needed, set(cast.electors))
        assert (ballot.wanted, ballot.yes, ballot.needed + 1) == ("policy", ("north",), quorum(len(ballot.electors)))
        assert (ballot.policy, ballot.mine) == ("majority", False) and ballot.about.startswith("majority (") and (view.k, view.next_policy) == (0, "")
        await south.client.vote_voters("trial", ("north",))
        lists = [one for one in (await south.client.governance("trial")).ballots if one.wanted == "voters"]
        assert [one.about for one in lists] == ["north"] and set(lists[0].electors) <= {"north", "south"}
        offered = {one.name: one for one in (await north.client.policies()).policies}
        assert offered["k_of_n"].defaults["k"] == 2 and offered["any_admin"].shipped and offered["founder"].about


async def test_a_command_says_that_it_only_proposed_whose_votes_it_lacks_and_what_they_type(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    async with parties(tmp_path, "north", "south", "east") as everyone:
        await _formed(everyone)

        async def typed(*words: str) -> str:
            capsys.readouterr()
            assert await trio.to_thread.run_sync(run, [*words, "--home", str(tmp_path / "north")]) == 0
            return capsys.readouterr().out

        made = await typed("context", "create", "er", "--member", "south", "--member", "east", "--policy", "majority")
        assert "only proposed: admit east as member: lacks 1 vote of south\neach of them agrees by `medsync policy vote er " in made
        assert "east: not in er yet; once in, no voter until the voters vote" in made and "voters 2, quorum 2" in made
        asked = json.loads(await typed("context", "admit", "trial", "east", "--json"))
        assert (asked["ok"], asked["state"], asked["needed"], asked["electors"]) == (True, "proposed", 1, ["south"])
        removal = await typed("member", "remove", "south", "--context", "trial")
        assert removal.startswith("removed south\n"), "of two admins the target has no vote"
        for named in (("context", "create", "x", "--member", "sout"), ("member", "recover", "south", "sout", "--context", "er")):
            assert await trio.to_thread.run_sync(run, [*named, "--home", str(tmp_path / "north")]) == 1
            assert "no member 'sout' here\n  perhaps south; see `medsync member list`" in capsys.readouterr().err
        left = await typed("member", "remove", "east")
        assert left.startswith("removed east\noperation ")


def test_what_became_of_a_change_reads_as_what_it_is() -> None:
    def said(state: Standing, **fields: object) -> list[str]:
        return list(told(Changed(op="ab" * 32, state=state, **fields), "removed lab", "to remove lab"))[:-1]  # type: ignore[arg-type]

    assert said("in-force") == ["removed lab"]
    assert said("proposed", needed=1, electors=("east", "south"), vote="medsync policy vote er 3fa4c210", until=10) == [
        "only proposed to remove lab: lacks 1 vote of east, south", "each of them agrees by `medsync policy vote er 3fa4c210`",
        "it can be voted on up to checkpoint 10",
    ]  # fmt: skip
    assert said("waiting", counts_from=7) == ["agreed to remove lab: it counts from checkpoint 7 on"]
    assert said("rejected", reason="too many said no") == ["rejected: too many said no"]
    assert said("void", reason="its chain was signed twice") == ["no effect: its chain was signed twice"]
    followed = said("in-force", contexts=("er",))
    assert followed[1].startswith("it is still a member of er")
    assert next(told(Changed(op="ab" * 32, state="proposed", needed=2, electors=("east",)), "", "")) == "only proposed: lacks 2 votes of east"
