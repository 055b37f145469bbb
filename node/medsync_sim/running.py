"""Runs one seed of one scenario: the same seed, parameters and program give the same trace, byte for byte."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from medsync_protocol.errors import Refused
from medsync_sim.bugs import planted
from medsync_sim.consortium import Setting, consortium, found
from medsync_sim.ending import finish
from medsync_sim.invariants import Invariants
from medsync_sim.ledger import Finding
from medsync_sim.memo import Builder, memoised
from medsync_sim.moves import MOVES
from medsync_sim.scenario import Scenario
from medsync_sim.scenarios import named
from medsync_sim.steps import Step, play
from medsync_sim.timeline import Storm, stream
from medsync_sim.world import World

REAL: Final = "real"
MEMOISED: Final = "memoised"
COLLECT_AFTER: Final = 200_000  # objects made and kept before Python looks for unused cycles


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one run came to. `attacker_won`: what a hostile party got, in words; `ms`: virtual time that passed."""

    scenario: str
    seed: int
    parameters: Mapping[str, Any]
    digest: str
    events: int
    ms: int
    violations: tuple[Finding, ...]
    attacker_won: tuple[str, ...]
    facts: Mapping[str, int | str]
    trace: tuple[str, ...] | None = None

    def row(self) -> dict[str, Any]:
        """Plain values, for JSON and tables."""
        found = asdict(self)
        del found["trace"]
        return found


def run(
    scenario: str | Scenario, *, seed: int, steps: Sequence[Step] | None = None, crypto: str = REAL,
    trace: bool = False, bug: str | None = None, **parameters: Any,
) -> Result:  # fmt: skip
    """One run. `steps` in place of the seed's own; `parameters` replace fields of the setting (nodes, policy, …).

    `crypto`: "real", or "memoised", which computes what several nodes would verify alike once; `bug`: plant one of
    `medsync simulate bugs`. Raises Refused for a name that there is none of.
    """
    chosen = named(scenario) if isinstance(scenario, str) else scenario
    setting = setting_of(chosen, parameters)
    found(setting)  # by the program as it is, whatever is planted after
    with _crypto(crypto), planted(bug), _few_collections():
        world = consortium(
            seed, setting, conditions=chosen.conditions, watch=Invariants(), keep_trace=trace
        )
        if crypto == MEMOISED:
            world.build = Builder().build
        chosen.prepare(world)
        play(world, list(steps) if steps is not None else plan(chosen, seed, setting), {**MOVES, **chosen.moves()})
        _live(world, chosen)
    return _result(world, chosen, seed, parameters)


def _live(world: World, scenario: Scenario) -> None:
    """To the end, or to where a node fails: whatever is raised out of an engine would have ended a daemon."""
    try:
        world.run(scenario.ms)
        finish(world, settles=scenario.settles)
        world.find(scenario.judge(world))
    except Storm as storm:
        world.find([world.broke("L6", f"nodes keep each other busy for nothing: {storm}")])
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{last.filename.rsplit('/', 1)[-1]}:{last.name}"
        world.find([world.broke("L0", f"{type(error).__name__} in {where}: {error}")])


def plan(scenario: Scenario, seed: int, setting: Setting) -> list[Step]:
    """The steps of this seed."""
    return scenario.plan(stream(seed, "plan", scenario.name), setting)


def setting_of(scenario: Scenario, parameters: Mapping[str, Any]) -> Setting:
    """The scenario's setting with these fields replaced. Raises Refused."""
    try:
        return replace(scenario.setting(), **parameters)
    except TypeError as error:
        raise Refused(
            f"no such parameter: {', '.join(parameters)}", code="unknown_parameter",
            advice=f"one of {', '.join(Setting.__dataclass_fields__)}",
        ) from error  # fmt: skip


@contextmanager
def _crypto(kind: str) -> Iterator[None]:
    if kind not in (REAL, MEMOISED):
        raise Refused(f"no cryptography {kind!r}", code="unknown_crypto", advice="real or memoised")
    with memoised() if kind == MEMOISED else nullcontext():
        yield


@contextmanager
def _few_collections() -> Iterator[None]:
    """A world's objects live as long as its run: looking through them again and again is a tenth of the time."""
    before = gc.get_threshold()
    gc.set_threshold(COLLECT_AFTER, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _result(world: World, scenario: Scenario, seed: int, parameters: Mapping[str, Any]) -> Result:
    ledger = world.ledger
    world.facts.update({
        "operations": len(ledger.writes), "decisions": len(ledger.answers),
        "permits": sum(answer.permitted for answer in ledger.answers),
        "settled": max((k for _, k in ledger.settled), default=0), "frames": world.network.frames,
        "starts": sum(node.starts for node in world.nodes.values()),
    })  # fmt: skip
    world.trace.note(world.now, "end", *(f"{name}={value}" for name, value in sorted(world.facts.items())))
    return Result(
        scenario=scenario.name, seed=seed, parameters=dict(parameters), digest=world.trace.digest,
        events=world.timeline.handled, ms=world.elapsed, violations=tuple(world.findings),
        attacker_won=tuple(world.attacker_won), facts=dict(sorted(world.facts.items())),
        trace=None if world.trace.lines is None else tuple(world.trace.lines),
    )  # fmt: skip
