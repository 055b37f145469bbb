"""One statement after another: the anchor's rules, each with the reason it refuses by (STARKNET §2)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsync_protocol import statement as statements
from medsync_protocol.errors import Invalid, Malformed
from medsync_protocol.log import Log
from medsync_protocol.poseidon import FIELD_PRIME
from medsync_protocol.refusal import AnchorRefusal, Reason
from medsync_protocol.stark import CURVE_ORDER, public_key
from medsync_protocol.statement import Statement, Vote, cast_vote, members_hash, merge_votes, opening_statement, quorum
from medsync_protocol.transition import Anchor, AppendProof, check_checkpoint, check_recovery

ANCHOR = Anchor(chain_id=0x4D454453594E43, contract=0x1234)
NOW = 1_800_000_000
SECRETS = sorted(range(1000, 1008), key=public_key)
LOG = Log()
LOG.append(range(1, 30))


def voters(n: int) -> list[int]:
    """Keys of the first n secrets, ascending."""
    return [public_key(secret) for secret in SECRETS[:n]]


def step(n: int = 4, **changed: Any) -> dict[str, Any]:
    """A first checkpoint of n voters that holds; statement fields as changed."""
    members = voters(n)
    head = opening_statement(7, members)
    following = Statement(
        **{
            "context": 7, "k": 1, "prev": ANCHOR.digest(head), "members": head.members, "next_members": head.members,
            "consent_root": 5, "log_root": LOG.root(21), "log_size": 21, "reward_root": 0, "detail": 9, "not_before": NOW - 5,
            **changed,
        }
    )  # fmt: skip
    digest = ANCHOR.digest(following)
    return {
        "head": head, "following": following, "members": members, "next_members": (), "block_time": NOW,
        "votes": [cast_vote(digest, members, secret) for secret in SECRETS[: quorum(n)]],
        "append": AppendProof(old_peaks=(), nodes=tuple(LOG.append_proof(0, 21))),
    }  # fmt: skip


def refusal(checked: Any, **arguments: Any) -> Reason:
    """Why it is refused."""
    with pytest.raises(AnchorRefusal) as refused:
        checked(ANCHOR, **arguments)
    return refused.value.reason


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7])
def test_a_quorum_carries_a_statement_and_one_vote_less_does_not(n: int) -> None:
    good = step(n)
    assert check_checkpoint(ANCHOR, **good) == ANCHOR.digest(good["following"])
    assert refusal(check_checkpoint, **{**good, "votes": good["votes"][:-1]}) is Reason.BELOW_QUORUM


def test_a_second_checkpoint_extends_the_first() -> None:
    first = step()
    following = replace(
        first["following"], k=2, prev=ANCHOR.digest(first["following"]), log_root=LOG.root(29), log_size=29
    )
    digest = ANCHOR.digest(following)
    second = {
        **first, "head": first["following"], "following": following,
        "votes": [cast_vote(digest, first["members"], secret) for secret in SECRETS[:3]],
        "append": AppendProof(old_peaks=tuple(LOG.peaks(21)), nodes=tuple(LOG.append_proof(21, 29))),
    }  # fmt: skip
    assert check_checkpoint(ANCHOR, **second) == digest
    wrong_peaks = AppendProof(old_peaks=tuple(LOG.peaks(20)), nodes=second["append"].nodes)
    assert refusal(check_checkpoint, **{**second, "append": wrong_peaks}) is Reason.BAD_PEAKS


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"k": 2}, Reason.K_NOT_NEXT), ({"k": 0}, Reason.K_NOT_NEXT), ({"context": 8}, Reason.WRONG_PREV),
        ({"prev": 5}, Reason.WRONG_PREV), ({"members": 5}, Reason.WRONG_MEMBERS), ({"not_before": NOW + 1}, Reason.TOO_EARLY),
        ({"log_size": 0, "log_root": LOG.root(0)}, Reason.LOG_NOT_LARGER), ({"log_size": 2**32 + 1}, Reason.LOG_TOO_LARGE),
        ({"log_root": LOG.root(20)}, Reason.BAD_APPEND_PROOF), ({"log_size": 20}, Reason.BAD_APPEND_PROOF),
        ({"next_members": 5}, Reason.MEMBERS_SIZE),
    ],
)  # fmt: skip
def test_a_signed_statement_that_breaks_a_rule_is_refused_by_it(changed: dict[str, int], reason: Reason) -> None:
    assert refusal(check_checkpoint, **step(**changed)) is reason


def test_votes_are_ascending_known_in_range_and_for_this_statement() -> None:
    good = step()
    a, b, c = good["votes"]
    cases: list[tuple[list[Vote], Reason]] = [
        ([a, a, b], Reason.VOTES_NOT_ASCENDING), ([b, a, c], Reason.VOTES_NOT_ASCENDING),
        ([a, b, replace(c, index=4)], Reason.UNKNOWN_SIGNER), ([a, b, replace(c, index=3)], Reason.BAD_SIGNATURE),
        ([a, b, replace(c, r=0)], Reason.SIGNATURE_OUT_OF_RANGE), ([a, b, replace(c, s=CURVE_ORDER)], Reason.SIGNATURE_OUT_OF_RANGE),
        ([a, b, replace(c, s=c.s + 1)], Reason.BAD_SIGNATURE),
    ]  # fmt: skip
    for votes, reason in cases:
        assert refusal(check_checkpoint, **{**good, "votes": votes}) is reason
    foreign = step(not_before=NOW - 6)
    assert refusal(check_checkpoint, **{**good, "votes": foreign["votes"]}) is Reason.BAD_SIGNATURE


@pytest.mark.parametrize("other", [Anchor(chain_id=1, contract=0x1234), Anchor(chain_id=ANCHOR.chain_id, contract=1)])
def test_votes_for_one_chain_and_contract_count_at_no_other(other: Anchor) -> None:
    good = step()
    with pytest.raises(AnchorRefusal) as refused:
        check_checkpoint(other, **good)
    assert refused.value.reason is Reason.WRONG_PREV
    moved = {**good, "following": replace(good["following"], prev=other.digest(good["head"]))}
    with pytest.raises(AnchorRefusal) as refused:
        check_checkpoint(other, **moved)
    assert refused.value.reason is Reason.BAD_SIGNATURE


def test_a_new_list_is_shown_when_it_changes_and_only_then() -> None:
    new = voters(6)
    changing = step(next_members=members_hash(new))
    assert check_checkpoint(ANCHOR, **{**changing, "next_members": new})
    for listed in ((), voters(5)):
        with pytest.raises(AnchorRefusal):
            check_checkpoint(ANCHOR, **{**changing, "next_members": listed})
    assert refusal(check_checkpoint, **{**step(), "next_members": voters(4)}) is Reason.WRONG_NEXT_MEMBERS


def recovery(**changed: Any) -> dict[str, Any]:
    """A recovery from four voters to the first two, by a majority."""
    base = step()
    new = voters(2)
    head = base["head"]
    following = replace(head, k=1, prev=ANCHOR.digest(head), next_members=members_hash(new), not_before=NOW, **changed)
    digest = ANCHOR.digest(following)
    votes = [cast_vote(digest, base["members"], secret) for secret in SECRETS[:3]]
    return {"head": head, "following": following, "members": base["members"], "votes": votes, "next_members": new, "block_time": NOW}


def test_a_recovery_changes_the_list_and_nothing_else() -> None:
    good = recovery()
    assert check_recovery(ANCHOR, **good) == ANCHOR.digest(good["following"])
    assert refusal(check_recovery, **{**good, "votes": good["votes"][:2]}) is Reason.NOT_MAJORITY
    for name in ("consent_root", "log_root", "log_size", "reward_root", "detail"):
        assert refusal(check_recovery, **recovery(**{name: 1})) is Reason.RECOVERY_CHANGES_ROOTS
    assert refusal(check_recovery, **{**good, "next_members": voters(3)}) is Reason.WRONG_NEXT_MEMBERS


def test_votes_for_a_recovery_never_carry_a_checkpoint() -> None:
    good = recovery()
    arguments = {**good, "append": AppendProof(old_peaks=(), nodes=())}
    assert refusal(check_checkpoint, **arguments) is Reason.LOG_NOT_LARGER


def test_member_lists_ascend_and_are_neither_empty_nor_too_long() -> None:
    keys = voters(4)
    for bad, reason in [
        ([], Reason.MEMBERS_SIZE), (list(range(1, 252)), Reason.MEMBERS_SIZE), (keys[::-1], Reason.KEYS_NOT_ASCENDING),
        ([keys[0], keys[0]], Reason.KEYS_NOT_ASCENDING), ([0, *keys], Reason.KEYS_NOT_ASCENDING),
    ]:  # fmt: skip
        with pytest.raises(AnchorRefusal) as refused:
            members_hash(bad)
        assert refused.value.reason is reason
    assert members_hash(range(1, 251)) != members_hash(range(1, 250))


def test_every_field_of_a_statement_counts_in_its_digest() -> None:
    base = step()["following"]
    digests = {ANCHOR.digest(base)}
    for name in statements.FIELD_NAMES:
        digests.add(ANCHOR.digest(replace(base, **{name: getattr(base, name) + 1})))
    assert len(digests) == 1 + len(statements.FIELD_NAMES)


@given(st.lists(st.integers(-1, 2**256), max_size=13))
def test_felts_are_a_statement_or_a_vote_or_malformed(values: list[int]) -> None:
    for parse in (Statement.from_felts, Vote.from_felts):
        try:
            assert parse(values).to_felts() == values  # type: ignore[attr-defined]
        except Malformed:
            continue


def test_a_statement_survives_its_felts_and_fields_out_of_range_do_not() -> None:
    felts = step()["following"].to_felts()
    assert Statement.from_felts(felts).to_felts() == felts
    for at, name in enumerate(statements.FIELD_NAMES):
        too_large = 2**64 if name in ("k", "log_size", "not_before") else FIELD_PRIME
        for bad in (-1, too_large):
            with pytest.raises(Invalid):
                Statement.from_felts([*felts[:at], bad, *felts[at + 1 :]])


def test_of_two_votes_by_one_voter_the_first_stands() -> None:
    votes = [Vote(index=2, r=1, s=1), Vote(index=0, r=2, s=2), Vote(index=2, r=3, s=3)]
    assert merge_votes(votes) == [votes[1], votes[0]]


def test_a_stranger_cannot_vote() -> None:
    with pytest.raises(Malformed):
        cast_vote(5, voters(3), SECRETS[5])
