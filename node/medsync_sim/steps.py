"""What is done to a consortium and when, as data: so that a failing run can be made smaller and written down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from medsync_sim.world import World


@dataclass(frozen=True, slots=True, order=True)
class Step:
    """`at` ms into the run, do the move of this name with these arguments (names of nodes, numbers, words)."""

    at: int
    move: str
    args: tuple[str | int, ...] = ()


Move = Callable[..., None]
"""(world, *args) → None. Refusals by the node are part of life: moves swallow Refused, never anything else."""

FAULTS: Final[tuple[tuple[str, int], ...]] = (
    ("crash", 6), ("power", 4), ("cut", 5), ("deaf", 4), ("flap", 2), ("heal", 4), ("skew", 2), ("full", 2), ("rot", 1),
    ("restore", 1), ("outage", 2), ("reorg", 2), ("slow", 1),
)  # fmt: skip
"""Faults with their weights."""

OPS: Final[tuple[tuple[str, int], ...]] = (
    ("enrol", 4), ("grant", 6), ("revoke", 2), ("ask", 12), ("note", 3), ("rotate", 1),
)  # fmt: skip
"""What users do, with weights."""


def pick(rng: Random, table: tuple[tuple[str, int], ...]) -> str:
    """One of the names, by weight."""
    return rng.choices([name for name, _ in table], [weight for _, weight in table])[0]


def faults(rng: Random, names: tuple[str, ...], ms: int, count: int) -> list[Step]:
    """So many random faults within the first `ms`; whatever is broken is mended at the end of the run."""
    steps = []
    for _ in range(count):
        at, move = rng.randrange(ms), pick(rng, FAULTS)
        target = rng.choice(names)
        match move:
            case "crash" | "power" | "rot" | "full":
                steps += [Step(at, move, (target,)), Step(at + rng.randint(200, 8_000), "start", (target,))]
            case "cut" | "deaf" | "flap":
                side = rng.sample(names, rng.randint(1, max(1, len(names) // 2)))
                steps.append(Step(at, move, tuple(sorted(side))))
                steps.append(Step(at + rng.randint(500, 12_000), "heal"))
            case "skew":
                steps.append(Step(at, move, (target, rng.randint(-900, 900))))
            case "restore":
                steps += [
                    Step(rng.randrange(at + 1), "backup", (target,)), Step(at, move, (target,)),
                    Step(at + rng.randint(200, 4_000), "start", (target,)),
                ]  # fmt: skip
            case "outage":
                steps += [Step(at, "outage"), Step(at + rng.randint(1_000, 10_000), "chain_up")]
            case "reorg":
                steps.append(Step(at, move, (rng.randint(1, 2),)))
            case "slow":
                steps += [Step(at, "slow", (rng.choice((3_000, 6_000)),)), Step(at + 9_000, "slow", (1_000,))]
            case _:
                steps.append(Step(at, move))
    return sorted(steps)


def work(rng: Random, names: tuple[str, ...], ms: int, count: int) -> list[Step]:
    """So many things that users of these nodes do within the first `ms`."""
    steps = []
    for _ in range(count):
        who, whom = rng.choice(names), rng.choice(names)
        steps.append(Step(rng.randrange(ms), pick(rng, OPS), (who, whom, rng.randrange(1 << 16))))
    return sorted(steps)


def play(world: World, steps: list[Step], moves: dict[str, Move]) -> None:
    """Put the steps on the timeline."""
    begun = world.now
    for step in sorted(steps):
        world.timeline.at(begun + step.at, _event(world, step, moves[step.move]))


def _event(world: World, step: Step, move: Move) -> Callable[[], None]:
    def event() -> None:
        world.trace.note(world.now, "step", step.move, *step.args)
        move(world, *step.args)

    return event
