"""The root of the command line: finds the sub-commands that the packages registered, and imports only the one asked for.

A sub-command is an entry point of the group `medsync.commands` whose value is a `typer.Typer`: with one command it
is a verb (`medsync status`), with several a noun (`medsync network create`). Exit codes stand in
`commands/exits.py`; loading this module loads neither libp2p nor starknet_py (DESIGN §3).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points, version
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup
from typer.main import get_command

from medsync_node.commands.exits import ExitCode, advise, exit_code_of
from medsync_node.commands.output import show_problem
from medsync_node.commands.pipe import tolerate_gone_readers

GROUP: Final = "medsync.commands"
_COMPLETION: Final = frozenset(
    {"install_completion", "show_completion"}
)  # of a program of its own, which no noun is
ABOUT: Final = "Who may use whose data, for what, and who did: one private record, proven on Starknet."


def registered() -> dict[str, EntryPoint]:
    """Sub-commands by name, of every installed package."""
    return {point.name: point for point in entry_points(group=GROUP)}


class Commands(TyperGroup):
    """The root's sub-commands, loaded on first use."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All names, sorted."""
        return sorted(registered())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, or None."""
        found = self.commands.get(cmd_name)
        point = registered().get(cmd_name)
        if found is None and point is not None:
            found = get_command(point.load())
            found.name = cmd_name
            found.params = [param for param in found.params if param.name not in _COMPLETION]
            self.commands[cmd_name] = found
        return found


app = typer.Typer(
    cls=Commands,
    help=ABOUT,
    no_args_is_help=True,
    add_completion=False,
    epilog="Examples:\n\n  medsync init north\n\n  medsync run --home north\n\n  medsync status --json",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"medsync {version('medsync')}")
        raise typer.Exit


@app.callback()
def root(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print exactly one JSON object on stdout; may stand after the command as well.")
    ] = False,
    wanted: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """See ABOUT."""


def _json_last(arguments: Sequence[str]) -> list[str]:
    """`--json` before the command means what it does after it."""
    first, *rest = [*arguments] or [""]
    if first != "--json" or not rest:
        return list(arguments)
    end = rest.index("--") if "--" in rest else len(rest)
    return [*rest[:end], "--json", *rest[end:]]


def run(arguments: Sequence[str]) -> int:
    """Run one command line, without the program's name; its exit code. Errors that we raise on purpose are shown."""
    arguments = _json_last(arguments)
    as_json = "--json" in arguments
    try:
        outcome = get_command(app).main(list(arguments), prog_name="medsync", standalone_mode=False)
    except typer.Abort:
        return ExitCode.FAILURE
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except Exception as error:
        code = exit_code_of(error)
        if code is None:
            raise
        show_problem(advise(error), as_json=as_json)
        return code
    return outcome if isinstance(outcome, int) else ExitCode.OK


def main() -> None:
    """The console script `medsync`."""
    tolerate_gone_readers()
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
