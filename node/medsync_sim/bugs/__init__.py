"""Planted bugs by name: would the simulator notice? Patched in for one run, never part of the protocol."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from medsync_protocol.errors import Refused
from medsync_sim.bugs import consent_bugs, device_bugs, erasure_bugs, finality_bugs, log_bugs, membership_bugs, reward_bugs
from medsync_sim.bugs.planting import PlantedBug

BUGS: Final[Mapping[str, PlantedBug]] = {
    bug.name: bug
    for module in (log_bugs, membership_bugs, finality_bugs, consent_bugs, erasure_bugs, device_bugs, reward_bugs)
    for bug in module.PLANTED
}


def bug_named(name: str) -> PlantedBug:
    """The bug of that name. Raises Refused with the names there are."""
    bug = BUGS.get(name)
    if bug is None:
        raise Refused(f"no planted bug {name!r}", code="unknown_bug", advice=f"one of {', '.join(BUGS)}")
    return bug


@contextmanager
def planted(name: str | None) -> Iterator[None]:
    """Within it the program has this bug; None: it is as it is."""
    if name is None:
        yield
        return
    with bug_named(name).planted():
        yield
