"""Changing who is in a context from the browser: each change says in words what will happen, is done, and needs its scope."""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx
import pytest
from playwright.sync_api import expect

from medsync_client.contexts import Admission, ContextCreate, ContextDetail, Voters
from medsync_client.governance import Governance, Outlook, Passed, PolicyOffer, Proposal
from medsync_client.members import Member
from medsync_node.api.scopes import SCOPES
from medsync_node.cli import run
from medsync_node.dashboard.consequences import ruling
from medsync_node.dashboard.deeds import DEEDS
from medsync_node.dashboard.facts import Asked, Facts, told
from medsync_node.dashboard.rendering import page
from medsync_node.dashboard.sessions import Grant, Session
from medsync_node.testing.waiting import until
from tests.dashboard.conftest import Visitor
from tests.dashboard.world import PHONE, World

Visit = Callable[..., Visitor]


def change(visitor: Visitor, page: str, link: str, *words: str) -> None:
    """Follow a link or a form's button, read what will happen, and do it."""
    visitor.go(page)
    visitor.page.locator("main").get_by_role("link", name=link, exact=True).or_(visitor.page.get_by_role("button", name=link, exact=True)).click()
    confirm(visitor, *words)


def confirm(visitor: Visitor, *words: str) -> None:
    for one in words:
        assert one in visitor.text, (one, visitor.text)
    visitor.page.locator("main form").get_by_role("button").click()
    expect(visitor.page.get_by_role("status")).to_be_visible()


def test_an_admin_admits_promotes_hands_over_and_removes(world: World, visit: Visit) -> None:
    north, south, _ = world.cluster
    north.client.create_context(ContextCreate(name="ward"))
    visitor, here = visit(javascript=False, size=PHONE), "/c/ward/members"
    visitor.go(here)
    visitor.page.get_by_label("Member of the network").select_option(south.member)
    visitor.page.get_by_label("As").select_option("reader")
    visitor.page.get_by_role("button", name="Admit").click()
    confirm(visitor, "Admit south to ward as reader?", "lets it count at once", "reads all that was written so far", "It writes nothing")
    change(visitor, here, "Make an admin of south", "Make south an admin of ward?", "The key stays")
    until(lambda: any(c.name == "ward" and c.role == "admin" for c in south.client.contexts().contexts), "south to be there")
    until(lambda: north.client.outlook("ward", "remove", "south").held > 0, "south's voter key")
    visitor.go(here)
    visitor.page.get_by_label("south").check()
    visitor.page.get_by_role("button", name="Vote for this list").click()
    confirm(visitor, "votes for this list: north, south", "2 of these 2 must sign")
    assert {one.name for one in north.client.voters("ward").voters} == {"north", "south"}
    change(visitor, here, "Hand over to south", "you can't take it back")
    assert north.client.governance("ward").owner == "south"
    epoch = north.client.context("ward").epoch
    change(visitor, here, "Replace the key …", "only they can read")
    change(
        visitor, here, "Remove south", "Cut-off: the ", "of south that this node holds stand", "can't read what is written after it",
        "nobody can take that back", "It is one of 2 voters", "ward is not anchored",
    )  # fmt: skip
    assert {one.name for one in north.client.context_members("ward").members} == {"north"}
    assert north.client.context("ward").epoch == epoch + 2
    visitor.go(here + "/leave")
    assert "the last admin can't go" in visitor.text and visitor.page.locator("main form").count() == 0


def test_a_member_that_lost_its_key_is_recovered(world: World, visit: Visit) -> None:
    north, south, _ = world.cluster
    north.client.create_context(ContextCreate(name="clinic", members=(Admission(member="south"),)))
    until(lambda: any(c.name == "clinic" and c.role == "member" for c in south.client.contexts().contexts), "south to be there")
    visitor, epoch = visit(size=PHONE), north.client.context("clinic").epoch
    visitor.go("/c/clinic/members")
    visitor.page.get_by_label("Lost").select_option("south")
    visitor.page.get_by_label("In its place").select_option("east")
    visitor.page.get_by_role("button", name="Recover").click()
    confirm(visitor, "Put east in the place of south in clinic?", "lets it count at once", "its role and seniority", "Whoever has the lost key", "medsync subject move clinic --all", "clinic is not anchored")
    assert {one.name for one in north.client.context_members("clinic").members} == {"north", "east"}
    assert north.client.context("clinic").epoch == epoch + 1


def test_an_admin_votes_leaves_and_changes_the_network(world: World, visit: Visit, capsys: pytest.CaptureFixture[str]) -> None:
    north, south, east = world.cluster
    both = (Admission(member="south", role="admin"),)
    north.client.create_context(ContextCreate(name="board", policy="k_of_n", members=both, settings={"policy.k": 2}))
    until(lambda: any(c.name == "board" and c.role == "admin" for c in south.client.contexts().contexts), "south to be there")

    def proposed() -> bool:
        return any(one.mine for one in north.client.governance("board").proposals)

    visitor, here = visit(javascript=False), "/c/board/members"
    south.client.admit("board", "east")
    until(proposed, "the proposal")
    visitor.go("/overview")
    assert visitor.page.get_by_label("Pages of board").get_by_role("link", name="Members 1 to vote on").is_visible()
    change(visitor, here, "Yes to east as member", "Vote yes: admit east as member?", "the vote that was lacking", "can't be changed")
    assert any(one.name == "east" for one in north.client.context_members("board").members)
    south.client.remove_from_context("board", "east")
    until(proposed, "the other proposal")
    change(visitor, here, "No to east", "Vote no: remove east?", "it has failed")
    assert north.client.governance("board").proposals == ()
    until(lambda: len(north.client.voters("board").voters) == 2, "both voters")
    visitor.go(here)
    visitor.page.get_by_label("Who changes the membership").select_option("founder")
    visitor.page.get_by_role("button", name="Vote for this policy").click()
    confirm(visitor, "once 2 of the 2 voters have voted", "board is not anchored", "k_of_n rules on until it is")
    assert "another policy: founder" in visitor.text and "1 of south" in visitor.text and "never" in visitor.text
    south.client.vote_policy("board", "majority", {"delay": 1})
    south.client.vote_voters("board", ("south",))
    until(lambda: len(north.client.governance("board").ballots) == 3, "south's votes")
    visitor.go(here)
    assert "another list of voters: south" in visitor.text
    change(visitor, here, "Vote for it too : majority (cool_down=3, delay=1, expiry=10)", "So far: south", "any of them proposes")
    assert "The voters chose majority (cool_down=3, delay=1, expiry=10)" in visitor.text
    assert run(["policy", "proposals", "board", "--home", str(north.home.path)]) == 0
    listed = " ".join(capsys.readouterr().out.split())
    assert "the voters chose majority (cool_down=3, delay=1, expiry=10)" in listed and "- voters south - south - 1 -" in listed
    visitor.go(here + "/policy?policy=any_admin")
    assert "the voters chose majority" in visitor.text and visitor.page.locator("main form").count() == 0
    change(visitor, here, "Make a reader of east", "wants votes", "1 of these must agree: south")
    assert "So far it is only proposed" in visitor.text and "set role east to reader" in visitor.text and "1 of south" in visitor.text
    change(visitor, here, "Leave this context …", "Leave board?", "the admins replaced the key")
    assert "not in this context any more" in visitor.text and north.client.context("board").role is None
    change(visitor, "/members", "Make a reader of east", "Make east a reader of the network cluster?")
    change(visitor, "/members", "Remove east", "In each context the first admin")
    assert all(one.id != east.member for one in north.client.members().members)


def test_without_the_scope_nothing_is_offered_and_nothing_is_done(world: World, visit: Visit) -> None:
    visitor = visit(*(set(SCOPES) - {"govern"}))
    for path in ("/c/shared/members", "/members"):
        visitor.go(path)
        assert visitor.page.locator("main form, main .acts").count() == 0
    south = world.cluster["south"].member
    with world.signed_in(*(set(SCOPES) - {"govern"})) as small, world.signed_in() as all_of_it:
        fields = {
            "csrf": csrf(small), "member": south, "role": "reader", "voters": south, "proposal": "00", "renewed": "east", "chain": "00" * 40,
            "policy": "majority", "parameters": "delay=1",
        }  # fmt: skip
        for name in DEEDS:
            answered = small.get(f"c/shared/members/{name}", params={**fields, "voter": south})
            assert answered.status_code == 403 and "the scope govern allows it" in answered.text, name
            assert small.post(f"c/shared/members/{name}", data=fields).status_code == 403, name
        assert small.post("members/remove", data=fields).status_code == 403
        assert all_of_it.post("c/shared/members/remove", data={"member": south}).status_code == 403, "no csrf"
        assert all_of_it.post("c/shared/members/remove", data=fields).status_code == 403, "another session's"
        for path in ("remove?member=ff", "vote?proposal=ff", "remove", "found?member=x", "role?role=king&member=x", "voters",
                     "policy", "policy?policy=mob", "policy?policy=k_of_n&parameters=many", f"recover?member={south}", "resume?chain=ff"):  # fmt: skip
            assert all_of_it.get(f"c/shared/members/{path}").status_code in (404, 422), path
        assert all_of_it.get("members/leave").status_code == 404
    assert {one.name for one in world.cluster["north"].client.context_members("shared").members} >= {"north", "south"}


def csrf(http: httpx.Client) -> str:
    found = re.search('name="csrf" value="([^"]+)"', http.get("members").text)
    assert found is not None
    return found[1]


SOUTH = Member(id="11" * 32, name="south", role="admin")


def test_what_passed_and_waits_is_told_and_a_vain_deed_is_no_success() -> None:
    rules = Governance(
        policy="k_of_n", version=1, hash="00" * 32, parameters={"k": 2}, known=True, owner="north", quorum=2, proposals=(), k=3,
        passed=(Passed(action="admit", about="lab as member", author="north", counts_from=5),),
    )  # fmt: skip
    found = ContextDetail.model_validate({
        "id": "1" * 64, "name": "trial", "application": "medsync", "policy": "k_of_n", "role": "admin", "members": 0, "voters": 0,
        "quorum": 0, "epoch": 1, "operations": 1, "checkpoint": {}, "member_list": (),
    })  # fmt: skip
    session = Session(grant=Grant(scopes=frozenset(SCOPES)), csrf="c", ends=1, seen=0, digest="d")
    answer = page(
        "membership.html", session=session, node_name="north", context="trial", called="trial", query={}, path="/c/trial/members", read_only=False,
        found=found, rules=rules, owns=False, voters=Voters(voters=(), quorum=0), outside=[], may_change=False, roles=(), forked=[], offers=(),
        told=told, done=("The vote is on record. It is rejected.", True),
    )  # fmt: skip
    text = bytes(answer.body).decode()
    assert "Passed: admit lab as member, by north. It counts from checkpoint 5 on." in text
    assert '<p class="problem" role="status">The vote is on record. It is rejected.</p>' in text


@pytest.mark.parametrize(
    ("deed", "facts", "said"),
    [
        ("remove", Facts(place="trial", policy="p", who=SOUTH, outlook=Outlook(ruling="allowed")), "holds nothing that south wrote"),
        ("remove", Facts(place="trial", policy="p", who=SOUTH, outlook=Outlook(ruling="allowed", held=1)), "the 1 operation of south"),
        ("role", Facts(place="trial", policy="p", who=SOUTH), "what south did as an admin and this node does not hold"),
        ("voters", Facts(place="trial", policy="p", chosen=("a", "b", "c", "d")), "3 of these 4 must sign"),
        ("recover", Facts(place="trial", policy="p", who=SOUTH, outlook=Outlook(ruling="votes", needed=1, electors=("south",))), "can't pass without the vote of south"),
        ("policy", Facts(place="trial", policy="p", offer=PolicyOffer(name="m", version=1, shipped=False, about="x")), "until they install it"),
        ("policy", Facts(place="trial", policy="p", offer=PolicyOffer(name="m", version=1, shipped=True, about="x")), "a quorum of the admins"),
        ("voters", Facts(place="trial", policy="p", chosen=("a",), voters=Voters(voters=(), quorum=0)), "There is no list yet"),
    ],
)
def test_the_words_follow_the_facts(deed: str, facts: Facts, said: str) -> None:
    assert any(said in one for one in DEEDS[deed].words(facts, Asked())), [*DEEDS[deed].words(facts, Asked())]


def test_a_vote_says_how_many_are_lacking_after_it_and_the_ruling_who_must_agree() -> None:
    def proposal(needed: int) -> Facts:
        one = Proposal(id="0" * 64, action="remove", about="lab", author="a", needed=needed, yes=(), no=(), electors=("b", "c"), expires=9, mine=True)
        return Facts(place="trial", policy="p", proposal=one)

    assert any("1 more must agree" in one for one in DEEDS["vote"].words(proposal(2), Asked()))
    assert any("highest that its proposer and the voters name" in one for one in DEEDS["vote"].words(proposal(1), Asked()))
    ahead = Outlook(ruling="votes", needed=2, electors=("b", "c", "d"))
    assert "counts at once" not in ruling(Facts(place="trial", policy="p")) and "count at once" in ruling(Facts(place="trial", policy="p", outlook=Outlook(ruling="votes")))
    assert "2 of these must agree: b, c, d" in ruling(Facts(place="trial", policy="p", outlook=ahead))
