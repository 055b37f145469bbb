"""Verdicts of data operations: membership, key and role in the author's own past; cut-offs and forks on top."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from medsync_protocol.actions import Admit, Leave, Remove, Rotate, SetRole
from medsync_protocol.chains import Chains, Slot
from medsync_protocol.ids import NOTHING_SEEN, ChainId, ContextId, KeyId, NetworkId, OpId, Seen
from medsync_protocol.kinds import OpKind, Plane, Role, Verdict
from medsync_protocol.operation import NO_OP, Header
from medsync_protocol.verdicts import Judge
from tests.protocol.histories import History, card, chain, member, rotation


@dataclass
class Desk:
    """A membership history and data operations that cite it."""

    history: History = field(default_factory=History)
    chains: Chains = field(default_factory=Chains)
    places: list[tuple[ChainId, int, Slot]] = field(default_factory=list)

    def write(
        self, name: str, heads: list[OpId], key_id: KeyId | None = None, seen: Seen = NOTHING_SEEN
    ) -> int:
        """`name` writes a data operation, knowing `heads`, under the key usable there; its number."""
        used = key_id or self.history.fold().state_at(heads).usable_key()
        assert used is not None
        of = chain(name)
        seq = self.chains.next_seq(of)
        header = Header(
            network=NetworkId(b"N" * 32), context=ContextId(b"C" * 32), plane=Plane.DATA, chain=of, seq=seq,
            prev=self.chains.head(of) if seq else NO_OP, membership_heads=tuple(heads), seen_k=seen[0], seen_root=seen[1],
            key_id=used, hlc=seq, kind=OpKind.BATCH, entries_root=bytes(32), count=1,
        )  # fmt: skip
        slot = self.chains.append(OpId(bytes([len(self.places)]) * 32), header)
        self.places.append((of, seq, slot))
        return len(self.places) - 1

    def verdicts(self, final: Mapping[OpId, Verdict] | None = None) -> list[Verdict]:
        """Of all, in the order of writing; `final` by checkpoint 1."""
        fold = self.history.fold()
        if final is not None:
            fold.freeze(1, b"C" * 32, final)
        judge = Judge(fold, self.chains)
        return [judge.judge(*place)[0] for place in self.places]


def test_members_write_under_the_usable_key_and_readers_and_strangers_do_not() -> None:
    desk = Desk()
    head = desk.history.found("ann", members=["bea"], readers=["cay"])
    key = desk.history.state().usable_key()
    for name in ("ann", "bea", "cay", "eve"):
        desk.write(name, [head], key)
    desk.write("ann", [head], KeyId(b"unknown key, thirty-two bytes...."[:32]))
    assert desk.verdicts() == [
        Verdict.EFFECTIVE, Verdict.EFFECTIVE, Verdict.VOID_ROLE, Verdict.VOID_NOT_A_MEMBER, Verdict.VOID_KEY
    ]  # fmt: skip


def test_beyond_the_cut_off_of_a_removal_it_did_not_know_a_members_word_is_void() -> None:
    desk = Desk()
    head = desk.history.found("ann", members=["bea"])
    for _ in range(4):
        desk.write("bea", [head])
    removal = Remove(member=member("bea"), cut_off=((chain("bea"), 2),), rotation=rotation(2, ["ann"]))
    after = desk.history.act("ann", [head], removal)
    desk.write("bea", [after])
    assert desk.verdicts() == [Verdict.EFFECTIVE] * 2 + [Verdict.VOID_AFTER_CUT_OFF] * 2 + [Verdict.VOID_NOT_A_MEMBER]


def test_of_two_removals_the_higher_cut_off_counts() -> None:
    desk = Desk()
    head = desk.history.found("ann", "dan", members=["bea"])
    for _ in range(4):
        desk.write("bea", [head])
    for author, upto in (("ann", 1), ("dan", 3)):
        removal = Remove(member=member("bea"), cut_off=((chain("bea"), upto),), rotation=rotation(2, ["ann", "dan"]))
        desk.history.act(author, [head], removal)
    assert desk.verdicts() == [Verdict.EFFECTIVE] * 3 + [Verdict.VOID_AFTER_CUT_OFF]


def test_what_someone_wrote_whose_admission_turned_out_void_is_void_too() -> None:
    """Bea, being removed, admits Eve beside that: in Eve's own past she was a member, but she never was one."""
    desk = Desk()
    head = desk.history.found("ann", "bea")
    key = desk.history.state().usable_key()
    assert key is not None
    brought = desk.history.act("bea", [head], Admit(card=card("eve"), role=Role.MEMBER, key_id=key, wrap=b"w"))
    desk.write("eve", [brought])
    assert desk.verdicts() == [Verdict.EFFECTIVE], "until the removal is here nobody can know"
    desk.history.act("ann", [head], Remove(member=member("bea"), cut_off=(), rotation=rotation(2, ["ann"])))
    assert desk.verdicts() == [Verdict.VOID_NOT_A_MEMBER]


def test_a_key_that_a_void_admission_handed_out_is_void_for_whoever_knew_and_is_to_be_replaced() -> None:
    """K2: Bea, demoted, admits Eve beside that. Eve was never a member, and has the key."""
    desk = Desk()
    head = desk.history.found("ann", "bea")
    key = desk.history.state().usable_key()
    assert key is not None
    demoted = desk.history.act("ann", [head], SetRole(member=member("bea"), role=Role.MEMBER, cut_off=()))
    desk.write("ann", [demoted], key)
    brought = desk.history.act("bea", [head], Admit(card=card("eve"), role=Role.MEMBER, key_id=key, wrap=b"w"))
    desk.write("ann", [demoted, brought], key)
    state = desk.history.state()
    assert state.usable_key() is None and state.rotation_owed() == (member("eve"),)
    fresh = rotation(2, ["ann", "bea"])
    rotated = desk.history.act("ann", [demoted, brought], Rotate(rotation=fresh))
    desk.write("ann", [rotated])
    assert desk.verdicts() == [Verdict.EFFECTIVE, Verdict.VOID_KEY, Verdict.EFFECTIVE]
    assert desk.history.state().usable_key() == fresh.key_id


def test_what_is_final_binds_who_took_it_for_void_and_lets_the_other_go_on() -> None:
    """Decision 13: rank would keep Ann, the chain accepted Bea's removal of her first."""
    desk = Desk()
    head = desk.history.found("ann", "bea")
    by_ann = desk.history.act("ann", [head], Remove(member=member("bea"), cut_off=(), rotation=rotation(2, ["ann"])))
    by_bea = desk.history.act("bea", [head], Remove(member=member("ann"), cut_off=(), rotation=rotation(2, ["bea"])))
    both, key = [by_ann, by_bea], rotation(2, ["bea"]).key_id
    desk.write("ann", both, rotation(2, ["ann"]).key_id)
    desk.write("bea", both, key)
    desk.write("bea", both, key, seen=(1, b"C" * 32))
    desk.write("bea", both, key, seen=(1, b"vanished block, thirty-two bytes"))
    assert desk.verdicts() == [Verdict.EFFECTIVE] + [Verdict.VOID_NOT_A_MEMBER] * 3
    final = {head: Verdict.EFFECTIVE, by_bea: Verdict.EFFECTIVE}
    assert desk.verdicts(final) == [
        Verdict.VOID_AFTER_CUT_OFF, Verdict.VOID_NOT_A_MEMBER, Verdict.EFFECTIVE, Verdict.VOID_NOT_A_MEMBER
    ]  # fmt: skip


def test_a_key_that_a_removed_member_holds_is_void_for_whoever_knew_of_the_removal() -> None:
    desk = Desk()
    head = desk.history.found("ann", members=["bea"])
    old = desk.history.state().usable_key()
    after = desk.history.act("ann", [head], Remove(member=member("bea"), cut_off=(), rotation=rotation(2, ["ann"])))
    desk.write("ann", [after], old)
    desk.write("ann", [head], old)
    assert desk.verdicts() == [Verdict.VOID_KEY, Verdict.EFFECTIVE]


def test_who_left_and_came_back_writes_again() -> None:
    desk = Desk()
    head = desk.history.found("ann", members=["bea"])
    desk.write("bea", [head])
    left = desk.history.act("bea", [head], Leave(cut_off=((chain("bea"), 1),)))
    rotated = desk.history.act("ann", [left], Rotate(rotation=rotation(2, ["ann"])))
    key = desk.history.state().usable_key()
    assert key is not None
    back = desk.history.act("ann", [rotated], Admit(card=card("bea"), role=Role.MEMBER, key_id=key, wrap=b"w"))
    desk.write("bea", [back])
    assert desk.verdicts() == [Verdict.EFFECTIVE] * 2


def test_a_demotion_to_reader_ends_writing_for_whoever_knows_of_it() -> None:
    desk = Desk()
    head = desk.history.found("ann", members=["bea"])
    demoted = desk.history.act("ann", [head], SetRole(member=member("bea"), role=Role.READER))
    desk.write("bea", [demoted])
    assert desk.verdicts() == [Verdict.VOID_ROLE]


def test_of_a_fork_nothing_counts_from_the_place_where_it_began() -> None:
    desk = Desk()
    head = desk.history.found("ann")
    for _ in range(3):
        desk.write("ann", [head])
    judge = Judge(desk.history.fold(), desk.chains)
    judge.forks[chain("ann")] = 1
    assert [judge.judge(*place)[0] for place in desk.places] == [Verdict.EFFECTIVE, Verdict.VOID_FORK, Verdict.VOID_FORK]
    assert [seq for _, seq, _, _ in judge.changed()] == [1, 2]
