"""Each of the anchor's revert reasons by the one fault that it is for, on the compiled contract."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path

import pytest

from medsync_protocol import calldata, stark
from medsync_protocol.consent_map import ConsentMap, ConsentProof, Status, directive_key, pack_value
from medsync_protocol.ids import Instant
from medsync_protocol.log import EMPTY_LOG_ROOT, MAX_LOG_SIZE, log_root
from medsync_protocol.poseidon import Felt, pair
from medsync_protocol.refusal import Reason
from medsync_protocol.statement import Vote
from medsync_protocol.transition import MAX_RECOVERY_DELAY, MIN_RECOVERY_DELAY
from tests.contracts.anchored import CONTRACT, Anchored, Committee, opened
from tests.contracts.stage import Reverted

SOURCES = Path(__file__).parents[2] / "contracts" / "src"
COVERED: set[Reason] = set()

Fault = Callable[[Anchored], object]


def refuses(reason: Reason) -> Callable[[Fault], Callable[[], None]]:
    """The test commits one fault on an opened context with one checkpoint: `reason`, and nothing has changed."""
    COVERED.add(reason)

    def decorate(fault: Fault) -> Callable[[], None]:
        @wraps(fault)
        def test() -> None:
            anchored = opened()
            anchored.advance(consent_root=consents().root)
            before, events = dict(anchored.stage.storage), len(anchored.stage.events)
            with pytest.raises(Reverted) as refusal:
                fault(anchored)
            assert refusal.value.reason == reason
            if len(anchored.stage.events) == events:  # else the fault needed an accepted step before it
                assert anchored.stage.storage == before

        del test.__wrapped__  # pytest reads the parameters of what it wraps
        return test

    return decorate


def consents() -> ConsentMap:
    """Eight directives."""
    value = pack_value(Status.ACTIVE, Instant(1), None)
    return ConsentMap().put_many({directive_key(bytes([number]) * 32): value for number in range(8)})


def test_every_reason_of_the_contract_has_its_test_and_its_name_in_python() -> None:
    own = ("anchor", "votes", "log", "consent", "statement")
    text = "".join((SOURCES / f"{name}.cairo").read_text() for name in own)
    in_cairo = set(re.findall(r"(?:assert\(.*?,|expect\()\s*'([A-Z_]+)'", text, flags=re.DOTALL))
    assert in_cairo == {str(reason) for reason in Reason} == {str(reason) for reason in COVERED}


# -- opening ----------------------------------------------------------------------------------------------------


@refuses(Reason.CONTEXT_EXISTS)
def test_a_context_is_opened_once(anchored: Anchored) -> None:
    Anchored(stage=anchored.stage).open()


@refuses(Reason.RECOVERY_DELAY)
def test_a_recovery_delay_below_fourteen_days_is_refused(anchored: Anchored) -> None:
    Anchored(stage=anchored.stage, founder=2, recovery_delay=MIN_RECOVERY_DELAY - 1).open()


@refuses(Reason.RECOVERY_DELAY)
def test_a_recovery_delay_above_a_year_is_refused(anchored: Anchored) -> None:
    Anchored(stage=anchored.stage, founder=2, recovery_delay=MAX_RECOVERY_DELAY + 1).open()


@refuses(Reason.MEMBERS_SIZE)
def test_a_context_without_members_is_refused(anchored: Anchored) -> None:
    Anchored(stage=anchored.stage, founder=2).open(members=[])


@refuses(Reason.MEMBERS_SIZE)
def test_a_list_of_251_members_is_refused(anchored: Anchored) -> None:
    Anchored(stage=anchored.stage, founder=2).open(members=list(range(1, 252)))


@refuses(Reason.KEYS_NOT_ASCENDING)
def test_a_key_that_stands_twice_in_the_list_is_refused(anchored: Anchored) -> None:
    Anchored(stage=anchored.stage, founder=2).open(members=[5, 7, 7])


@refuses(Reason.KEYS_NOT_ASCENDING)
def test_a_list_out_of_order_is_refused(anchored: Anchored) -> None:
    Anchored(stage=anchored.stage, founder=2).open(members=[7, 5])


@refuses(Reason.KEYS_NOT_ASCENDING)
def test_zero_is_no_key(anchored: Anchored) -> None:
    Anchored(stage=anchored.stage, founder=2).open(members=[0, 5])


@refuses(Reason.BAD_SIGNATURE)
def test_only_the_founder_opens_a_context(anchored: Anchored) -> None:
    another = Anchored(stage=anchored.stage, founder=2)
    another.open(signature=stark.sign(another.context, 3))


@refuses(Reason.BAD_SIGNATURE)
def test_the_founder_signed_for_this_list_only(anchored: Anchored) -> None:
    Anchored(stage=anchored.stage, founder=2).open(members=Committee(5).keys)


@refuses(Reason.BAD_SIGNATURE)
def test_the_founder_signed_for_this_verifier_only(anchored: Anchored) -> None:
    Anchored(stage=anchored.stage, founder=2).open(verifier=0xE71)


# -- place in the chain of statements ---------------------------------------------------------------------------


@refuses(Reason.UNKNOWN_CONTEXT)
def test_a_context_that_nobody_opened_takes_no_checkpoint(anchored: Anchored) -> None:
    unopened = Anchored(stage=anchored.stage, founder=2)
    unopened.post(unopened.propose())


@refuses(Reason.K_TAKEN)
def test_another_statement_for_an_accepted_k_is_refused(anchored: Anchored) -> None:
    proposal = anchored.propose()
    anchored.post(anchored.resigned(proposal, k=1))


@refuses(Reason.K_NOT_NEXT)
def test_a_skipped_k_is_refused(anchored: Anchored) -> None:
    anchored.post(anchored.resigned(anchored.propose(), k=3))


@refuses(Reason.WRONG_PREV)
def test_a_statement_that_follows_another_is_refused(anchored: Anchored) -> None:
    anchored.post(anchored.resigned(anchored.propose(), prev=12345))


@refuses(Reason.WRONG_PREV)
def test_a_witness_that_is_not_the_head_is_refused(anchored: Anchored) -> None:
    proposal = anchored.propose()
    anchored.post(proposal.but(head=replace(proposal.head, log_size=2)))


@refuses(Reason.WRONG_PREV)
def test_a_statement_over_another_contexts_head_is_refused(anchored: Anchored) -> None:
    another = Anchored(stage=anchored.stage, founder=2)
    another.open()
    anchored.post(another.propose(context=anchored.context, k=2))


@refuses(Reason.WRONG_MEMBERS)
def test_a_list_that_is_not_the_announced_one_is_refused(anchored: Anchored) -> None:
    anchored.post(anchored.propose().but(members=Committee(5).keys))


@refuses(Reason.WRONG_MEMBERS)
def test_the_next_list_of_the_head_must_sign(anchored: Anchored) -> None:
    intruders = Committee(4, first=50)
    anchored.committee = intruders
    anchored.post(anchored.propose(members=intruders.hash))


@refuses(Reason.WRONG_NEXT_MEMBERS)
def test_a_new_list_must_be_shown_in_full(anchored: Anchored) -> None:
    anchored.post(anchored.propose(following=Committee(5)).but(next_members=Committee(6).keys))


@refuses(Reason.WRONG_NEXT_MEMBERS)
def test_a_list_without_a_change_is_refused(anchored: Anchored) -> None:
    anchored.post(anchored.propose().but(next_members=anchored.committee.keys))


@refuses(Reason.TOO_EARLY)
def test_a_statement_from_the_future_is_refused(anchored: Anchored) -> None:
    anchored.post(anchored.propose(not_before=anchored.stage.time + 1))


# -- votes --------------------------------------------------------------------------------------------------------


@refuses(Reason.BELOW_QUORUM)
def test_a_vote_short_of_the_quorum_is_refused(anchored: Anchored) -> None:
    proposal = anchored.propose()
    anchored.post(proposal.but(votes=proposal.votes[:-1]))


@refuses(Reason.VOTES_NOT_ASCENDING)
def test_a_doubled_signer_is_refused(anchored: Anchored) -> None:
    proposal = anchored.propose()
    anchored.post(proposal.but(votes=[proposal.votes[0], *proposal.votes[:2]]))


@refuses(Reason.VOTES_NOT_ASCENDING)
def test_a_signers_second_valid_signature_does_not_count_again(anchored: Anchored) -> None:
    proposal = anchored.propose()
    first, second, _ = proposal.votes
    mirrored = replace(second, s=stark.CURVE_ORDER - second.s)
    anchored.post(proposal.but(votes=[first, second, mirrored]))


@refuses(Reason.UNKNOWN_SIGNER)
def test_a_voter_beyond_the_list_is_refused(anchored: Anchored) -> None:
    proposal = anchored.propose()
    anchored.post(proposal.but(votes=[*proposal.votes[:2], replace(proposal.votes[2], index=4)]))


@pytest.mark.parametrize("field", ["r", "s"])
@pytest.mark.parametrize("value", [0, stark.CURVE_ORDER, stark.CURVE_ORDER + 1])
def test_r_and_s_outside_the_order_are_refused(field: str, value: int) -> None:
    anchored = opened()
    proposal = anchored.propose()
    spoilt = replace(proposal.votes[0], **{field: value})
    with pytest.raises(Reverted, match=Reason.SIGNATURE_OUT_OF_RANGE):
        anchored.post(proposal.but(votes=[spoilt, *proposal.votes[1:]]))


COVERED.add(Reason.SIGNATURE_OUT_OF_RANGE)


@refuses(Reason.BAD_SIGNATURE)
def test_a_vote_for_another_statement_is_refused(anchored: Anchored) -> None:
    proposal = anchored.propose()
    anchored.post(proposal.but(votes=anchored.propose(leaves=[99]).votes))


@refuses(Reason.BAD_SIGNATURE)
def test_a_vote_by_another_member_than_it_names_is_refused(anchored: Anchored) -> None:
    proposal = anchored.propose()
    first = proposal.votes[0]
    anchored.post(proposal.but(votes=[Vote(index=n, r=first.r, s=first.s) for n in range(3)]))


@refuses(Reason.BAD_SIGNATURE)
def test_a_vote_for_another_chain_is_refused(anchored: Anchored) -> None:
    proposal = anchored.propose()
    foreign = replace(anchored.anchor, chain_id=anchored.stage.chain_id + 1)
    anchored.post(proposal.but(votes=anchored.committee.sign(foreign.digest(proposal.following), range(3))))


@refuses(Reason.BAD_SIGNATURE)
def test_a_vote_for_another_contract_is_refused(anchored: Anchored) -> None:
    proposal = anchored.propose()
    foreign = replace(anchored.anchor, contract=CONTRACT + 1)
    anchored.post(proposal.but(votes=anchored.committee.sign(foreign.digest(proposal.following), range(3))))


# -- the log ------------------------------------------------------------------------------------------------------


@refuses(Reason.LOG_NOT_LARGER)
def test_a_log_that_did_not_grow_is_refused(anchored: Anchored) -> None:
    anchored.post(anchored.propose(leaves=[]))


@refuses(Reason.LOG_TOO_LARGE)
def test_a_log_beyond_two_to_the_32_is_refused(anchored: Anchored) -> None:
    anchored.post(anchored.resigned(anchored.propose(), log_size=MAX_LOG_SIZE + 1))


@refuses(Reason.BAD_PEAKS)
def test_peaks_that_are_not_the_old_logs_are_refused(anchored: Anchored) -> None:
    proposal = anchored.propose()
    peaks = (proposal.append.old_peaks[0], 4711)
    anchored.post(proposal.but(append=replace(proposal.append, old_peaks=peaks)))


@refuses(Reason.BAD_APPEND_PROOF)
def test_a_rewritten_log_is_refused(anchored: Anchored) -> None:
    rewritten = Anchored(stage=anchored.stage)
    rewritten.log.append([11, 99, 13])
    rewritten.head = anchored.head
    proposal = rewritten.propose()
    honest = anchored.propose()
    anchored.post(proposal.but(append=replace(proposal.append, old_peaks=honest.append.old_peaks)))


@refuses(Reason.BAD_APPEND_PROOF)
def test_an_append_proof_that_lacks_a_node_is_refused(anchored: Anchored) -> None:
    proposal = anchored.propose()
    anchored.post(proposal.but(append=replace(proposal.append, nodes=proposal.append.nodes[:-1])))


@refuses(Reason.BAD_APPEND_PROOF)
def test_an_append_proof_with_a_node_too_many_is_refused(anchored: Anchored) -> None:
    proposal = anchored.propose()
    anchored.post(proposal.but(append=replace(proposal.append, nodes=(*proposal.append.nodes, 1))))


@refuses(Reason.BAD_APPEND_PROOF)
def test_an_append_proof_to_another_root_is_refused(anchored: Anchored) -> None:
    anchored.post(anchored.resigned(anchored.propose(), log_root=EMPTY_LOG_ROOT))


# -- what is asked of an accepted statement ---------------------------------------------------------------------


@refuses(Reason.UNKNOWN_STATEMENT)
def test_a_statement_that_was_not_accepted_proves_nothing(anchored: Anchored) -> None:
    key = directive_key(bytes(32))
    statement = replace(anchored.head, consent_root=0)
    anchored.view("verify_consent", calldata.verify_consent(statement, key, ConsentMap().prove(key)))


@refuses(Reason.UNKNOWN_STATEMENT)
def test_history_that_never_was_holds_no_consent(anchored: Anchored) -> None:
    key, forged = directive_key(bytes(32)), replace(anchored.head, k=0, consent_root=0)
    anchored.view("verify_consent_at", calldata.verify_consent(forged, key, ConsentMap().prove(key)))


@refuses(Reason.UNKNOWN_STATEMENT)
def test_history_that_never_was_holds_no_entry(anchored: Anchored) -> None:
    forged = replace(anchored.head, log_size=1, log_root=log_root(1, [99]))
    anchored.view("verify_entry_at", calldata.verify_entry(forged, 0, 99, [99], []))


@refuses(Reason.UNKNOWN_STATEMENT)
def test_only_the_heads_log_is_asked_without_at(anchored: Anchored) -> None:
    old = anchored.head
    anchored.advance()
    arguments = calldata.verify_entry(old, 0, 11, anchored.log.peaks(3), anchored.log.path(0, 3))
    assert anchored.view("verify_entry_at", arguments) == [1]
    anchored.view("verify_entry", arguments)


@refuses(Reason.UNKNOWN_STATEMENT)
def test_yesterdays_statement_does_not_pass_for_the_head(anchored: Anchored) -> None:
    old, key = anchored.head, directive_key(bytes(32))
    anchored.advance(consent_root=0)
    arguments = calldata.verify_consent(old, key, consents().prove(key))
    assert anchored.view("verify_consent_at", arguments) == [1]
    anchored.view("verify_consent", arguments)


@refuses(Reason.UNKNOWN_STATEMENT)
def test_a_recovery_that_was_not_proposed_is_not_executed(anchored: Anchored) -> None:
    anchored.execute(anchored.propose_recovery(Committee(3)).following)


@refuses(Reason.UNKNOWN_STATEMENT)
def test_another_recovery_than_the_proposed_one_is_not_executed(anchored: Anchored) -> None:
    anchored.recover(anchored.propose_recovery(Committee(3)))
    anchored.stage.time += anchored.recovery_delay
    anchored.execute(anchored.propose_recovery(Committee(2)).following)


def _ask(anchored: Anchored, key: int, proof: ConsentProof) -> None:
    anchored.view("verify_consent", calldata.verify_consent(anchored.head, key, proof))


@refuses(Reason.BAD_PATH)
def test_a_path_deeper_than_the_map_is_refused(anchored: Anchored) -> None:
    _ask(anchored, 1, ConsentProof(siblings=(Felt(1),) * 129, terminal=None))


@refuses(Reason.BAD_PATH)
def test_an_index_beyond_the_log_is_refused(anchored: Anchored) -> None:
    arguments = calldata.verify_entry(anchored.head, 3, 13, anchored.log.peaks(), [])
    anchored.view("verify_entry", arguments)


@refuses(Reason.BAD_PATH)
def test_an_inner_node_does_not_pass_for_a_leaf(anchored: Anchored) -> None:
    arguments = calldata.verify_entry(anchored.head, 0, pair(11, 12), anchored.log.peaks(), [])
    anchored.view("verify_entry", arguments)


@refuses(Reason.BAD_PEAKS)
def test_an_entry_under_other_peaks_is_refused(anchored: Anchored) -> None:
    arguments = calldata.verify_entry(anchored.head, 0, 11, [1, 2], anchored.log.path(0))
    anchored.view("verify_entry", arguments)


@refuses(Reason.BAD_TERMINAL)
def test_a_leaf_off_the_keys_path_does_not_prove_absence(anchored: Anchored) -> None:
    present, other = directive_key(bytes(32)), directive_key(b"\x01" * 32)
    _ask(anchored, present, consents().prove(other))


@refuses(Reason.BAD_TERMINAL)
def test_a_terminal_without_a_value_is_refused(anchored: Anchored) -> None:
    _ask(anchored, 5, ConsentProof(siblings=(), terminal=(Felt(5), Felt(0))))


@refuses(Reason.NOT_UNDER_ROOT)
def test_a_value_that_is_not_in_the_map_is_refused(anchored: Anchored) -> None:
    key = directive_key(bytes(32))
    proof = consents().prove(key)
    assert proof.terminal is not None
    _ask(anchored, key, replace(proof, terminal=(key, Felt(proof.terminal[1] + 1))))


@refuses(Reason.NOT_UNDER_ROOT)
def test_a_present_key_is_not_proven_absent_by_an_empty_place(anchored: Anchored) -> None:
    key = directive_key(bytes(32))
    _ask(anchored, key, replace(consents().prove(key), terminal=None))


@refuses(Reason.NOT_UNDER_ROOT)
def test_a_leaf_that_is_not_in_the_log_is_refused(anchored: Anchored) -> None:
    arguments = calldata.verify_entry(anchored.head, 0, 12, anchored.log.peaks(), anchored.log.path(0))
    anchored.view("verify_entry", arguments)


# -- the verifier, and recovery -----------------------------------------------------------------------------------


@refuses(Reason.TRANSITION_REFUSED)
def test_a_verifier_that_says_no_stops_the_checkpoint(anchored: Anchored) -> None:
    verifier = anchored.stage.deploy("sample_verifier", 0xE71, [2])
    judged = Anchored(stage=anchored.stage, founder=2, verifier=verifier)
    judged.open()
    judged.post(judged.propose(leaves=[1, 2, 3]))


@refuses(Reason.NOT_MAJORITY)
def test_half_of_the_members_recover_nothing(anchored: Anchored) -> None:
    proposal = anchored.propose_recovery(Committee(3))
    anchored.recover(proposal.but(votes=proposal.votes[:-1]))


@refuses(Reason.RECOVERY_PENDING)
def test_a_second_recovery_waits_for_the_first(anchored: Anchored) -> None:
    anchored.recover(anchored.propose_recovery(Committee(3)))
    anchored.recover(anchored.propose_recovery(Committee(2)))


@refuses(Reason.RECOVERY_NOT_READY)
def test_a_recovery_waits_for_the_contexts_delay(anchored: Anchored) -> None:
    proposal = anchored.propose_recovery(Committee(3))
    anchored.recover(proposal)
    anchored.stage.time += anchored.recovery_delay - 1
    anchored.execute(proposal.following)


@pytest.mark.parametrize("field", ["consent_root", "log_root", "log_size", "reward_root", "detail"])
def test_a_recovery_changes_the_list_alone(field: str) -> None:
    anchored = opened()
    with pytest.raises(Reverted, match=Reason.RECOVERY_CHANGES_ROOTS):
        anchored.recover(anchored.propose_recovery(Committee(3), **{field: 7}))


COVERED.add(Reason.RECOVERY_CHANGES_ROOTS)


@refuses(Reason.WRONG_NEXT_MEMBERS)
def test_a_recovery_that_changes_nothing_is_refused(anchored: Anchored) -> None:
    anchored.recover(anchored.propose_recovery(anchored.committee))


@refuses(Reason.BAD_SIGNATURE)
def test_a_recoverys_votes_are_checked(anchored: Anchored) -> None:
    proposal = anchored.propose_recovery(Committee(3))
    anchored.recover(proposal.but(votes=anchored.propose().votes))


@refuses(Reason.K_NOT_NEXT)
def test_a_checkpoint_voids_a_pending_recovery(anchored: Anchored) -> None:
    proposal = anchored.propose_recovery(Committee(3))
    anchored.recover(proposal)
    anchored.advance()
    anchored.stage.time += anchored.recovery_delay
    anchored.execute(proposal.following)
