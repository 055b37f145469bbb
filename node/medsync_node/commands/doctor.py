"""`medsync doctor`: what is wrong with this home and its surroundings, and what to do about each thing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from medsync_node.commands.exits import ExitCode
from medsync_node.commands.options import Home, Json, examples, home_of
from medsync_node.commands.output import show, wrapped

if TYPE_CHECKING:
    from medsync_node.doctor.examination import Diagnosis
    from medsync_node.doctor.finding import Finding

app = typer.Typer()


@app.command(epilog=examples("doctor", "doctor --home north --json", "doctor --quick --least-free 10000"))
def doctor(
    quick: Annotated[bool, typer.Option("--quick", help="Don't read every row of the journal.")] = False,
    least_free: Annotated[int, typer.Option(metavar="MIB", min=0, help="Space that the disk should have left.")] = 1024,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Check files, settings, key file, clock, ports, links, chain, journal, versions, disk; exit code 1 on a finding.

    Changes nothing. With the daemon running it is asked too; what could not be checked is said. A notice is no finding.
    """
    from medsync_node.doctor.examination import examine
    from medsync_node.home import Home as HomeFiles

    found = examine(HomeFiles(home_of(home)), os.environ, least_free=least_free << 20, thorough=not quick)
    fields = {
        "ok": not found.findings, "running": found.running, "findings": _fields(found.findings), "notices": _fields(found.notices),
        "checked": list(found.checked), "skipped": dict(found.skipped),
    }  # fmt: skip
    show(fields, _lines(found), as_json=as_json)
    if found.findings:
        raise typer.Exit(ExitCode.FAILURE)


def _fields(listed: Iterable[Finding]) -> list[dict[str, str]]:
    return [{"code": one.code, "what": one.what, "advice": one.advice} for one in listed]


def _lines(found: Diagnosis) -> Iterator[str]:
    for one in (*found.findings, *found.notices):
        yield from wrapped(f"{'notice, ' if one.chosen else ''}{one.code}: {one.what}", "")
        yield from wrapped(f"  {one.advice}", "  ")
    yield from (f"not checked: {name}, because {why}" for name, why in found.skipped.items())
    count = len(found.findings)
    yield f"{len(found.checked)} checks, {count or 'no'} finding{'' if count == 1 else 's'}"
