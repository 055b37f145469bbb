"""The rules of membership one by one, each as a small story (PROTOCOL §§1, 3, 4)."""

from __future__ import annotations

from itertools import permutations

import pytest

from medsync_protocol.actions import (
    Action, Admit, DeviceAdd, DeviceRevoke, Leave, Merge, Remove, Rotate, SetRole, Unknown, Unreadable,
)  # fmt: skip
from medsync_protocol.ids import KeyId, OpId
from medsync_protocol.kinds import Role, Verdict
from tests.protocol.histories import (
    History, announce, ballot, card, chain, device, member, rotation, voters,
)  # fmt: skip


def names(history: History) -> set[str]:
    """Current members."""
    return {held.name for held in history.state().members.values()}


def admins(history: History) -> set[str]:
    """Current admins."""
    return {held.name for held in history.state().members.values() if held.role is Role.ADMIN}


def remove(name: str, epoch: int = 2, staying: tuple[str, ...] = (), cut: int = 0) -> Remove:
    """A removal whose key goes to those who stay."""
    return Remove(member=member(name), cut_off=((chain(name), cut),) if cut else (), rotation=rotation(epoch, staying))


def admit(name: str, role: Role = Role.MEMBER, invitation: bytes = b"", key: KeyId | None = None) -> Admit:
    """An admission under the first key."""
    return Admit(card=card(name), role=role, key_id=key or KeyId(bytes(32)), wrap=b"w", invitation=invitation)


def promote(name: str) -> SetRole:
    """To admin."""
    return SetRole(member=member(name), role=Role.ADMIN)


def verdict(history: History, op_id: OpId) -> Verdict:
    """What everything held says of it, the same in every order of the last four."""
    answer = history.state().verdicts[op_id]
    start, last = history.ops[:-4], history.ops[-4:]
    for order in permutations(last):
        seen = {op.op_id for op in start}
        possible = all(set(op.heads) <= seen | {o.op_id for o in order[:at]} for at, op in enumerate(order))
        if possible:
            assert history.fold([*start, *order]).state().verdicts[op_id] is answer
    return answer


# -- authority --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", [admit("dan"), remove("bea"), promote("cay"), Rotate(rotation=rotation(2, ["ann"]))])
def test_only_admins_change_the_membership_and_the_keys(action: Action) -> None:
    for who, expected in [("ann", True), ("bea", False), ("cay", False), ("eve", False)]:
        history = History()
        head = history.found("ann", members=["bea"], readers=["cay"])
        assert verdict(history, history.act(who, [head], action)).effective is expected


def test_a_stranger_is_no_member_and_a_reader_announces_no_voter_key() -> None:
    history = History()
    head = history.found("ann", readers=["cay"])
    assert verdict(history, history.act("eve", [head], Merge())) is Verdict.VOID_NOT_A_MEMBER
    assert verdict(history, history.act("cay", [head], announce("cay"))) is Verdict.VOID_ROLE


def test_authority_is_judged_in_the_operations_own_past() -> None:
    history = History()
    head = history.found("ann", members=["bea"])
    history.act("ann", [head], promote("bea"))
    assert verdict(history, history.act("bea", [head], admit("dan"))) is Verdict.VOID_ROLE


def test_unknown_kinds_are_kept_and_fold_to_nothing_and_unreadable_ones_are_void() -> None:
    history = History()
    head = history.found("ann")
    before = history.state()
    unknown = history.act("ann", [head], Unknown(kind=4711))
    assert verdict(history, unknown).effective
    assert history.state().members == before.members
    assert verdict(history, history.act("ann", [unknown], Unreadable(kind=2))) is Verdict.VOID_MALFORMED


# -- removal ----------------------------------------------------------------------------------------------------


def test_an_effective_removal_voids_what_its_target_did_beside_it() -> None:
    history = History()
    head = history.found("ann", "bea", members=["cay"])
    removal = history.act("ann", [head], remove("bea", staying=("ann", "cay")))
    beside = history.act("bea", [head], admit("dan"))
    assert verdict(history, beside) is Verdict.VOID_CONCURRENT_REMOVAL
    assert verdict(history, removal).effective
    assert names(history) == {"ann", "cay"}


def test_a_concurrent_admission_does_not_bring_the_target_back() -> None:
    history = History()
    head = history.found("ann", "bea", members=["cay"])
    history.act("ann", [head], remove("cay", staying=("ann", "bea")))
    again = history.act("bea", [head], admit("cay"))
    assert verdict(history, again) is Verdict.VOID_CONCURRENT_REMOVAL
    knowing = history.act("bea", sorted(history.fold().heads()), admit("cay"))
    assert verdict(history, knowing).effective
    assert "cay" in names(history)


@pytest.mark.parametrize("ranks", [(1, 2), (2, 1)])
def test_of_two_who_remove_each_other_the_senior_stays(ranks: tuple[int, int]) -> None:
    history = History()
    head = history.found("ann", "bea", members=["cay"])
    by_senior = history.act("ann", [head], remove("bea", staying=("ann", "cay")), rank=ranks[0])
    by_junior = history.act("bea", [head], remove("ann", staying=("bea", "cay")), rank=ranks[1])
    assert verdict(history, by_senior).effective
    assert verdict(history, by_junior) is Verdict.VOID_CONCURRENT_REMOVAL
    assert names(history) == {"ann", "cay"}


def test_three_who_remove_one_another_in_a_ring_leave_somebody_and_contradict_nothing() -> None:
    history = History()
    head = history.found("ann", "bea", "cay")
    a = history.act("ann", [head], remove("bea", staying=("ann", "cay")))
    b = history.act("bea", [head], remove("cay", staying=("ann", "bea")))
    c = history.act("cay", [head], remove("ann", staying=("bea", "cay")))
    assert [verdict(history, op) for op in (a, b, c)] == [
        Verdict.EFFECTIVE, Verdict.VOID_CONCURRENT_REMOVAL, Verdict.EFFECTIVE
    ]  # fmt: skip
    assert names(history) == {"cay"}


def test_a_removed_admin_cannot_strike_back_by_proxy() -> None:
    """Bea, being removed, promotes Cay beside that, and Cay removes Ann: the promotion is void and so is all on it."""
    history = History()
    head = history.found("ann", "bea", members=["cay"])
    removal = history.act("ann", [head], remove("bea", staying=("ann", "cay")))
    promotion = history.act("bea", [head], promote("cay"))
    coup = history.act("cay", [promotion], remove("ann", staying=("bea", "cay")))
    sybil = history.act("cay", [promotion], admit("eve"))
    assert verdict(history, removal).effective
    assert verdict(history, promotion) is Verdict.VOID_CONCURRENT_REMOVAL
    assert verdict(history, coup) is Verdict.VOID_ROLE
    assert verdict(history, sybil) is Verdict.VOID_ROLE
    assert (names(history), admins(history)) == ({"ann", "cay"}, {"ann"})


def test_whoever_a_void_admission_brought_in_never_was_a_member() -> None:
    history = History()
    head = history.found("ann", "bea")
    history.act("ann", [head], remove("bea", staying=("ann",)))
    brought = history.act("bea", [head], admit("eve", Role.ADMIN))
    second = history.act("eve", [brought], admit("dan"))
    third = history.act("dan", [second], announce("dan"))
    for op in (second, third):
        assert verdict(history, op) is Verdict.VOID_NOT_A_MEMBER
    assert names(history) == {"ann"}


def test_one_promoted_again_by_a_void_operation_after_a_demotion_is_no_admin() -> None:
    history = History()
    head = history.found("ann", "bea", "cay")
    demoted = history.act("ann", [head], SetRole(member=member("cay"), role=Role.MEMBER))
    history.act("ann", [demoted], remove("bea", staying=("ann", "cay")))
    back = history.act("bea", [demoted], promote("cay"))
    assert verdict(history, history.act("cay", [back], admit("eve"))) is Verdict.VOID_ROLE


def test_a_demotion_voids_the_targets_concurrent_admin_acts_only() -> None:
    history = History()
    head = history.found("ann", "bea")
    history.act("ann", [head], SetRole(member=member("bea"), role=Role.MEMBER))
    as_admin = history.act("bea", [head], admit("eve"))
    as_member = history.act("bea", [head], announce("bea"))
    assert verdict(history, as_admin) is Verdict.VOID_CONCURRENT_REMOVAL
    assert verdict(history, as_member).effective
    assert admins(history) == {"ann"}


def test_a_removal_says_what_stands_of_each_chain() -> None:
    history = History()
    head = history.found("ann", "bea")
    history.act("ann", [head], remove("bea", staying=("ann",), cut=3))
    (removed,) = history.state().removed
    assert [removed.stands(chain("bea"), seq) for seq in (0, 2, 3)] == [True, True, False]
    assert not removed.stands(chain("bea", 1), 0), "a chain that is not named stands at nothing"


def test_a_device_that_is_revoked_takes_no_other_with_it() -> None:
    history = History()
    head = history.found("ann")
    added = history.act("ann", [head], DeviceAdd(member=member("ann"), device=device("ann", 1), certificate=bytes(64)))
    revoked = history.act("ann", [added], DeviceRevoke(device=device("ann", 1), cut_off=((chain("ann", 1), 2),)))
    state = history.state()
    assert set(state.devices) == {device("ann")} and "ann" in names(history)
    (removed,) = state.removed
    assert removed.stands(chain("ann"), 99) and removed.stands(chain("ann", 1), 1) and not removed.stands(chain("ann", 1), 2)
    assert verdict(history, history.act("ann", [revoked], Merge(), number=1)) is Verdict.VOID_NOT_A_MEMBER


def test_what_a_stolen_device_does_beside_its_revocation_is_void_and_what_it_certifies_too() -> None:
    history = History()
    head = history.found("ann", "bea")
    added = history.act("ann", [head], DeviceAdd(member=member("ann"), device=device("ann", 1), certificate=bytes(64)))
    history.act("ann", [added], DeviceRevoke(device=device("ann", 1), cut_off=()))
    further = DeviceAdd(member=member("ann"), device=device("ann", 2), certificate=bytes(64))
    another = history.act("ann", [added], further, number=1)
    stolen = [
        history.act("ann", [added], remove("bea", staying=("ann",)), number=1), another,
        history.act("ann", [another], Leave(cut_off=()), number=2),
    ]  # fmt: skip
    assert not any(verdict(history, one).effective for one in stolen)
    assert names(history) >= {"ann", "bea"} and set(history.state().devices) == {device("ann"), device("bea")}


def test_of_one_author_the_revocation_of_a_device_is_judged_first() -> None:
    for rank in (0, 255):
        history = History()
        head = history.found("ann", "bea")
        added = history.act("ann", [head], DeviceAdd(member=member("ann"), device=device("ann", 1), certificate=bytes(64)))
        revoked = history.act("ann", [added], DeviceRevoke(device=device("ann", 1), cut_off=()), rank=rank)
        history.act("bea", [added], remove("ann", staying=("bea",)))
        stolen = history.act("ann", [added], remove("bea", staying=("ann",)), number=1, rank=128)
        assert verdict(history, revoked) is Verdict.VOID_CONCURRENT_REMOVAL or not verdict(history, stolen).effective


def test_the_last_admin_stays_beside_a_removal_that_is_final_and_was_written_later() -> None:
    history = History()
    head = history.found("ann", "bea", "cay")
    here = history.act("ann", [head], Merge())
    beside = history.act("ann", [head], remove("bea", staying=("ann", "cay")))
    final = history.act("ann", [here], remove("cay", staying=("ann", "bea")))
    left = history.act("ann", [here], Leave(cut_off=()), number=0, rank=1)
    fold = history.fold()
    fold.freeze(1, bytes(32), {op.op_id: Verdict.EFFECTIVE for op in history.ops if op.op_id != beside})
    state = fold.state()
    assert state.verdicts[final].effective and state.verdicts[left].effective
    assert state.verdicts[beside] is Verdict.VOID_LAST_ADMIN and state.admins() == {member("bea")}


def test_nobody_takes_anothers_device_over() -> None:
    history = History()
    head = history.found("ann", "bea")
    thief = card("eve")
    stolen = type(thief)(
        member=thief.member, device=device("ann"), certificate=thief.certificate, sealing_key=thief.sealing_key, name="eve"
    )
    history.act("bea", [head], Admit(card=stolen, role=Role.MEMBER, key_id=KeyId(bytes(32)), wrap=b"w"))
    assert history.state().devices[device("ann")] == member("ann")
    history.act("bea", [head], DeviceAdd(member=member("bea"), device=device("ann"), certificate=bytes(64)))
    assert history.state().devices[device("ann")] == member("ann")


# -- the last admin ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", [Leave(cut_off=()), remove("ann"), SetRole(member=member("ann"), role=Role.MEMBER)])
def test_the_last_admin_cannot_go(action: Action) -> None:
    history = History()
    head = history.found("ann", members=["bea"])
    assert verdict(history, history.act("ann", [head], action)) is Verdict.VOID_ROLE
    assert admins(history) == {"ann"}


@pytest.mark.parametrize("ranks", [(1, 2), (2, 1)])
def test_two_last_admins_who_leave_at_once_lose_nobody_the_last(ranks: tuple[int, int]) -> None:
    history = History()
    head = history.found("ann", "bea")
    leaves = [history.act(name, [head], Leave(cut_off=()), rank=rank) for name, rank in zip(("ann", "bea"), ranks, strict=True)]
    assert sorted(verdict(history, leave) for leave in leaves) == [Verdict.EFFECTIVE, Verdict.VOID_LAST_ADMIN]
    assert len(admins(history)) == 1


def test_an_admin_who_removes_the_other_and_leaves_beside_it_from_a_second_device_stays() -> None:
    history = History()
    head = history.found("ann", "bea")
    added = history.act("ann", [head], DeviceAdd(member=member("ann"), device=device("ann", 1), certificate=bytes(64)))
    removal = history.act("ann", [added], remove("bea", staying=("ann",)))
    leave = history.act("ann", [added], Leave(cut_off=()), number=1)
    assert admins(history)
    assert {verdict(history, removal), verdict(history, leave)} == {Verdict.EFFECTIVE, Verdict.VOID_LAST_ADMIN}


# -- keys -------------------------------------------------------------------------------------------------------


def test_a_rotation_is_one_above_the_highest_epoch_of_its_past() -> None:
    history = History()
    head = history.found("ann", "bea")
    for epoch in (1, 3):
        wrong = history.act("ann", [head], Rotate(rotation=rotation(epoch, ["ann", "bea"], b"w")))
        assert verdict(history, wrong) is Verdict.VOID_EPOCH
    right = history.act("ann", [head], Rotate(rotation=rotation(2, ["ann", "bea"])))
    assert verdict(history, right).effective
    assert verdict(history, history.act("bea", [head], remove("ann", epoch=3))) is Verdict.VOID_EPOCH


def test_of_several_usable_keys_the_highest_epoch_counts_then_the_larger_id() -> None:
    history = History()
    head = history.found("ann", "bea")
    made = [rotation(2, ["ann", "bea"], bytes([n])) for n in range(3)]
    for each in made:
        history.act("bea", [head], Rotate(rotation=each))
    assert history.state().usable_key() == max(each.key_id for each in made)
    later = rotation(3, ["ann", "bea"])
    history.act("ann", sorted(history.fold().heads()), Rotate(rotation=later))
    assert history.state().usable_key() == later.key_id


def test_a_removed_admins_racing_rotation_is_no_key_to_write_under() -> None:
    history = History()
    head = history.found("ann", "bea", members=["cay"])
    removal = remove("bea", staying=("ann", "cay"))
    history.act("ann", [head], removal)
    for salt in range(8):  # whichever of the ids is larger
        history.act("bea", [head], Rotate(rotation=rotation(2, ["ann", "bea", "cay"], bytes([salt]))))
    assert history.state().usable_key() == removal.rotation.key_id


def test_a_key_whose_author_or_recipient_went_is_for_reading_only() -> None:
    history = History()
    head = history.found("ann", "bea", members=["cay"])
    first = history.state().usable_key()
    assert first is not None
    rotated = rotation(2, ["ann", "bea", "cay"])
    head = history.act("bea", [head], Rotate(rotation=rotated))
    assert history.state().usable_key() == rotated.key_id
    head = history.act("bea", [head], Leave(cut_off=()))
    state = history.state()
    assert not state.may_write_under(rotated.key_id), "its author is gone"
    assert not state.may_write_under(first), "a recipient is gone"
    assert state.usable_key() is None, "writing waits for an admin's rotation"
    history.act("ann", [head], Rotate(rotation=rotation(3, ["ann", "cay"])))
    assert history.state().usable_key() is not None


def test_a_newcomer_counts_among_the_recipients_of_the_key_it_was_given() -> None:
    history = History()
    head = history.found("ann")
    key = history.state().usable_key()
    assert key is not None
    head = history.act("ann", [head], admit("bea", key=key))
    assert member("bea") in history.state().keys[key].recipients
    history.act("ann", [head], Remove(member=member("bea"), cut_off=(), rotation=rotation(2, ["ann"])))
    assert not history.state().may_write_under(key)


# -- invitations ------------------------------------------------------------------------------------------------


def test_an_invitation_serves_one_member_once() -> None:
    history = History()
    head = history.found("ann", "bea")
    first = history.act("ann", [head], admit("cay", invitation=b"i"))
    after = history.act("ann", [first], admit("dan", invitation=b"i"))
    assert verdict(history, first).effective
    assert verdict(history, after) is Verdict.VOID_INVITATION


@pytest.mark.parametrize("ranks", [(1, 2), (2, 1)])
def test_used_twice_at_once_it_serves_one_and_the_other_never_was_a_member(ranks: tuple[int, int]) -> None:
    history = History()
    head = history.found("ann", "bea")
    one = history.act("ann", [head], admit("cay", Role.ADMIN, invitation=b"i"), rank=ranks[0])
    two = history.act("bea", [head], admit("dan", Role.ADMIN, invitation=b"i"), rank=ranks[1])
    follow = {one: history.act("cay", [one], admit("eve")), two: history.act("dan", [two], admit("eve"))}
    winner, loser = sorted((one, two))
    assert verdict(history, winner).effective and verdict(history, follow[winner]).effective
    assert verdict(history, loser) is Verdict.VOID_INVITATION
    assert verdict(history, follow[loser]) is Verdict.VOID_NOT_A_MEMBER


# -- voters -----------------------------------------------------------------------------------------------------


def electorate(*people: str) -> tuple[History, list[OpId]]:
    """Founded by Ann, everybody's key announced; the heads."""
    history = History()
    head = history.found(people[0], members=people[1:])
    for name in people:
        head = history.act(name, [head], announce(name))
    return history, [head]


def test_the_founder_makes_the_first_list_and_then_only_a_quorum_of_it_makes_the_next() -> None:
    history, heads = electorate("ann", "bea", "cay", "dan", "eve")
    history.act("bea", heads, ballot([], ["bea"]))
    assert history.state().voters == ()
    first = ["ann", "bea", "cay", "dan"]
    heads = [history.act("ann", heads, ballot([], first))]
    assert history.state().voters == voters(first)
    following = [*first, "eve"]
    for count, name in enumerate(first, start=1):  # q of 4 is 3
        heads = [history.act(name, heads, ballot(first, following))]
        assert history.state().voters == voters(following if count >= 3 else first)
    assert history.state().voter_digest() != History().state().voter_digest()


def test_no_number_of_admins_and_newcomers_moves_the_list() -> None:
    history, heads = electorate("ann", "bea", "cay")
    heads = [history.act("ann", heads, ballot([], ["ann", "bea", "cay"]))]
    heads = [history.act("ann", heads, promote("bea"))]
    for n in range(12):
        sybil = f"sybil {n}"
        heads = [history.act("bea", heads, admit(sybil))]
        heads = [history.act(sybil, heads, announce(sybil))]
        heads = [history.act(sybil, heads, ballot(["ann", "bea", "cay"], ["bea", sybil]))]
    history.act("bea", heads, ballot(["ann", "bea", "cay"], ["bea", "sybil 0"]))
    assert history.state().voters == voters(["ann", "bea", "cay"])


def test_a_list_with_a_key_that_nobody_announced_is_never_elected() -> None:
    history = History()
    head = history.found("ann", members=["bea"])
    head = history.act("ann", [head], announce("ann"))
    history.act("ann", [head], ballot([], ["ann", "bea"]))
    assert history.state().voters == ()


def test_removing_a_member_leaves_the_voters_as_they_are_until_they_vote() -> None:
    history, heads = electorate("ann", "bea", "cay")
    heads = [history.act("ann", heads, ballot([], ["ann", "bea", "cay"]))]
    heads = [history.act("ann", heads, remove("cay", staying=("ann", "bea")))]
    assert history.state().voters == voters(["ann", "bea", "cay"])
    for name in ("ann", "bea"):
        heads = [history.act(name, heads, ballot(["ann", "bea", "cay"], ["ann", "bea"]))]
    assert history.state().voters == voters(["ann", "bea"])


# -- heads ------------------------------------------------------------------------------------------------------


def test_heads_are_what_nothing_cites_and_a_merge_joins_them() -> None:
    history = History()
    head = history.found("ann")
    sides = sorted(history.act("ann", [head], Unknown(kind=1000 + n)) for n in range(12))
    assert list(history.fold().heads()) == sides
    low = history.act("ann", sides[:8], Merge())
    assert set(history.fold().heads()) == {low, *sides[8:]}
    fold = history.fold()
    assert fold.in_past(head, [low]) and not fold.in_past(low, [head])
    assert set(fold.closure([head])) == {op.op_id for op in history.ops[:1]}
