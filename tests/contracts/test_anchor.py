"""What the anchor accepts, stores and says, on its compiled code: checkpoints, member changes, recovery, the verifier."""

from __future__ import annotations

import pytest

from medsync_protocol import calldata
from medsync_protocol.anchor_abi import EVENTS
from medsync_protocol.refusal import Reason
from medsync_protocol.statement import quorum
from tests.contracts.anchored import CONTRACT, Anchored, Committee, opened
from tests.contracts.stage import Event, Reverted


def named(events: list[Event]) -> list[str]:
    names = {selector: name for name, selector in EVENTS.items()}
    return [names[event.keys[0]] for event in events]


def test_an_opened_context_stands_at_the_statement_that_everyone_computes() -> None:
    anchored = Anchored(verifier=0)
    answer = anchored.open()
    assert answer.data == [anchored.context]
    assert named(answer.events) == ["ContextOpened", "MembersChanged"]
    assert anchored.stored_head() == (0, anchored.anchor.digest(anchored.head))
    assert anchored.view("settings", [anchored.context]) == [0, anchored.recovery_delay]


def test_an_unknown_context_has_an_empty_head() -> None:
    anchored = Anchored()
    assert anchored.stored_head() == (0, 0)
    assert anchored.view("checkpoint", calldata.checkpoint(anchored.context, 1)) == [0]
    assert anchored.view("recovery", calldata.recovery(anchored.context)) == [0, 0]


def test_a_checkpoint_moves_the_head_and_is_emitted_in_full() -> None:
    anchored = opened()
    proposal = anchored.propose(consent_root=5, reward_root=6, detail=7)
    events = anchored.post(proposal).events
    digest = anchored.anchor.digest(proposal.following)
    assert anchored.stored_head() == (1, digest)
    posted, votes = events
    assert tuple(posted.keys) == (EVENTS["CheckpointPosted"], anchored.context, 1)
    assert tuple(posted.data) == (digest, *proposal.following.to_felts())
    assert tuple(votes.keys) == (EVENTS["Votes"], anchored.context, 1)
    assert list(votes.data) == [3, *(felt for vote in proposal.votes for felt in vote.to_felts())]


def test_a_checkpoint_costs_one_new_cell() -> None:
    anchored = opened()
    anchored.advance()
    before = set(anchored.stage.storage)
    anchored.advance()
    assert len(set(anchored.stage.storage) - before) == 1


def test_posting_the_same_statement_again_is_no_fault_and_changes_nothing() -> None:
    anchored = opened()
    first = anchored.advance()
    anchored.advance()
    before = dict(anchored.stage.storage)
    again = anchored.post(first)
    assert (again.data, again.events, anchored.stage.storage) == ([0], [], before)


def test_any_quorum_will_do_whoever_is_in_it() -> None:
    anchored = opened()
    proposal = anchored.propose()
    votes = anchored.committee.sign(anchored.anchor.digest(proposal.following), [0, 2, 3])
    assert anchored.post(proposal.but(votes=votes)).data == [1]


@pytest.mark.parametrize("voters", [1, 2, 3, 4, 5, 6, 7])
def test_the_quorum_is_the_protocols_and_no_vote_less(voters: int) -> None:
    anchored = opened(committee=Committee(voters))
    proposal = anchored.propose()
    assert len(proposal.votes) == quorum(voters)
    with pytest.raises(Reverted, match=Reason.BELOW_QUORUM):
        anchored.post(proposal.but(votes=proposal.votes[:-1]))
    assert anchored.post(proposal).data == [1]


def test_a_new_list_first_signs_the_next_statement() -> None:
    anchored = opened()
    successors = Committee(5, first=40)
    events = anchored.post(proposal := anchored.propose(following=successors)).events
    assert named(events) == ["CheckpointPosted", "Votes", "MembersChanged"]
    assert events[2].keys[2] == 2
    assert list(events[2].data) == [successors.hash, 5, *successors.keys]
    anchored.log.append((11, 12, 13))
    anchored.head = proposal.following
    with pytest.raises(Reverted, match=Reason.WRONG_MEMBERS):
        anchored.post(anchored.propose())
    anchored.committee = successors
    anchored.advance()
    assert anchored.stored_head()[0] == 2


def test_contexts_on_one_contract_do_not_touch_each_other() -> None:
    first = opened()
    second = opened(stage=first.stage, founder=2, committee=Committee(3, first=20))
    first.advance()
    assert second.stored_head()[0] == 0
    second.advance()
    second.advance()
    assert (first.stored_head()[0], second.stored_head()[0]) == (1, 2)


def test_the_largest_committee_fits_the_limits_of_calldata_and_events() -> None:
    anchored = opened(committee=Committee(250))
    proposal = anchored.propose(following=Committee(250, first=2))
    assert len(proposal.calldata()) < 5_000
    events = anchored.post(proposal).events
    assert named(events) == ["CheckpointPosted", "Votes", "Votes", "MembersChanged"]
    assert [event.data[0] for event in events[1:3]] == [96, 71]


# -- recovery -----------------------------------------------------------------------------------------------------


def test_a_majority_recovers_a_context_whose_quorum_is_gone() -> None:
    anchored = opened(committee=Committee(7))
    anchored.advance()
    survivors = Committee(4, first=1)
    proposal = anchored.propose_recovery(survivors)
    assert len(proposal.votes) == 4 < quorum(7)
    events = anchored.recover(proposal).events
    assert named(events) == ["RecoveryProposed", "Votes", "MembersChanged"]
    ready_at = anchored.stage.time + anchored.recovery_delay
    digest = anchored.anchor.digest(proposal.following)
    assert anchored.view("recovery", calldata.recovery(anchored.context)) == [digest, ready_at]
    assert anchored.stored_head()[0] == 1
    anchored.stage.time = ready_at
    assert named(anchored.execute(proposal.following).events) == ["RecoveryExecuted"]
    assert anchored.stored_head() == (2, digest)
    assert anchored.view("recovery", calldata.recovery(anchored.context)) == [0, 0]
    anchored.head, anchored.committee = proposal.following, survivors
    anchored.advance()
    assert anchored.stored_head()[0] == 3


def test_the_old_quorum_can_still_post_while_a_recovery_waits_and_thereby_voids_it() -> None:
    anchored = opened()
    proposal = anchored.propose_recovery(Committee(3))
    anchored.recover(proposal)
    anchored.advance()
    assert anchored.view("recovery", calldata.recovery(anchored.context)) == [0, 0]
    again = anchored.propose_recovery(Committee(3))
    anchored.recover(again)
    anchored.stage.time += anchored.recovery_delay
    anchored.execute(again.following)
    assert anchored.stored_head() == (2, anchored.anchor.digest(again.following))


def test_a_recovery_is_executed_once() -> None:
    anchored = opened()
    proposal = anchored.propose_recovery(Committee(3))
    anchored.recover(proposal)
    anchored.stage.time += anchored.recovery_delay
    anchored.execute(proposal.following)
    with pytest.raises(Reverted, match=Reason.K_NOT_NEXT):
        anchored.execute(proposal.following)


def test_votes_for_a_recovery_are_no_votes_for_a_checkpoint() -> None:
    anchored = opened(committee=Committee(1))
    with pytest.raises(Reverted, match=Reason.LOG_NOT_LARGER):
        anchored.post(anchored.propose_recovery(Committee(2)))


# -- the verifier -------------------------------------------------------------------------------------------------


def judged(limit: int) -> Anchored:
    anchored = Anchored(verifier=0xE71)
    anchored.stage.deploy("sample_verifier", 0xE71, [limit])
    anchored.open()
    return anchored


def test_a_verifier_that_agrees_lets_the_checkpoint_pass() -> None:
    anchored = judged(limit=3)
    answer = anchored.post(anchored.propose(leaves=[1, 2, 3]))
    assert (answer.data, answer.calls) == ([1], 1)


def test_a_verifier_is_shown_the_evidence() -> None:
    anchored = judged(limit=3)
    with pytest.raises(Reverted, match=Reason.TRANSITION_REFUSED):
        anchored.post(anchored.propose().but(evidence=[1]))


def test_no_quorum_overrules_the_verifier() -> None:
    anchored = judged(limit=2)
    proposal = anchored.propose(leaves=[1, 2, 3])
    everyone = anchored.committee.sign(anchored.anchor.digest(proposal.following), range(4))
    with pytest.raises(Reverted, match=Reason.TRANSITION_REFUSED):
        anchored.post(proposal.but(votes=everyone))
    assert anchored.stored_head()[0] == 0


def test_a_verifier_that_is_no_contract_stops_the_context_but_not_its_recovery() -> None:
    anchored = opened(verifier=0xDEAD)
    with pytest.raises(Reverted, match="not deployed"):
        anchored.post(anchored.propose())
    proposal = anchored.propose_recovery(Committee(3))
    anchored.recover(proposal)
    anchored.stage.time += anchored.recovery_delay
    anchored.execute(proposal.following)
    assert anchored.stored_head()[0] == 1


def test_nobody_can_call_what_is_not_in_the_interface() -> None:
    anchored = opened()
    for function in ("upgrade", "accept", "set_owner", "transfer_ownership"):
        with pytest.raises(Reverted, match="ENTRYPOINT_NOT_FOUND"):
            anchored.stage.call(CONTRACT, function)
