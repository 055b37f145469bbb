"""Verdicts of data operations: what the set of operations says of each (PROTOCOL §§2–4).

Of its author's authority only the operation's own causal past decides, with the final verdicts that the author knew;
forks and cut-offs of removals come on top.
Membership operations are judged by membership.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from medsync_protocol.chains import Chains, Slot
from medsync_protocol.ids import ChainId, DeviceId, KeyId, MemberId, OpId, Seen, device_of
from medsync_protocol.kinds import Plane, Role, Verdict
from medsync_protocol.membership import MembershipFold, MembershipState, Removed

NOBODY: Final = MemberId(bytes(32))


class Judge:
    """Judges the data operations of one context. `forks`: chain → first seq that was signed twice."""

    def __init__(self, fold: MembershipFold, chains: Chains) -> None:
        self._fold = fold
        self._chains = chains
        self._base: dict[tuple[tuple[OpId, ...], Seen, DeviceId, KeyId], tuple[Verdict, MemberId]] = {}
        self.forks: dict[ChainId, int] = {}

    def author(self, chain: ChainId, heads: tuple[OpId, ...], seen: Seen) -> MemberId:
        """The member whose device writes this chain, as one with these heads and this checkpoint knew; NOBODY when none."""
        return self._fold.state_at(heads, seen).devices.get(device_of(chain), NOBODY)

    def forget(self) -> None:
        """What is final is another now: what pasts said may be, too."""
        self._base.clear()

    def judge(self, chain: ChainId, seq: int, slot: Slot) -> tuple[Verdict, MemberId]:
        """(verdict, author) of a held data operation, by everything held."""
        verdict, author = self._of_past(chain, slot)
        if slot.final:
            return slot.verdict, author
        return self._under(chain, seq, slot, verdict, author, self._fold.state()), author

    def judge_at(
        self, chain: ChainId, seq: int, slot: Slot, state: MembershipState, *, fork_known: bool = True
    ) -> Verdict:
        """The verdict by what `state` was made of, for instance everything below a cut."""
        verdict, author = self._of_past(chain, slot)
        return self._under(chain, seq, slot, verdict, author, state, fork_known=fork_known)

    def changed(self) -> Iterator[tuple[ChainId, int, Slot, Verdict]]:
        """Held data operations that are not final and whose verdict is another now."""
        for chain, seq, slot in self._chains.open_slots():
            if slot.plane == Plane.DATA:
                verdict, _ = self.judge(chain, seq, slot)
                if verdict is not slot.verdict:
                    yield chain, seq, slot, verdict

    def forked(self, chain: ChainId, seq: int) -> bool:
        """Whether the operation is one of two on its place, or comes after such a pair."""
        return chain in self.forks and self.forks[chain] <= seq

    def _under(
        self, chain: ChainId, seq: int, slot: Slot, verdict: Verdict, author: MemberId, state: MembershipState,
        *, fork_known: bool = True,
    ) -> Verdict:  # fmt: skip
        if not verdict.effective:
            return verdict
        if fork_known and self.forked(chain, seq) and not self._resumed(chain, seq, slot, state):
            return Verdict.VOID_FORK
        admissions = state.admissions.get(author, ())
        if not any(self._fold.in_past(op_id, slot.heads) for op_id in admissions):
            return Verdict.VOID_NOT_A_MEMBER  # what admitted it turned out void
        device = device_of(chain)
        if state.devices.get(device) != author and not any(
            self._fold.in_past(op_id, slot.heads) for op_id in state.certified.get(device, ())
        ):
            return Verdict.VOID_NOT_A_MEMBER  # what certified its device turned out void
        return Verdict.VOID_AFTER_CUT_OFF if self._cut_off(chain, seq, slot, author, state) else verdict

    def _resumed(self, chain: ChainId, seq: int, slot: Slot, state: MembershipState) -> bool:
        """Whether a vote let the forked chain go on from here or before, and the operation knows it (PROTOCOL §3.6)."""
        return any(
            seq >= resumed.seq and self._fold.in_past(resumed.op_id, slot.heads)
            for resumed in state.resumed.get(chain, ())
        )

    def _of_past(self, chain: ChainId, slot: Slot) -> tuple[Verdict, MemberId]:
        key = (slot.heads, slot.seen, device_of(chain), slot.key_id)
        base = self._base.get(key)
        if base is None:
            base = self._base[key] = self._judge_past(chain, slot)
        return base

    def _judge_past(self, chain: ChainId, slot: Slot) -> tuple[Verdict, MemberId]:
        past = self._fold.state_at(slot.heads, slot.seen)
        author = past.devices.get(device_of(chain), NOBODY)
        standing = past.members.get(author)
        if standing is None:
            return Verdict.VOID_NOT_A_MEMBER, author
        if standing.role < Role.MEMBER:
            return Verdict.VOID_ROLE, author
        return (Verdict.EFFECTIVE if past.may_write_under(slot.key_id) else Verdict.VOID_KEY), author

    def _cut_off(
        self, chain: ChainId, seq: int, slot: Slot, author: MemberId, state: MembershipState
    ) -> bool:
        """Of several removals that the operation doesn't answer, the highest cut-off counts (PROTOCOL §3.3)."""
        bound = [
            removed
            for removed in state.removed
            if removed.member == author
            and removed.device in (None, device_of(chain))
            and self._binds(removed, author, slot, state)
        ]
        return bool(bound) and not any(removed.stands(chain, seq) for removed in bound)

    def _binds(self, removed: Removed, author: MemberId, slot: Slot, state: MembershipState) -> bool:
        """Whether nothing lets the operation count beside the removal: it did not know it, or no admission came after it.

        Who knew of a removal and thought it void, before a checkpoint made it final, is bound by it like everybody.
        """
        if removed.forward and not self._fold.is_final(removed):
            return False
        if not self._fold.knew(removed, slot.heads):
            return True
        if removed.device is not None:
            return False
        again = (a for a in state.admissions.get(author, ()) if self._fold.in_past(a, slot.heads))
        return not any(self._fold.knew(removed, (admission,)) for admission in again)
