"""Scenarios by name: every module here offers its own as SCENARIO."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import lru_cache

from medsync_protocol.errors import Refused
from medsync_sim.scenario import Scenario


@lru_cache(maxsize=1)
def scenarios() -> Mapping[str, Scenario]:
    """All that are shipped, by name, sorted."""
    found = [
        importlib.import_module(f"{__name__}.{module.name}").SCENARIO
        for module in pkgutil.iter_modules(__path__)
    ]
    return {scenario.name: scenario for scenario in sorted(found, key=lambda one: one.name)}


def named(name: str) -> Scenario:
    """The scenario of that name. Raises Refused with the names there are."""
    found = scenarios().get(name)
    if found is None:
        raise Refused(
            f"no scenario {name!r}", code="unknown_scenario", advice=f"one of {', '.join(scenarios())}"
        )
    return found
