"""The membership fold over random histories: one result in any order, and what must hold of every result (S1, S2, S9)."""

from __future__ import annotations

import random
from functools import cache

import pytest

from medsync_protocol.actions import Action, Admit, DeviceRevoke, Genesis, Leave, Remove, Rotate, SetRole
from medsync_protocol.ids import MemberId, OpId, device_of
from medsync_protocol.kinds import Role, Verdict
from medsync_protocol.membership import MembershipFold, quorum
from medsync_protocol.policy import AnyAdmin
from tests.protocol.histories import History, Op, random_history

HISTORIES = 2_000
BLOCK = 100
blocks = pytest.mark.parametrize("block", range(HISTORIES // BLOCK))


def seeds(block: int) -> range:
    """Seeds of one block: a failure names few."""
    return range(block * BLOCK, (block + 1) * BLOCK)


@blocks
def test_any_order_with_repeats_gives_one_result(block: int) -> None:
    for seed in seeds(block):
        history = random_history(seed)
        rng = random.Random(seed)
        expected = history.state()
        for _ in range(2):
            fold = history.fold(history.shuffled(rng))
            state = fold.state()
            assert state.root() == expected.root(), f"seed {seed}"
            assert (state.verdicts, state.voters, state.invitations) == (expected.verdicts, expected.voters, expected.invitations)
            assert state.usable_key() == expected.usable_key()
            assert fold.heads() == history.fold().heads()


class Judged:
    """A history with its result and the questions that the rules ask of it."""

    def __init__(self, seed: int) -> None:
        self.history: History = random_history(seed)
        self.fold = self.history.fold()
        self.state = self.fold.state()
        self.authors = {op.op_id: self._author(op) for op in self.history.ops}
        self.pasts = {op.op_id: set(self.fold.closure(op.heads)) for op in self.history.ops}

    def effective(self) -> list[Op]:
        """Operations that count."""
        return [op for op in self.history.ops if self.state.verdicts[op.op_id].effective]

    def author(self, op: Op) -> MemberId | None:
        """Who wrote it, as far as it knew itself."""
        return self.authors[op.op_id]

    def _author(self, op: Op) -> MemberId | None:
        if isinstance(op.action, Genesis):
            return op.action.founder.member
        return self.fold.state_at(op.heads).devices.get(op.chain[:32])  # type: ignore[call-overload, no-any-return]

    def concurrent(self, a: OpId, b: OpId) -> bool:
        """Neither knew of the other."""
        return a != b and a not in self.pasts[b] and b not in self.pasts[a]

    def rank(self, op: Op) -> tuple[tuple[int, bytes], OpId]:
        """Who wins a mutual removal: the lower."""
        author = self.author(op)
        assert author is not None
        return AnyAdmin().rank(self.fold.state_at(op.heads), author), op.op_id


@cache
def judge(seed: int) -> Judged:
    """Judged once, asked by several."""
    return Judged(seed)


def target(action: Action) -> MemberId | None:
    """Whom it takes something from."""
    if isinstance(action, Remove) or (isinstance(action, SetRole) and action.role < Role.ADMIN):
        return action.member
    return None


def hits(removal: Action, action: Action, author: MemberId | None) -> bool:
    """Whether an effective removal voids a concurrent action of this author."""
    goal = target(removal)
    if isinstance(removal, SetRole):
        return author == goal and isinstance(action, (Admit, Remove, SetRole, Rotate))
    return author == goal or (isinstance(action, Admit) and action.card.member == goal)


def revokes(revocation: Action, op: Op) -> bool:
    """Whether the operation is by the device that was revoked."""
    return isinstance(revocation, DeviceRevoke) and device_of(op.chain) == revocation.device


@blocks
def test_what_counts_had_authority_and_no_removal_beside_it(block: int) -> None:
    for seed in seeds(block):
        judged = judge(seed)
        effective = judged.effective()
        removals = [op for op in effective if target(op.action) is not None]
        for op in effective:
            author = judged.author(op)
            assert author is not None, f"seed {seed}"
            if not isinstance(op.action, Genesis):
                past = judged.fold.state_at(op.heads)
                assert author in past.members
                if isinstance(op.action, (Admit, Remove, SetRole, Rotate)):
                    assert author in past.admins()
            for removal in removals:
                if judged.concurrent(op.op_id, removal.op_id) and hits(removal.action, op.action, author):
                    strikes = op in removals or isinstance(op.action, DeviceRevoke)
                    wins = strikes and judged.rank(op) < judged.rank(removal)
                    assert wins, f"seed {seed}: {type(op.action).__name__} stands beside its author's removal"


@blocks
def test_a_concurrent_removal_that_voids_is_itself_in_force(block: int) -> None:
    for seed in seeds(block):
        judged = judge(seed)
        removals = [op for op in judged.effective() if target(op.action) is not None]
        revoked = [op for op in judged.effective() if isinstance(op.action, DeviceRevoke)]
        for op in judged.history.ops:
            if judged.state.verdicts[op.op_id] is Verdict.VOID_CONCURRENT_REMOVAL:
                author = judged.author(op)
                assert any(
                    judged.concurrent(op.op_id, removal.op_id) and hits(removal.action, op.action, author)
                    for removal in removals
                ) or any(
                    judged.concurrent(op.op_id, one.op_id) and author == judged.author(one) and revokes(one.action, op)
                    for one in revoked
                ), f"seed {seed}: voided by nothing that counts"


@blocks
def test_nothing_of_a_revoked_device_counts_beside_its_revocation(block: int) -> None:
    for seed in seeds(block):
        judged = judge(seed)
        for one in judged.effective():
            if isinstance(one.action, DeviceRevoke):
                beside = [op for op in judged.effective() if revokes(one.action, op) and judged.concurrent(op.op_id, one.op_id)]
                of_author = [op for op in beside if judged.author(op) == judged.author(one)]
                assert not of_author, f"seed {seed}: {type(of_author[0].action).__name__} by a device that was revoked"


@blocks
def test_authority_is_never_rooted_in_what_is_void(block: int) -> None:
    """An admin's act that counts rests on an admission or promotion that counts, in its own past."""
    for seed in seeds(block):
        judged = judge(seed)
        effective = judged.effective()
        for op in effective:
            if isinstance(op.action, Genesis):
                continue
            author, past = judged.author(op), judged.pasts[op.op_id]
            admits = [g for g in effective if g.op_id in past and _admits(g.action, author)]
            assert admits, f"seed {seed}: {type(op.action).__name__} by somebody never admitted"
            if isinstance(op.action, (Admit, Remove, SetRole, Rotate)) and target(op.action) is None:
                raises = [g for g in effective if g.op_id in past and _makes_admin(g.action, author)]
                assert raises, f"seed {seed}: {type(op.action).__name__} by an admin never made one"


def _admits(action: Action, who: MemberId | None) -> bool:
    if isinstance(action, Genesis):
        return action.founder.member == who
    return isinstance(action, Admit) and action.card.member == who


def _makes_admin(action: Action, who: MemberId | None) -> bool:
    if isinstance(action, Genesis):
        return action.founder.member == who
    if isinstance(action, Admit):
        return action.card.member == who and action.role is Role.ADMIN
    return isinstance(action, SetRole) and action.member == who and action.role is Role.ADMIN


@blocks
def test_there_is_always_an_admin(block: int) -> None:
    for seed in seeds(block):
        assert random_history(seed).state().admins(), f"seed {seed}"


@blocks
def test_keys_to_write_under_are_held_by_members_only_and_invitations_serve_once(block: int) -> None:
    for seed in seeds(block):
        judged = judge(seed)
        state = judged.state
        key_id = state.usable_key()
        if key_id is not None:
            key = state.keys[key_id]
            assert {key.author, *key.recipients} <= set(state.members)
            assert state.may_write_under(key_id)
            assert all(other.epoch <= key.epoch for i, other in state.keys.items() if state.may_write_under(i))
        used: dict[bytes, MemberId] = {}
        for op in judged.effective():
            if isinstance(op.action, Admit) and op.action.invitation:
                assert used.setdefault(op.action.invitation, op.action.card.member) == op.action.card.member


@blocks
def test_voters_have_announced_their_keys_and_a_list_has_a_quorum(block: int) -> None:
    for seed in seeds(block):
        state = random_history(seed).state()
        for who, key in state.voters:
            assert state.voter_keys[who] == key
        assert 1 <= quorum(max(1, len(state.voters))) <= max(1, len(state.voters))


@blocks
def test_final_verdicts_stay_whatever_arrives_later(block: int) -> None:
    """S4: what was frozen at any moment is the same once everything is there."""
    for seed in seeds(block):
        history = random_history(seed)
        rng = random.Random(seed)
        order = history.shuffled(rng)
        cut = rng.randrange(1, len(order))
        fold = history.fold(order[:cut])
        frozen = dict(fold.state().verdicts)
        fold.freeze(1, bytes(32), frozen)
        for op in order[cut:]:
            fold.add(op.op_id, op.chain, op.heads, op.action)
            later = fold.state()
            assert {op_id: later.verdicts[op_id] for op_id in frozen} == frozen, f"seed {seed}"
        fold.thaw(1)
        assert fold.state().root() == history.state().root()


def test_leaving_is_in_the_histories_that_are_tried() -> None:
    kinds = {type(op.action) for seed in range(50) for op in random_history(seed).ops}
    assert {Leave, Remove, SetRole, Rotate, Admit} <= kinds
    assert isinstance(random_history(0).fold(), MembershipFold)
