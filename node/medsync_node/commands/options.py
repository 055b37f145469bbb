"""Options that many commands share, how times are written, and the link to the daemon of a home."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from medsync_client import BlockingClient

HOME_VARIABLE: Final = "MEDSYNC_HOME"
DEFAULT_HOME: Final = "~/.medsync"

Home = Annotated[
    Path | None,
    typer.Option(
        "--home", metavar="DIR", help=f"The node's home; else ${HOME_VARIABLE}, else {DEFAULT_HOME}."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print exactly one JSON object on stdout.")]
ContextName = Annotated[str, typer.Argument(metavar="CONTEXT", help="Name or id of the context.")]
Replicated = Annotated[
    bool, typer.Option("--replicated", help="Answer once another member holds it too, not only this node.")
]


def home_of(given: Path | None) -> Path:
    """The home to use, absolute. Raises BadParameter where there is no current directory to start from."""
    try:
        return (given or Path(os.environ.get(HOME_VARIABLE) or DEFAULT_HOME)).expanduser().absolute()
    except FileNotFoundError as error:
        raise typer.BadParameter("the current directory is gone: change to another") from error


@contextmanager
def node(home: Path | None) -> Iterator[BlockingClient]:
    """A client of the daemon that runs on this home. Its calls raise Unreachable when none does."""
    from medsync_client import Address, BlockingClient
    from medsync_node import config

    socket = config.load(home_of(home), os.environ, {}).api.socket
    with BlockingClient(Address(socket=socket)) as client:
        yield client


def examples(*lines: str) -> str:
    """The Examples of a `--help`."""
    return "\n\n".join(["Examples:", *(f"  medsync {line}" for line in lines)])


def millis(text: str | None) -> int | None:
    """An ISO 8601 date or time as milliseconds; UTC where it names no zone. Raises BadParameter."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no date: write 2027-01-31 or 2027-01-31T12:00Z") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)
