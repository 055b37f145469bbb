"""Two members make different checkpoints of one cut: what each says of it, and the first operation they judge otherwise.

A root alone says that something differs. Whom to ask, and showing it, are inbox.py's and the node's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from medsync_protocol.candidate import Built, Plan
from medsync_protocol.codec import want_array, want_bytes
from medsync_protocol.errors import Malformed
from medsync_protocol.ids import ChainId, MemberId, OpId, short
from medsync_protocol.kinds import Verdict
from medsync_protocol.poseidon import felt_bytes

MAX_VERDICTS: Final = 65_536  # of operations since the last checkpoint; of a larger one nothing is said
MAX_KEPT: Final = 4  # differing candidates that are kept to be compared: two of two proposers
PARTS: Final = ("membership", "consents", "log", "rewards", "key", "policy", "voters")
"""What else than verdicts goes into a statement, in the order of an account."""


@dataclass(frozen=True, slots=True)
class Account:
    """What a member makes of a cut: a byte for each operation since the last checkpoint, by chain and seq, and the parts."""

    verdicts: bytes
    parts: tuple[bytes, ...]

    def fields(self) -> list[Any]:
        """In wire order."""
        return [self.verdicts, list(self.parts)]

    @staticmethod
    def parse(verdicts: Any, parts: Any) -> Account:
        """Raises Malformed."""
        told = want_bytes(verdicts, at_most=MAX_VERDICTS)
        if any(one not in Verdict._value2member_map_ for one in told):
            raise Malformed("a verdict of no known kind")
        return Account(told, tuple(want_bytes(part, 32) for part in want_array(parts, len(PARTS))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """By whose word, and where it begins: `place` and the two verdicts, or with equal verdicts the `part` that differs."""

    k: int
    member: MemberId
    place: tuple[ChainId, int, OpId] | None = None
    ours: Verdict | None = None
    theirs: Verdict | None = None
    part: str = ""

    def told(self, name: Callable[[MemberId], str] = short) -> str:
        """In words, for `status`; `name` says what a member is called."""
        if self.place is None or self.ours is None or self.theirs is None:
            return f"{name(self.member)} says of every operation what this node does; what differs is: {self.part}"
        chain, seq, op_id = self.place
        return (
            f"the first is operation {short(op_id)} ({short(chain)}, {seq}): {self.ours.name} here, "
            f"{self.theirs.name} at {name(self.member)}"
        )


def account_of(plan: Plan, built: Built) -> Account | None:
    """What this node makes of it; None for one that is too large to be told."""
    if len(plan.verdicts) > MAX_VERDICTS:
        return None
    statement = built.statement
    return Account(
        bytes(verdict for *_, verdict in plan.verdicts),
        (
            plan.membership_root, felt_bytes(statement.consent_root), felt_bytes(statement.log_root),
            plan.rewards.digest, plan.key_id, plan.policy_hash, felt_bytes(statement.next_members),
        ),
    )  # fmt: skip


def first_difference(plan: Plan, built: Built, theirs: Account, member: MemberId) -> Difference | None:
    """Where another member's account of the same cut leaves ours; None where it doesn't, or is of another length."""
    ours, k = account_of(plan, built), built.statement.k
    if ours is None or len(theirs.verdicts) != len(ours.verdicts):
        return None
    for (chain, seq, op_id, verdict), said in zip(plan.verdicts, theirs.verdicts, strict=True):
        if verdict != said:
            place = (chain, seq, op_id)
            return Difference(k=k, member=member, place=place, ours=verdict, theirs=Verdict(said))
    named: Sequence[str] = [name for name, a, b in zip(PARTS, ours.parts, theirs.parts, strict=True) if a != b]
    return Difference(k=k, member=member, part=named[0]) if named else None
