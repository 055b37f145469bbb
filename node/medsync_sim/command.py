"""`medsync simulate`: scenarios from the command line. What they do is the package's; here is only how it is asked for."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(no_args_is_help=True, help="Break virtual consortiums: seeded faults and attacks on the real protocol.")

Json = Annotated[bool, typer.Option("--json", help="Print exactly one JSON object on stdout.")]
Name = Annotated[str, typer.Argument(help="As `medsync simulate list` names it.", metavar="SCENARIO")]
Seed = Annotated[int, typer.Option(help="The same seed, the same run.", min=0)]
Params = Annotated[
    list[str] | None, typer.Option("--set", help="name=value of the setting, e.g. nodes=7 or policy=founder.")
]
Crypto = Annotated[str, typer.Option(help="real, or memoised: what several nodes verify alike is computed once.")]
Bug = Annotated[str | None, typer.Option(help="Plant one of `medsync simulate bugs --list`.")]


@app.callback()
def simulate() -> None:
    """Break virtual consortiums: seeded faults and attacks on the real protocol."""


def _examples(*lines: str) -> str:
    return "Examples:\n\n" + "\n\n".join(f"  medsync simulate {line}" for line in lines)


@app.command("list", epilog=_examples("list", "list --json"))
def list_(as_json: Json = False) -> None:
    """List the scenarios, what each does and what it looks at."""
    from medsync_sim.scenarios import scenarios

    rows = [{"name": s.name, "about": s.about, "oracle": s.oracle} for s in scenarios().values()]
    _show({"scenarios": rows}, [f"{r['name']:24} {r['about']}\n{'':24} oracle: {r['oracle']}" for r in rows], as_json)


@app.command(epilog=_examples("run faults --seed 7", "run removal-duel --seed 3 --trace run.trace --json"))
def run(
    scenario: Name, seed: Seed = 0, params: Params = None,
    trace: Annotated[Path | None, typer.Option(help="Write every line of the run to this file.")] = None,
    crypto: Crypto = "real", bug: Bug = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Run one seed; exit code 1 when a rule was broken."""
    from medsync_sim.replaying import write_trace
    from medsync_sim.running import run as run_one

    found = run_one(
        scenario, seed=seed, crypto=crypto, bug=bug, trace=trace is not None, **_parameters(params)
    )
    if trace is not None:
        write_trace(trace, found, crypto=crypto, bug=bug)
    row = found.row()
    counted = {
        **row, "seeds": 1, "violations": len(found.violations), "attacker_won": int(bool(found.attacker_won)),
        "found": row["violations"], "won": row["attacker_won"],
    }  # fmt: skip
    lines = [
        f"{found.scenario} seed {seed}: {found.events} events, {found.ms / 1000:.0f} virtual s, digest {found.digest}",
        *(f"{name}: {value}" for name, value in found.facts.items()),
        *_finding_lines(row["violations"]), *(f"attacker: {text}" for text in found.attacker_won),
    ]  # fmt: skip
    _show(counted, lines, as_json)
    _exit(bool(found.violations))


@app.command(
    epilog=_examples("sweep faults --seeds 0:100 --jobs 2", "sweep removal-duel --seeds 0:50 --grid nodes=4,5,7 --out duel")
)
def sweep(
    scenario: Annotated[str, typer.Argument(help="A scenario's name, or `all`.", metavar="SCENARIO")],
    seeds: Annotated[str, typer.Option(help="A:B, half-open.")] = "0:20",
    grid: Annotated[
        list[str] | None, typer.Option(help="name=value,value…: every combination, e.g. policy=any_admin,founder.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Processes.", min=1)] = 1,
    out: Annotated[Path | None, typer.Option(help="Keep rows here; what is there already is not run again.")] = None,
    engine: Annotated[str, typer.Option(help="processes, ray or dask.")] = "processes",
    crypto: Crypto = "memoised", bug: Bug = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Run many seeds; Ctrl-C keeps what is done, the same command goes on. Exit code 1 when a rule was broken."""
    from medsync_sim.scenarios import scenarios
    from medsync_sim.sweep import Sweep
    from medsync_sim.sweep import sweep as sweep_one

    total = Sweep()
    for name in scenarios() if scenario == "all" else [scenario]:
        done = sweep_one(
            name, seeds=_range(seeds), grid=_grid(grid), jobs=jobs, out=out, crypto=crypto, engine=engine, bug=bug,
            progress=_Progress(name),
        )  # fmt: skip
        total.rows += done.rows
        total.interrupted |= done.interrupted
        if done.interrupted:
            break
    summary = total.summary()
    lines = [
        f"{summary['seeds']} runs, {summary['events']} events, {summary['violations']} violations, "
        f"attacker won {summary['attacker_won']}" + (" (interrupted: run it again to go on)" if total.interrupted else ""),
        *(
            line
            for row in summary["failing"]
            for line in (f"{row['scenario']} seed {row['seed']} {row['parameters'] or ''}", *_finding_lines(row["violations"]))
        ),
    ]  # fmt: skip
    _show(summary, lines, as_json)
    _exit(bool(total.failing))


@app.command(epilog=_examples("replay run.trace", "replay smaller.json --json"))
def replay(
    file: Annotated[Path, typer.Argument(help="What `run --trace` or `minimise --out` wrote.", exists=True)],
    as_json: Json = False,
) -> None:
    """Run again what a file tells of; exit code 1 when it is not the same, byte for byte, or still breaks a rule."""
    from medsync_sim.replaying import replay as replay_file

    outcome = replay_file(file)
    lines = [
        f"{outcome['scenario']} seed {outcome['seed']}: " + ("the same" if outcome["same"] else "another run"),
        *_finding_lines(outcome["found"]),
    ]
    _show(outcome, lines, as_json)
    _exit(not outcome["same"] or bool(outcome["violations"]))


@app.command(epilog=_examples("minimise faults --seed 5", "minimise faults --seed 5 --bug no-crc --out smaller.json"))
def minimise(
    scenario: Name, seed: Seed = 0, params: Params = None, bug: Bug = None,
    out: Annotated[Path | None, typer.Option(help="Write what is left here, for `replay`.")] = None,
    test: Annotated[Path | None, typer.Option(help="Write a pytest regression here.")] = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Leave out faults and operations of a failing seed for as long as it fails; print what is left as a test."""
    from medsync_sim.minimising import minimise as shrink
    from medsync_sim.minimising import regression
    from medsync_sim.replaying import write_steps

    smaller = shrink(scenario, seed=seed, bug=bug, tried=_tell, **_parameters(params))
    text = regression(smaller)
    if out is not None:
        write_steps(out, smaller)
    if test is not None:
        test.write_text(text, "utf-8")
    found = {
        "scenario": scenario, "seed": seed, "steps": len(smaller.steps), "steps_before": smaller.before,
        "violations": len(smaller.violations), "rules": smaller.rules, "runs": smaller.runs, "test": text,
    }  # fmt: skip
    _show(found, [text, f"# {smaller.before} steps before, {len(smaller.steps)} now, {smaller.runs} runs"], as_json)
    _exit(True)


@app.command(epilog=_examples("bugs --list", "bugs --seeds 200", "bugs no-crc seq-reuse"))
def bugs(
    names: Annotated[list[str] | None, typer.Argument(help="By default all.", metavar="[BUG]...")] = None,
    seeds: Annotated[int, typer.Option(help="At most so many for each.", min=1)] = 200,
    list_only: Annotated[bool, typer.Option("--list", help="Only list them.")] = False,
    as_json: Json = False,
) -> None:
    """Plant known bugs one by one: does the simulator notice, and after how many seeds? Exit code 1 when one is missed."""
    from medsync_sim.bugs import BUGS
    from medsync_sim.hunting import hunt

    if list_only:
        rows = [{"bug": bug.name, "about": bug.about, "scenario": bug.scenario} for bug in BUGS.values()]
        _show({"bugs": rows}, [f"{r['bug']:26} {r['scenario']:22} {r['about']}" for r in rows], as_json)
        return
    found = []
    for name in names or list(BUGS):
        found.append(hunt(name, seeds))
        _tell(f"{name}: " + (f"seed {found[-1].seed}, {found[-1].rule}" if found[-1].found else "not found"))
    rows = [hunted.row() for hunted in found]
    missed = [hunted.bug for hunted in found if not hunted.found]
    lines = [f"{r['bug']:26} {r['scenario']:22} {_outcome(r)}" for r in rows]
    _show({"bugs": rows, "found": len(rows) - len(missed), "missed": missed}, lines, as_json)
    _exit(bool(missed))


def _outcome(row: Mapping[str, Any]) -> str:
    return f"{row['rule']} at the {row['tried']}. seed: {row['text']}" if row["found"] else f"missed in {row['tried']} seeds"


@app.command(epilog=_examples("report duel", "report duel --json"))
def report(
    folder: Annotated[Path, typer.Argument(help="Where a sweep kept its rows.", exists=True, file_okay=False)],
    as_json: Json = False,
) -> None:
    """Turn a sweep's rows into tables (CSV; Parquet with the extra `viz`) and pictures (SVG)."""
    from medsync_sim.reporting import report as write_report

    written = write_report(folder)
    _show({"files": [str(path) for path in written]}, [str(path) for path in written], as_json)


# -- parts ----------------------------------------------------------------------------------------------------


class _Progress:
    """Rate and time left, on stderr, at most twice a second."""

    def __init__(self, name: str) -> None:
        self._name, self._began, self._told, self._first = name, time.monotonic(), 0.0, -1

    def __call__(self, done: int, wanted: int) -> None:
        now = time.monotonic()
        if self._first < 0:
            self._first = done
        if now - self._told < 0.5 and done < wanted:
            return
        self._told = now
        rate = (done - self._first) / max(now - self._began, 1e-9)
        left = f", {(wanted - done) / rate:.0f} s left" if rate else ""
        _tell(f"{self._name}: {done}/{wanted} runs, {rate:.1f} a second{left}")


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _show(fields: Mapping[str, Any], lines: Iterable[str], as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps({"ok": True, **fields}) + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()


def _finding_lines(found: Iterable[Mapping[str, Any]]) -> list[str]:
    return [f"  {finding['rule']} after {finding['at'] / 1000:.1f} s: {finding['text']}" for finding in found]


def _exit(failed: bool) -> None:
    if failed:
        raise typer.Exit(1)


def _value(text: str) -> int | str | bool:
    if text in ("true", "false"):
        return text == "true"
    return int(text) if text.lstrip("-").isdigit() else text


def _pairs(options: list[str] | None) -> Iterable[tuple[str, str]]:
    for option in options or []:
        name, equals, value = option.partition("=")
        if not equals:
            raise typer.BadParameter(f"{option!r} is not name=value")
        yield name, value


def _parameters(options: list[str] | None) -> dict[str, Any]:
    return {name: _value(value) for name, value in _pairs(options)}


def _grid(options: list[str] | None) -> dict[str, list[Any]]:
    return {name: [_value(value) for value in values.split(",")] for name, values in _pairs(options)}


def _range(text: str) -> range:
    low, colon, high = text.partition(":")
    if not colon or not low.isdigit() or not high.isdigit():
        raise typer.BadParameter(f"{text!r} is not A:B")
    return range(int(low), int(high))
