"""`medsync app`: the applications that groups on this node can run, and whether one of yours will do."""

from __future__ import annotations

from typing import Annotated

import typer

from medsync_node.commands.exits import ExitCode
from medsync_node.commands.options import Json, examples
from medsync_node.commands.output import progress, show, table

app = typer.Typer(no_args_is_help=True, help="Applications of groups: list them, try one.")


@app.command("list", epilog=examples("app list", "app list --json"))
def list_(as_json: Json = False) -> None:
    """Installed applications, with their methods."""
    from medsync_node.applications import installed_apps

    found = installed_apps()
    rows = [
        [one.name, name, ", ".join(f"{n} {t}" for n, t in method.arguments.items()), "changes" if method.changes else "asks", method.about]
        for one in found.values() for name, method in one.abi.items()
    ]  # fmt: skip
    fields = {
        name: {method: {"arguments": dict(m.arguments), "changes": m.changes, "about": m.about} for method, m in one.abi.items()}
        for name, one in found.items()
    }
    show({"applications": fields}, table(["application", "method", "arguments", "kind", "what it does"], rows), as_json=as_json)


@app.command(epilog=examples("app check kv_store", "app check polls:Polls --histories 100"))
def check(
    application: Annotated[str, typer.Argument(metavar="APPLICATION", help="Name of an installed one, or MODULE:CLASS.")],
    histories: Annotated[int, typer.Option(min=1, help="Random histories per hash seed.")] = 10,
    seconds: Annotated[float, typer.Option(min=1, help="Time limit for each of the eight processes.")] = 60.0,
    as_json: Json = False,
) -> None:
    """Try an application in child processes: random calls in random orders, purity, eight hash seeds."""
    from medsync_node import app_check
    from medsync_node.applications import BadApplication, installed_apps, loaded_app

    if ":" in application:
        loaded_app(application)
    elif application not in installed_apps():
        raise BadApplication(f"no application {application!r} is installed", advice="see `medsync app list`, or name MODULE:CLASS")
    found = app_check.check(application, histories=histories, seconds=seconds, told=progress)
    tried = f"{application}: {found.histories} histories under {found.hash_seeds} hash seeds"
    lines = [f"{tried}: nothing found"]
    if found.wrong:
        lines = [f"{tried}:", *(f"  {sentence}" for sentence in found.wrong)]
    fields = {
        "application": application, "histories": found.histories, "hash_seeds": found.hash_seeds,
        "passed": not found.wrong, "wrong": list(found.wrong),
    }  # fmt: skip
    show(fields, lines, as_json=as_json)
    if found.wrong:
        raise typer.Exit(ExitCode.FAILURE)
