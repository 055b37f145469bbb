"""Planted bugs of checkpoints and sync."""

from __future__ import annotations

from typing import Any, Final

from medsync_protocol import checkpoints, sync
from medsync_protocol.acceptance import Acceptance
from medsync_protocol.checkpoints import Checkpoints
from medsync_protocol.held import Held
from medsync_protocol.routine import Routine
from medsync_protocol.statement import cast_vote
from medsync_sim.bugs.planting import Patch, PlantedBug


def _frozen_when_signed() -> list[Patch]:
    signed = Checkpoints._signed

    def hasty(self: Checkpoints, tally: Any, vote: Any) -> Any:
        effects = signed(self, tally, vote)
        if any(getattr(effect, "what", "") == "signed" for effect in effects) and tally.plan.head == self.acceptance.head.statement:
            effects += self.observe(tally.candidate.statement.k, tally.built.digest, True)
        return effects

    return [(Checkpoints, "_signed", hasty)]


def _cut_does_not_grow() -> list[Patch]:
    closed = Acceptance.closed

    def short(self: Acceptance) -> Any:
        found, before = closed(self), self.head.cut.vector
        last = max(found, default=None)
        return {chain: before.get(chain, 0) if chain == last else count for chain, count in found.items() if chain != last or chain in before}

    return [(Acceptance, "closed", short)]


def _votes_for_anything() -> list[Patch]:
    def vote(self: Checkpoints, tally: Any) -> Any:
        members = [key for _, key in self.acceptance.head.next_signers]
        return cast_vote(tally.built.digest, members, self._secret) if self.voter_key in members else None

    return [(Checkpoints, "_vote", vote)]


def _small_quorum() -> list[Patch]:
    return [(checkpoints, "quorum", lambda n: max(n // 2, 1))]


def _no_thaw() -> list[Patch]:
    return [(Acceptance, "retract", lambda self, k: [])]


def _one_candidate() -> list[Patch]:
    def turn(self: Checkpoints, now: int, since: int) -> bool:
        signers = [member for member, _ in self.acceptance.head.next_signers]
        return bool(signers) and self._replica.member == min(signers)

    return [(Checkpoints, "turn", turn)]


def _self_fulfilling() -> list[Patch]:
    return [(sync, "is_tentative", lambda replica, member: False)]


def _no_proof() -> list[Patch]:
    return [(Held, "proof_for", lambda self, replica, member: (0, {}))]


def _anchor_once() -> list[Patch]:
    return [(Routine, "_ask_anchors", lambda self, now, choose: [])]


def _spoilt_count() -> list[Patch]:
    def counted(self: Checkpoints, now: int, proposer: Any, name: bytes, cut: Any, spare: int = 0) -> bool:
        seen = self._proposed.setdefault(proposer, {})
        if name in seen or len(seen) >= checkpoints.MAX_CANDIDATES:
            return False
        seen[name] = cut
        return True

    return [(Checkpoints, "_counted", counted)]


def _no_renewal() -> list[Patch]:
    return [(checkpoints, "RENEW_MS", 1 << 50)]


PLANTED: Final = (
    PlantedBug(name="frozen-when-signed", about="Signed verdicts are called settled before any block.", scenario="reorg-after-freezing", patches=_frozen_when_signed),
    PlantedBug(name="cut-not-growing", about="No cut goes on with the last of the chains.", scenario="rotten-disks", patches=_cut_does_not_grow),
    PlantedBug(name="omits-held", about="Voters sign candidates that leave out what they held.", scenario="censoring-proposer", patches=_votes_for_anything),
    PlantedBug(name="small-quorum", about="Half of the voters are taken for a quorum.", scenario="faults", patches=_small_quorum),
    PlantedBug(name="no-thaw", about="A vanished block takes nothing back.", scenario="reorg-after-freezing", patches=_no_thaw),
    PlantedBug(name="one-proposer", about="Only one voter ever proposes.", scenario="lost-quorum", patches=_one_candidate),
    PlantedBug(name="removal-fulfils-itself", about="Who was put out is not heard before it is final (a real one).", scenario="reorg-after-freezing", patches=_self_fulfilling),
    PlantedBug(name="no-proof", about="Who is out is never shown the final proof (a real one).", scenario="mutual-removal", patches=_no_proof),
    PlantedBug(name="anchor-told-once", about="Nobody asks where a context is opened (a real one).", scenario="rotten-disks", patches=_anchor_once),
    PlantedBug(name="two-candidates", about="Two candidates per proposer and k, whatever happens (a real one).", scenario="rotten-disks", patches=_no_renewal),
    PlantedBug(name="spoilt-count", about="Candidates that a fork spoilt, and those of long ago, use up their proposer's two (a real one).", scenario="rotten-disks", patches=_spoilt_count),
)  # fmt: skip
