"""Planted bugs, see planting.py."""

from __future__ import annotations

from medsync_sim.bugs.planting import PlantedBug

PLANTED: tuple[PlantedBug, ...] = ()
