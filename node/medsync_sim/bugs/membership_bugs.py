"""Planted bugs of verdicts, cut-offs, keys, voters and forks."""

from __future__ import annotations

from typing import Any, Final

from medsync_protocol import governance, membership_judging
from medsync_protocol.chains import Chains
from medsync_protocol.crypto import blake2b
from medsync_protocol.kinds import Verdict
from medsync_protocol.membership import MembershipFold
from medsync_protocol.membership_draft import Draft
from medsync_protocol.membership_state import MembershipState, Removed
from medsync_protocol.verdicts import Judge
from medsync_sim.bugs.planting import Patch, PlantedBug


def _arrival_order() -> list[Patch]:
    return [(Judge, "changed", lambda self: iter(()))]


def _no_cut_off() -> list[Patch]:
    return [(Judge, "_cut_off", lambda self, *where: False)]


def _cut_off_low() -> list[Patch]:
    def stands(self: Removed, chain: Any, seq: int) -> bool:
        return any(named == chain and seq < upto - 1 for named, upto in self.cut_off)

    return [(Removed, "stands", stands)]


def _popped() -> list[Patch]:
    cut_off = Judge._cut_off

    def forgets(self: Judge, chain: Any, seq: int, slot: Any, author: Any, state: Any) -> bool:
        return author not in state.members and cut_off(self, chain, seq, slot, author, state)

    return [(Judge, "_cut_off", forgets)]


def _not_frozen() -> list[Patch]:
    return [(MembershipFold, "freeze", lambda self, k, root, verdicts: None), (Chains, "mark_final", lambda self, *where: None)]


def _not_in_pasts() -> list[Patch]:
    known = MembershipFold._known
    return [(MembershipFold, "_known", lambda self, seen: known(self, (0, bytes(32))))]


def _removed_gets_key() -> list[Patch]:
    rotation = governance._rotation

    def generous(replica: Any, entropy: Any, without: Any, **more: Any) -> Any:
        return rotation(replica, entropy, None, **more)

    return [(governance, "_rotation", generous)]


def _no_author_rule() -> list[Patch]:
    def may(self: MembershipState, key_id: Any) -> bool:
        return key_id in self.keys

    return [(MembershipState, "may_write_under", may)]


def _both_branches() -> list[Patch]:
    return [(Judge, "forked", lambda self, chain, seq: False)]


def _sybil_votes() -> list[Patch]:
    elect = Draft._elect

    def anybody(self: Draft) -> Any:
        if self.genesis is None:
            return ()
        most = [
            listed for cast in self.ballots.values() for listed, votes in cast.items() if len(votes) >= 3 and self._proven(listed)
        ]
        return min(most, key=lambda listed: blake2b(repr(listed).encode())) if most else elect(self)

    return [(Draft, "_elect", anybody)]


def _no_ranks() -> list[Patch]:
    return [(membership_judging.Roots, "missing", lambda self, node, author: None)]


def _no_authority() -> list[Patch]:
    authority = MembershipFold._authority

    def trusting(self: MembershipFold, *args: Any) -> Any:
        verdict, ruling = authority(self, *args)
        return (Verdict.EFFECTIVE if verdict is Verdict.VOID_ROLE else verdict), ruling

    return [(MembershipFold, "_authority", trusting), *_no_ranks()]


PLANTED: Final = (
    PlantedBug(name="arrival-order", about="A verdict stays as it was when the operation came.", scenario="removal-under-load", patches=_arrival_order),
    PlantedBug(name="no-cut-off", about="Removals cut nothing off.", scenario="removal-under-load", patches=_no_cut_off),
    PlantedBug(name="cut-off-low", about="A cut-off takes one operation more than it says.", scenario="removal-under-load", patches=_cut_off_low),
    PlantedBug(name="cut-off-popped", about="A re-admission forgets the cut-off before it.", scenario="readmission", patches=_popped),
    PlantedBug(name="not-frozen", about="Accepted verdicts are computed anew.", scenario="backdated-duel", patches=_not_frozen),
    PlantedBug(name="not-in-pasts", about="What is final doesn't reach into pasts: whom it kept writes void operations.", scenario="mutual-removal", patches=_not_in_pasts),
    PlantedBug(name="removed-gets-key", about="The rotation of a removal is boxed to the removed one, too.", scenario="removal-under-load", patches=_removed_gets_key),
    PlantedBug(name="no-author-rule", about="Any key may be written under, whoever made or holds it.", scenario="racing-rotation", patches=_no_author_rule),
    PlantedBug(name="both-branches", about="A fork voids nothing.", scenario="equivocating-author", patches=_both_branches),
    PlantedBug(name="sybil-votes", about="Ballots of anybody count for the voter list.", scenario="sybil-quorum", patches=_sybil_votes),
    PlantedBug(name="rootless", about="Who was admitted only by what is void stays.", scenario="demotion-race", patches=_no_ranks),
    PlantedBug(name="no-authority", about="The role table is not asked of what others wrote.", scenario="usurper", patches=_no_authority),
)  # fmt: skip
