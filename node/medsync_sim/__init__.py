"""The simulator: the very protocol of the daemon on a virtual network, disk, clock and chain; one seed, one run."""

from __future__ import annotations

from medsync_sim.running import Result, run
from medsync_sim.sweep import Sweep, sweep

__all__ = ["Result", "Sweep", "run", "sweep"]
