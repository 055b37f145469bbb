"""The shipped membership policies, and votes: what each lets whom do, in every order of arrival (PROTOCOL §3)."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from medsync_protocol.actions import (
    Action, Admit, Endorse, Genesis, Leave, PolicyBallot, Rekey, Remove, Rotate, SetRole, Transfer,
)  # fmt: skip
from medsync_protocol.errors import Refused
from medsync_protocol.ids import MemberId, OpId
from medsync_protocol.kinds import Role, Verdict
from medsync_protocol.membership import MembershipFold, MembershipState
from medsync_protocol.policies import pins
from medsync_protocol.policy import SHIPPED, Offer, Policies, bounded
from medsync_protocol.ruling import Allow, Deny, Needs, Rules, Ruling
from tests.protocol.histories import History, announce, ballot, card, chain, member, rotation
from tests.protocol.test_membership import admit, promote, remove

ROOT = Path(__file__).resolve().parents[2]
TEN = {
    "any_admin", "founder", "seniority", "k_of_n", "majority", "supermajority", "sponsor_and_vote", "forward_only", "both_out",
    "onchain_list",
}  # fmt: skip


@dataclass
class Story(History):
    """A history under a policy. `seen`: the checkpoint that an operation's author says it knew."""

    policy: str = "any_admin"
    parameters: tuple[tuple[str, int | str], ...] = ()
    seen: dict[OpId, int] = field(default_factory=dict)
    policies: Policies = field(default_factory=Policies)

    def does(self, name: str, heads: Iterable[OpId], action: Action, *, at: int = 0) -> OpId:
        """`name` does this, knowing these operations and checkpoint `at`."""
        op_id = self.act(name, sorted(heads), action)
        self.seen[op_id] = at
        return op_id

    def folded(self, backwards: bool = False) -> MembershipFold:
        """The fold; backwards: in the order farthest from the one in which they were made."""
        fold = MembershipFold(self.policies.make(self.policy, self.parameters), self.policies)
        waiting = list(reversed(self.ops)) if backwards else list(self.ops)
        while waiting:
            op = next(op for op in waiting if all(head in fold for head in op.heads))
            waiting.remove(op)
            fold.add(op.op_id, op.chain, op.heads, op.action, (self.seen.get(op.op_id, 0), bytes(32)))
        return fold

    def now(self) -> MembershipState:
        """Of everything, the same in both orders."""
        state, other = self.folded().state(), self.folded(backwards=True).state()
        assert state.root() == other.root()
        assert state.verdicts == other.verdicts
        return state

    def names(self) -> set[str]:
        """Who is a member."""
        return {held.name for held in self.now().members.values()}

    def begin(self, admins: Iterable[str], members: Iterable[str] = (), readers: Iterable[str] = ()) -> OpId:
        """Found it, and let all these in by as many votes as the policy asks for."""
        first, *others = admins
        head = self.found(first)
        for name, role in [*((n, Role.ADMIN) for n in others), *((n, Role.MEMBER) for n in members), *((n, Role.READER) for n in readers)]:
            proposal = head = self.does(first, [head], admit(name, role))
            for voter in sorted(self.names()):
                if name not in self.names():
                    head = self.does(voter, [head], Endorse(proposal=proposal))
            assert name in self.names(), f"{name} is not let in under {self.policy}"
        return head


def test_there_are_ten_and_their_texts_are_the_released_ones() -> None:
    assert set(SHIPPED) == TEN
    module = runpy.run_path(str(ROOT / "scripts" / "pin-policies"))
    assert (ROOT / "protocol/medsync_protocol/policies/pins.py").read_text("utf-8") == module["text"]()
    assert set(pins.PINS) > TEN


@pytest.mark.parametrize("name", sorted(TEN))
def test_under_every_policy_a_consortium_grows_removes_and_keeps_one_root(name: str) -> None:
    story = Story(policy=name)
    head = story.begin(["ann", "bea", "cay"], members=["dan"])
    assert story.names() == {"ann", "bea", "cay", "dan"}
    proposal = head = story.does("ann", [head], remove("dan", staying=("ann", "bea", "cay")))
    for voter in ("bea", "cay"):
        if "dan" in story.names():
            head = story.does(voter, [head], Endorse(proposal=proposal))
    assert story.names() == {"ann", "bea", "cay"}
    assert story.now().usable_key() is not None


@pytest.mark.parametrize(
    ("name", "needed"), [("k_of_n", 2), ("majority", 2), ("supermajority", 2), ("onchain_list", 1), ("sponsor_and_vote", 2)]
)
def test_votes_are_asked_of_the_electors(name: str, needed: int) -> None:
    story = Story(policy=name)
    head = story.begin(["ann", "bea", "cay"])
    proposal = story.does("ann", [head], admit("eve"))
    state = story.now()
    assert state.verdicts[proposal].effective
    assert ("eve" in story.names()) == (needed == 1)
    if needed > 1:
        (still,) = state.open_proposals()
        assert still.needed == needed - 1
        story.does("bea", [proposal], Endorse(proposal=proposal))
        assert "eve" in story.names() and not story.now().open_proposals()


def test_concurrent_votes_count_together_and_the_targets_own_does_not() -> None:
    story = Story(policy="supermajority")
    head = story.begin(["ann", "bea", "cay", "dan"])
    proposal = story.does("ann", [head], remove("dan", staying=("ann", "bea", "cay")))
    story.does("dan", [proposal], Endorse(proposal=proposal, yes=False))
    story.does("bea", [proposal], Endorse(proposal=proposal))
    assert "dan" in story.names()
    story.does("cay", [proposal], Endorse(proposal=proposal))
    assert "dan" not in story.names()


def test_a_removal_by_votes_voids_what_its_target_did_without_knowing_and_nothing_that_a_voter_knew() -> None:
    story = Story(policy="majority")
    head = story.begin(["ann", "bea", "cay"])
    proposal = story.does("ann", [head], remove("cay", staying=("ann", "bea")))
    known = story.does("cay", [proposal], announce("cay"))
    beside = story.does("cay", [known], Rotate(rotation=rotation(2, ["cay", "ann", "bea"])))
    story.does("bea", [known], Endorse(proposal=proposal, cut_off=((chain("cay"), 9),)))
    state = story.now()
    assert state.verdicts[known].effective
    assert state.verdicts[beside] is Verdict.VOID_CONCURRENT_REMOVAL
    (gone,) = state.removed
    assert gone.stands(chain("cay"), 8) and not gone.stands(chain("cay"), 9), "as the voter held it"


def test_a_removal_by_votes_is_known_to_who_knows_the_votes() -> None:
    story = Story(policy="majority")
    head = story.begin(["ann", "bea", "cay"])
    proposal = story.does("ann", [head], remove("cay", staying=("ann", "bea")))
    vote = story.does("bea", [proposal], Endorse(proposal=proposal))
    fold = story.folded()
    (gone,) = fold.state().removed
    assert not fold.knew(gone, [proposal]) and fold.knew(gone, [vote])


def test_a_proposal_expires_and_its_author_waits_before_it_asks_again() -> None:
    story = Story(policy="k_of_n", parameters=(("cool_down", 3), ("expiry", 5)))
    head = story.begin(["ann", "bea"])
    proposal = story.does("ann", [head], admit("eve"), at=10)
    late = story.does("bea", [proposal], Endorse(proposal=proposal), at=16)
    assert "eve" not in story.names()
    again = story.does("ann", [late], admit("eve"), at=18)
    assert story.now().verdicts[again] is Verdict.VOID_COOL_DOWN
    third = story.does("ann", [again], admit("eve"), at=19)
    story.does("bea", [third], Endorse(proposal=third), at=19)
    assert "eve" in story.names()


def test_a_rejected_proposal_closes_and_a_member_votes_once() -> None:
    story = Story(policy="majority")
    head = story.begin(["ann", "bea", "cay"])
    proposal = story.does("ann", [head], admit("eve"))
    no = story.does("bea", [proposal], Endorse(proposal=proposal, yes=False))
    no = story.does("cay", [no], Endorse(proposal=proposal, yes=False))
    assert not story.now().open_proposals()
    story.does("bea", [no], Endorse(proposal=proposal))
    assert "eve" not in story.names()


def test_a_delay_counts_checkpoints_that_more_than_one_member_knew_and_no_removal_waits() -> None:
    story = Story(policy="k_of_n", parameters=(("delay", 2), ("k", 1)))
    head = story.does("ann", [story.found("ann")], admit("bea", Role.ADMIN))
    head = story.does("ann", [head], announce("ann"), at=4)
    admitted = story.does("ann", [head], admit("eve"), at=4)
    lie = story.does("bea", [admitted], announce("bea"), at=1_000)
    assert "eve" not in story.names(), "one liar moves nothing"
    assert [(due, proposal.op_id) for due, proposal in story.now().waiting] == [(6, admitted)]
    story.does("ann", [lie], announce("ann"), at=6)
    assert "eve" in story.names()
    gone = story.does("ann", story.folded().heads(), remove("bea", staying=("ann", "eve")), at=6)
    assert "bea" not in story.names() and story.now().verdicts[gone].effective


# -- particular policies ----------------------------------------------------------------------------------------


def test_under_founder_only_the_owner_changes_anything_and_hands_over_before_it_goes() -> None:
    story = Story(policy="founder")
    head = story.begin(["ann", "bea"])
    coup = head = story.does("bea", [head], remove("ann", staying=("bea",)))
    assert story.now().verdicts[coup] is Verdict.VOID_ROLE
    flight = head = story.does("ann", [head], Leave(cut_off=()))
    assert story.now().verdicts[flight] is Verdict.VOID_ROLE
    head = story.does("ann", [head], Transfer(member=member("bea")))
    assert story.now().owner == member("bea")
    story.does("ann", [head], Leave(cut_off=()))
    assert story.names() == {"bea"}


def test_an_owner_is_not_lost_by_what_happens_beside_the_transfer() -> None:
    for rank in (1, 2):
        story = Story(policy="founder")
        head = story.begin(["ann", "bea"])
        story.act("ann", [head], Transfer(member=member("bea")), rank=rank)
        story.act("bea", [head], Leave(cut_off=()), rank=3 - rank)
        state = story.now()
        assert state.owner in state.members
        assert Verdict.VOID_LAST_ADMIN in state.verdicts.values()


def test_under_seniority_a_newcomer_removes_nobody_before_it() -> None:
    story = Story(policy="seniority")
    head = story.begin(["ann", "bea", "cay"])
    up = story.does("cay", [head], remove("bea", staying=("ann", "cay")))
    down = story.does("bea", [up], remove("cay", staying=("ann", "bea")))
    state = story.now()
    assert state.verdicts[up] is Verdict.VOID_ROLE and state.verdicts[down].effective


def test_under_forward_only_back_dating_wins() -> None:
    story = Story(policy="forward_only")
    head = story.begin(["ann", "bea"], members=["cay"])
    story.does("ann", [head], remove("bea", staying=("ann", "cay")))
    beside = story.does("bea", [head], admit("eve"))
    state = story.now()
    assert state.verdicts[beside].effective and "eve" in story.names()
    (gone,) = state.removed
    assert gone.forward


def test_under_both_out_two_who_remove_each_other_both_go() -> None:
    story = Story(policy="both_out")
    head = story.begin(["ann", "bea", "cay"])
    story.does("ann", [head], remove("bea", staying=("ann", "cay")))
    story.does("bea", [head], remove("ann", staying=("bea", "cay")))
    assert story.names() == {"cay"}
    lonely = Story(policy="both_out")
    head = lonely.begin(["ann", "bea"])
    lonely.does("ann", [head], remove("bea", staying=("ann",)))
    lonely.does("bea", [head], remove("ann", staying=("bea",)))
    assert len(lonely.names()) == 1, "the last admin stays whatever the policy"


def test_under_sponsor_and_vote_a_sponsor_that_is_no_admin_adds_no_vote() -> None:
    story = Story(policy="sponsor_and_vote")
    head = story.begin(["ann", "bea", "cay"], members=["dan"])
    proposal = head = story.does("dan", [head], admit("eve"))
    head = story.does("ann", [head], Endorse(proposal=proposal))
    assert "eve" not in story.names()
    head = story.does("cay", [head], Endorse(proposal=proposal))
    assert "eve" in story.names()
    story.does("bea", [head], remove("eve", staying=("ann", "bea", "cay", "dan")))
    assert "eve" not in story.names()


def test_under_onchain_list_the_listed_voters_decide() -> None:
    story = Story(policy="onchain_list")
    head = story.begin(["ann", "bea", "cay"], members=["dan"])
    for name in ("ann", "bea", "cay"):
        head = story.does(name, [head], announce(name))
    head = story.does("ann", [head], ballot([], ["ann", "bea", "cay"]))
    proposal = head = story.does("dan", [head], admit("eve"))
    head = story.does("ann", [head], Endorse(proposal=proposal))
    assert "eve" not in story.names()
    story.does("bea", [head], Endorse(proposal=proposal))
    assert "eve" in story.names()


# -- lost keys --------------------------------------------------------------------------------------------------


def test_a_lost_member_key_is_replaced_by_votes_of_the_other_admins() -> None:
    story = Story()
    head = story.begin(["ann", "bea", "cay"])
    rekey = Rekey(member=member("bea"), card=card("bea2"), cut_off=((chain("bea"), 4),), rotation=rotation(2, ["ann", "bea2", "cay"]))
    proposal = head = story.does("ann", [head], rekey)
    thief = story.does("bea", [head], admit("eve"))
    assert "bea2" not in story.names()
    story.does("cay", [head], Endorse(proposal=proposal))
    state = story.now()
    assert "bea2" in story.names() and member("bea") not in state.members
    assert state.members[member("bea2")].role is Role.ADMIN
    assert state.verdicts[thief] is Verdict.VOID_CONCURRENT_REMOVAL
    assert state.usable_key() == rotation(2, ["ann", "bea2", "cay"]).key_id


def test_a_member_renews_its_own_sealing_key_and_nobody_elses() -> None:
    story = Story()
    head = story.begin(["ann", "bea"])
    renewed = card("bea")
    renewed = type(renewed)(
        member=renewed.member, device=renewed.device, certificate=renewed.certificate, sealing_key=b"n" * 32, name="bea"
    )  # fmt: skip
    forged = story.does("ann", [head], Rekey(member=member("bea"), card=renewed))
    assert story.now().verdicts[forged] is Verdict.VOID_ROLE
    story.does("bea", [head], Rekey(member=member("bea"), card=renewed))
    assert story.now().members[member("bea")].sealing_key == b"n" * 32


# -- change of policy -------------------------------------------------------------------------------------------


def test_voters_change_the_policy_and_it_rules_from_the_next_checkpoint_on() -> None:
    story = Story()
    head = story.begin(["ann", "bea", "cay"])
    wanted = story.policies.name(story.policies.make("k_of_n", [("k", 2)]))
    base = story.now().policy
    assert base is not None
    vote = PolicyBallot(base=base.digest, policy=wanted)
    head = story.does("ann", [head], vote, at=3)
    assert story.now().policy == base
    head = story.does("bea", [head], vote, at=3)
    assert story.now().policy == base, "elected, not in force yet"
    at_once = head = story.does("ann", [head], admit("dan"), at=3)
    assert "dan" in story.names() and story.now().verdicts[at_once].effective
    head = story.does("bea", [head], announce("bea"), at=4)
    head = story.does("cay", [head], announce("cay"), at=4)
    assert story.now().policy == wanted
    head = story.does("ann", [head], admit("eve"), at=4)
    assert "eve" not in story.names() and len(story.now().open_proposals()) == 1


def test_a_policy_that_this_node_has_not_lets_nothing_pass_and_says_so() -> None:
    story = Story()
    head = story.begin(["ann"])
    base = story.now().policy
    assert base is not None
    other = type(base)(name="k_of_n", version=1, digest=b"another source".ljust(32), parameters=())
    head = story.does("ann", [head], PolicyBallot(base=base.digest, policy=other), at=1)
    head = story.does("ann", [head], announce("ann"), at=2)
    fold = story.folded()
    assert fold.state().policy == other and fold.rules() is None
    ruling = fold.may(member("ann"), admit("eve"))
    assert isinstance(ruling, Deny) and "install it" in ruling.reason
    assert not isinstance(fold.may(member("ann"), Leave(cut_off=())), Allow)


# -- policies of others -----------------------------------------------------------------------------------------


class Broken(Rules):
    """Fails in one way or another."""

    name = "broken"

    def rule(self, state: MembershipState, author: MemberId, action: Action) -> Ruling:
        """By the target's role."""
        if isinstance(action, SetRole):
            while True:
                pass
        if isinstance(action, Remove):
            return None  # type: ignore[return-value]
        if isinstance(action, Admit) and action.role is Role.READER:
            return Needs(5, frozenset({author}))
        if isinstance(action, Admit):
            raise KeyError(author)
        return super().rule(state, author, action)


@pytest.mark.parametrize("action", [promote("ann"), remove("ann"), admit("eve"), admit("eve", Role.READER)])
def test_whatever_a_policy_does_wrong_denies(action: Action) -> None:
    policies = Policies().with_offers([Offer(Broken, bytes(32))])
    story = Story(policy="broken", policies=policies)
    head = story.found("ann")
    failed = story.does("ann", [head], action)
    assert story.now().verdicts[failed] in (Verdict.VOID_POLICY_ERROR, Verdict.VOID_ROLE)
    tracing = sys.gettrace()
    assert bounded(Broken()).may(story.now(), member("ann"), Leave(cut_off=())) is not None
    assert sys.gettrace() is tracing


def test_a_context_founded_under_another_text_of_a_policy_is_refused_with_both_hashes() -> None:
    policies = Policies()
    settings = policies.settings("k_of_n", {"policy.k": 3, "implicit": "deny"})
    assert settings["policy.k"] == 3 and settings["policy.expiry"] == 10
    history = History()
    history.found("ann")
    founding = history.ops[0].action
    assert isinstance(founding, Genesis)
    named = replace(founding, policy="k_of_n", settings=tuple(sorted(settings.items())))
    assert policies.of(named).parameters == (("cool_down", 3), ("delay", 0), ("expiry", 10), ("k", 3))
    other = Policies({**SHIPPED, "k_of_n": Offer(SHIPPED["k_of_n"].kind, b"another text".ljust(32), own=True)})
    with pytest.raises(Refused) as refused:
        other.of(named)
    assert refused.value.code == "policy_differs"
    assert str(settings["policy.hash"])[:16] in str(refused.value)


def test_parameters_are_checked_and_names_are_taken_once() -> None:
    with pytest.raises(Refused, match="no such parameter"):
        Policies().make("k_of_n", [("n", 3)])
    with pytest.raises(Refused, match="no membership policy"):
        Policies().make("mob")
    with pytest.raises(Refused, match="two membership policies"):
        Policies().with_offers([Offer(SHIPPED["founder"].kind, bytes(32))])
