"""Many seeds: on processes here, or on Ray or Dask beyond one machine; what is done is kept and never done again.

A chunk is a range of seeds of one scenario with one set of parameters. Running one twice gives the same rows, so a
chunk may be repeated, lost and taken up elsewhere without harm.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from medsync_protocol.errors import Refused
from medsync_sim.distributed import on_engine
from medsync_sim.running import MEMOISED, run, setting_of
from medsync_sim.scenarios import named

CHUNK: Final = 10  # seeds: a second or two of work, so that little is lost when a sweep is stopped
ROWS: Final = "rows.jsonl"
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Chunk:
    """`parameters`: (name, value) pairs, sorted."""

    scenario: str
    seeds: tuple[int, ...]
    parameters: tuple[tuple[str, Any], ...]
    crypto: str
    bug: str | None = None

    def run(self) -> list[Row]:
        """Every seed's row."""
        parameters = dict(self.parameters)
        return [
            {**run(self.scenario, seed=seed, crypto=self.crypto, bug=self.bug, **parameters).row(), "bug": self.bug}
            for seed in self.seeds
        ]


@dataclass(slots=True)
class Sweep:
    """`rows`: one for each seed and set of parameters, in that order. `interrupted`: stopped before all were done."""

    rows: list[Row] = field(default_factory=list)
    wanted: int = 0
    interrupted: bool = False

    @property
    def events(self) -> int:
        """Of all runs."""
        return sum(row["events"] for row in self.rows)

    @property
    def failing(self) -> list[Row]:
        """Rows with violations."""
        return [row for row in self.rows if row["violations"]]

    @property
    def won(self) -> list[Row]:
        """Rows in which a hostile party got what it wanted."""
        return [row for row in self.rows if row["attacker_won"]]

    def summary(self) -> dict[str, Any]:
        """For --json: counts, and the first seeds to look at."""
        return {
            "seeds": len(self.rows), "events": self.events, "violations": sum(len(r["violations"]) for r in self.rows),
            "attacker_won": len(self.won), "interrupted": self.interrupted,
            "failing": [
                {"scenario": r["scenario"], "seed": r["seed"], "parameters": r["parameters"], "violations": r["violations"]}
                for r in self.failing[:20]
            ],
        }  # fmt: skip


Progress = Callable[[int, int], None]
"""(runs done, runs wanted)."""


def sweep(
    scenario: str, *, seeds: Iterable[int], grid: Mapping[str, Sequence[Any]] | None = None, jobs: int = 1,
    out: Path | str | None = None, crypto: str = MEMOISED, engine: str = "processes", bug: str | None = None,
    progress: Progress | None = None,
) -> Sweep:  # fmt: skip
    """Run the scenario for every seed and every combination of the grid's values; rows go to `out` as they come.

    `engine`: processes, ray or dask. With `out`, what a former sweep left there is not run again. Ctrl-C keeps what
    is done. Raises Refused for names that there are none of.
    """
    chosen = named(scenario)
    combinations = [
        dict(zip(grid or {}, values, strict=True)) for values in itertools.product(*(grid or {}).values())
    ]
    for parameters in combinations:
        setting_of(chosen, parameters)
    listed = list(seeds)
    kept = _kept(out)
    done: dict[Any, Row] = {}
    chunks: list[Chunk] = []
    for parameters in combinations:
        pairs = tuple(sorted(parameters.items()))
        done |= {key: kept[key] for s in listed if (key := _key(scenario, pairs, s, bug)) in kept}
        left = [seed for seed in listed if _key(scenario, pairs, seed, bug) not in kept]
        chunks += [
            Chunk(scenario, tuple(left[i : i + CHUNK]), pairs, crypto, bug) for i in range(0, len(left), CHUNK)
        ]
    result = Sweep(wanted=len(listed) * len(combinations))
    try:
        for rows in run_chunks(chunks, jobs, engine):
            _keep(out, rows)
            done |= {_key(scenario, tuple(sorted(r["parameters"].items())), r["seed"], bug): r for r in rows}
            if progress is not None:
                progress(len(done), result.wanted)
    except KeyboardInterrupt:
        result.interrupted = True
    result.rows = [done[key] for key in sorted(done, key=repr)]
    return result


def _key(scenario: str, parameters: tuple[tuple[str, Any], ...], seed: int, bug: str | None) -> Any:
    return scenario, parameters, f"{seed:012}", bug or ""


def _kept(out: Path | str | None) -> dict[Any, Row]:
    path = None if out is None else Path(out) / ROWS
    if path is None or not path.exists():
        return {}
    found = {}
    for line in path.read_text("utf-8").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue  # the line that was being written when the machine stopped
        found[_key(row["scenario"], tuple(sorted(row["parameters"].items())), row["seed"], row["bug"])] = row
    return found


def _keep(out: Path | str | None, rows: list[Row]) -> None:
    if out is not None:
        Path(out).mkdir(parents=True, exist_ok=True)
        with (Path(out) / ROWS).open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row, sort_keys=True) + "\n" for row in rows)


def run_chunks(chunks: list[Chunk], jobs: int, engine: str = "processes") -> Iterator[list[Row]]:
    """The rows of each chunk as it is done, in any order."""
    if engine != "processes":
        yield from on_engine(engine, Chunk.run, chunks)
    elif jobs < 2:
        for chunk in chunks:
            yield _plain(chunk.run())
    else:
        yield from _on_processes(chunks, jobs)


def _plain(rows: list[Row]) -> list[Row]:
    """As they read from a file."""
    found: list[Row] = json.loads(json.dumps(rows))
    return found


def _on_processes(chunks: list[Chunk], jobs: int) -> Iterator[list[Row]]:
    if jobs > 256:
        raise Refused(f"{jobs} processes", code="jobs", advice="as many as there are cores")
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(max_workers=jobs, mp_context=context, initializer=_ignore_interrupts)
    waiting: set[Future[list[Row]]] = {pool.submit(Chunk.run, chunk) for chunk in chunks}
    try:
        while waiting:
            ready, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in ready:
                yield _plain(future.result())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _ignore_interrupts() -> None:
    """Ctrl-C is the parent's: a worker ends with its chunk."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
