"""Does the simulator notice? The quick finds here; `medsync simulate bugs` hunts them all, the README has the table."""

from __future__ import annotations

import pytest
from medsync_protocol.errors import Refused
from medsync_protocol.verdicts import Judge
from medsync_sim.bugs import BUGS, bug_named, planted
from medsync_sim.hunting import hunt

QUICK = (
    "send-before-commit", "no-crc", "seq-reuse", "checkpoint-not-kept", "arrival-order", "no-cut-off", "cut-off-low",
    "cut-off-popped", "not-frozen", "removed-gets-key", "sybil-votes", "rootless", "frozen-when-signed",
    "cut-not-growing", "small-quorum", "revocation-loses", "all-before-ignored", "own-recipient", "anybody-grants",
    "erase-before-settled", "one-custodian", "order-not-reapplied", "revoked-device-counts", "revoked-device-acts", "repeats-earn",
)  # fmt: skip


@pytest.mark.parametrize("name", QUICK)
def test_a_planted_bug_is_found_within_four_seeds(name: str) -> None:
    assert hunt(name, 4).found


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(set(BUGS) - set(QUICK)))
def test_a_rarer_one_is_found_within_two_thousand(name: str) -> None:
    assert hunt(name, 2_000).found


def test_there_are_at_least_eighteen_and_none_stays_behind() -> None:
    assert len(BUGS) >= 18
    before = Judge._cut_off
    with planted("no-cut-off"):
        assert Judge._cut_off is not before
    assert Judge._cut_off is before


def test_a_bug_that_there_is_none_of_is_refused() -> None:
    with pytest.raises(Refused):
        bug_named("none")
