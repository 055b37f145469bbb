"""Nobody is hostile: only everything fails."""

from __future__ import annotations

from medsync_sim.scenario import Scenario

SCENARIO = Scenario()
