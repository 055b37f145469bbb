"""What seeds of the simulator once found, made small."""

from __future__ import annotations

import pytest
from medsync_sim import run
from medsync_sim.steps import Step

UNHEARD = [
    Step(1_989, "cut", ("north",)), Step(2_786, "remove", ("north", "west")), Step(3_003, "remove", ("west", "north")),
]  # fmt: skip


def test_a_senior_admin_learns_that_its_removal_by_a_junior_is_final() -> None:
    assert not run("mutual-removal", seed=8, steps=UNHEARD, crypto="memoised").violations


@pytest.mark.parametrize("seed", [4, 7, 8])
def test_forks_stop_neither_checkpoints_nor_decisions(seed: int) -> None:
    """Candidates that a fork spoilt count against nobody; what a branch adds is no reason to wait for it."""
    assert not run("equivocating-author", seed=seed, crypto="memoised").violations


def test_checkpoints_go_on_after_every_proposer_had_bad_luck_twice() -> None:
    assert not run("rotten-disks", seed=6, crypto="memoised").violations


def test_who_is_back_in_reads_what_was_written_under_a_key_of_the_removal_that_turned_out_void() -> None:
    assert not run("mutual-removal", seed=14, crypto="memoised").violations


def test_who_has_not_heard_yet_that_a_removal_was_accepted_gives_its_key_to_nobody_it_removed() -> None:
    assert not run("reorg-after-freezing", seed=4, crypto="memoised").violations


@pytest.mark.parametrize("seed", [19, 206])
def test_whom_finality_kept_against_rank_writes_what_counts(seed: int) -> None:
    """Decision 13: the past of who knew the checkpoint holds its verdicts."""
    assert not run("mutual-removal", seed=seed, crypto="memoised").violations


def test_who_was_removed_for_good_is_bound_though_it_knew_the_removal_and_took_it_for_void() -> None:
    assert not run("backdated-duel", seed=113, crypto="memoised").violations


@pytest.mark.parametrize("seed", [5, 19, 36])
def test_whoever_holds_the_other_branch_takes_the_one_that_was_accepted(seed: int) -> None:
    """Decision 14; and a vote asks for nothing of a chain above a fork that was found since."""
    assert not run("equivocating-author", seed=seed, crypto="memoised").violations


@pytest.mark.parametrize("seed", [23, 34])
def test_who_comes_back_is_served_what_it_was_shown_as_hashes_while_it_was_out(seed: int) -> None:
    assert not run("removal-under-load", seed=seed, crypto="memoised").violations


def test_who_is_served_hashes_by_a_liar_gets_the_entries_from_others() -> None:
    """The planted twin shows that seed 10 is such a run: `medsync simulate bugs pruned-counts-as-read`."""
    assert not run("withholding", seed=10, crypto="memoised").violations
    assert run("withholding", seed=10, crypto="memoised", bug="pruned-counts-as-read").violations


def test_data_of_a_member_whose_admission_a_demotion_voids_is_judged_again() -> None:
    assert not run("demotion-race", seed=71, crypto="memoised").violations


def test_a_checkpoint_whose_block_vanished_is_known_when_it_is_posted_again() -> None:
    assert not run("bubble-cancellation", seed=301, crypto="memoised").violations


def test_who_was_admitted_in_a_race_pulls_the_key_to_write_under() -> None:
    assert not run("demotion-race", seed=329, crypto="memoised").violations


def test_a_backup_of_a_rotten_disk_takes_no_good_one_s_place() -> None:
    assert not run("rotten-disks", seed=1058, crypto="memoised").violations


def test_what_every_disk_lost_is_waited_for_and_said_to_be() -> None:
    """No protocol brings back what nobody holds: operations that rest on it wait, and finality does."""
    found = run("rotten-disks", seed=1258, crypto="memoised")
    assert not found.violations
    assert found.facts["operations lost on every disk"] and found.facts["checkpoint lost on every disk"] == 3


@pytest.mark.parametrize("seed", [99, 1026])
def test_who_is_out_by_what_a_stolen_device_did_learns_so(seed: int) -> None:
    """In a lost member's place it came and is out again; or by a removal that was held before the device was revoked."""
    assert not run("devices", seed=seed, crypto="memoised").violations


def test_a_disk_that_is_given_room_at_the_very_end_first_writes_what_waits() -> None:
    assert not run("bubble-cancellation", seed=2140, crypto="memoised").violations


def test_data_of_a_device_is_judged_again_when_what_certified_it_turns_out_void() -> None:
    assert not run("devices", seed=1143, crypto="memoised").violations


@pytest.mark.parametrize("seed", [3170, 3285])
def test_what_passes_by_votes_and_what_a_device_wrote_is_judged_alike_however_it_came(seed: int) -> None:
    """Who may vote hangs on revocations that its voters knew; data on what certified its device."""
    assert not run("devices", seed=seed, crypto="memoised", nodes=5).violations


def test_a_farewell_leaves_out_the_other_branch_of_a_fork() -> None:
    found = run("devices", seed=3206, crypto="memoised", nodes=5)  # too few are left for a quorum: more is not asked
    assert not [finding for finding in found.violations if finding.rule == "L0"]


def test_a_liar_s_word_that_an_entry_was_destroyed_counts_for_nothing_where_nothing_was_ordered() -> None:
    """Beside it an honest member's older word that it lacked the entry, too, had sufficed."""
    assert not run("withholding", seed=3074, crypto="memoised").violations


def test_a_key_made_by_who_knew_of_a_removal_is_not_given_to_the_removed_one_by_who_did_not() -> None:
    assert not run("devices", seed=3025, crypto="memoised").violations


def test_who_was_voted_in_by_a_voter_that_finality_put_out_learns_so() -> None:
    assert not run("devices", seed=3134, crypto="memoised").violations


@pytest.mark.parametrize("seed", [4114, 4403])
def test_who_says_that_it_destroyed_an_entry_is_not_asked_for_it_again(seed: int) -> None:
    """Asked again and again, two liars kept an entry, and a revocation, from who needed it."""
    assert not run("withholding", seed=seed, crypto="memoised").violations


def test_who_comes_into_a_context_after_a_fork_is_shown_both_branches() -> None:
    """What others wrote may cite the branch that it was not served: it waited for it for ever."""
    assert not run("devices", seed=6098, crypto="memoised").violations
