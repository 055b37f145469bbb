"""Planted bugs of consent: what binds, what counts, what is fresh."""

from __future__ import annotations

from typing import Any, Final

from medsync_protocol import authority, decision
from medsync_protocol.opening import Opened, Opener
from medsync_protocol.rule import Effect
from medsync_sim.bugs.planting import Patch, PlantedBug


def _revocation_loses() -> list[Patch]:
    strike = authority._strike

    def weak(source: Any, signer: Any, target: Any, *rest: Any) -> None:
        if target.id[0] % 2:
            strike(source, signer, target, *rest)

    return [(authority, "_strike", weak)]


def _all_before_ignored() -> list[Patch]:
    return [(authority, "_targets", lambda revocation, directives: set(revocation.targets))]


def _always_fresh() -> list[Patch]:
    return [(decision, "is_fresh", lambda *args, **more: True)]


def _for_oneself() -> Patch:
    """Without decision 12, the second line behind both rules below: alone it would hide that they are gone."""
    return (
        decision, "_counts",
        lambda counted, effect, request: counted.denies if effect is Effect.DENY else counted.permits,
    )  # fmt: skip


def _pruned_counts_as_read() -> list[Patch]:
    read = Opener.open

    def careless(self: Opener, *what: Any) -> Opened:
        opened = read(self, *what)
        self.blank.clear()
        return opened

    return [(Opener, "open", careless)]


def _own_recipient() -> list[Patch]:
    return [(authority, "only_recipient", lambda directive: None), _for_oneself()]


def _anybody_grants() -> list[Patch]:
    everybody = frozenset(authority.Source) - {authority.Source.NOBODY}
    return [(authority, "WHO_MAY", {**authority.WHO_MAY, authority.Act.GRANT: everybody}), _for_oneself()]


PLANTED: Final = (
    PlantedBug(name="revocation-loses", about="Half of the revocations take nothing back.", scenario="stale-revocation", patches=_revocation_loses),
    PlantedBug(name="all-before-ignored", about="`all_before` takes nothing back that it doesn't name.", scenario="withheld-grant", patches=_all_before_ignored),
    PlantedBug(name="always-fresh", about="Freshness is not asked.", scenario="stale-revocation", patches=_always_fresh),
    PlantedBug(name="pruned-counts-as-read", about="Who was served hashes where a denial may be decides all the same.", scenario="withholding", patches=_pruned_counts_as_read),
    PlantedBug(name="own-recipient", about="A custodian may attest a grant of which it is the only recipient, for itself.", scenario="self-granting-lab", patches=_own_recipient),
    PlantedBug(name="anybody-grants", about="Any member's attestation permits, its own requests too.", scenario="self-granting-lab", patches=_anybody_grants),
)  # fmt: skip
